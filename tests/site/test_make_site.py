"""A page that the navigation lacks, or that it names in vain, and a public name without an entry are told."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("hypothesis")  # the strategies are public names, too

from make_site import configuration, listed, misplaced, without_entry
from public import homes


def test_the_pages_of_a_navigation_are_found_however_deep() -> None:
    nav = [{"Home": "index.md"}, {"A": ["a.md", {"B": ["b.md", {"C": "c.md"}]}]}]
    assert list(listed(nav)) == ["index.md", "a.md", "b.md", "c.md"]


def test_a_page_that_nobody_can_find_is_told(tmp_path: Path) -> None:
    import tomllib

    nav = tomllib.loads(configuration())["project"]["nav"]
    for name in listed(nav):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert misplaced(tmp_path, set()) == []
    (tmp_path / "lost.md").touch()
    (tmp_path / "source.md").touch()
    (tmp_path / "index.md").unlink()
    assert misplaced(tmp_path, {"source.md"}) == [
        "zensical.toml: nav does not have lost.md",
        "zensical.toml: nav names index.md, which is not there",
    ]


def test_a_public_name_without_an_entry_is_told() -> None:
    there = {f"{module}.{name}" for name, module in homes().items()}
    assert without_entry(there) == []
    lacks = without_entry(there - {"agenticaiframework.actors.Agent"})
    assert lacks == ["agenticaiframework.actors.Agent has no entry in the reference"]
