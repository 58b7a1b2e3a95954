"""Links of pages that lead out of docs/ lead to a page of the site."""

from __future__ import annotations

from pathlib import Path

import pytest
from sequence import draw
from stage import NOT_SEARCHED, draw_charts, link_sources

DOCS = Path(__file__).parents[2] / "docs"


def test_a_link_to_a_file_of_the_repository_gets_a_page(tmp_path: Path) -> None:
    page = tmp_path / "patterns" / "x.md"
    page.parent.mkdir()
    page.write_text("See [the example](../../examples/self_healing.py).\n", "utf-8")
    assert "source/examples/self_healing.py.md" in link_sources(tmp_path)
    assert page.read_text("utf-8") == (
        "See [the example](../source/examples/self_healing.py.md).\n"
    )
    shown = (tmp_path / "source/examples/self_healing.py.md").read_text("utf-8")
    assert shown.startswith("# examples/self_healing.py\n\n````python\n")


def test_a_page_of_the_repository_keeps_its_own_links(tmp_path: Path) -> None:
    (tmp_path / "models.md").write_text("See [examples](../examples/README.md#agents).", "utf-8")
    (tmp_path / "command-line.md").write_text("# The command line", "utf-8")
    link_sources(tmp_path)
    assert "(source/examples/README.md#agents)" in (tmp_path / "models.md").read_text("utf-8")
    shown = (tmp_path / "source/examples/README.md").read_text("utf-8")
    assert "](../../command-line.md)" in shown
    assert "](models/triage.py.md)" in shown


def test_links_in_code_are_left_alone(tmp_path: Path) -> None:
    text = "```text\n[x](../README.md)\n```\n"
    (tmp_path / "x.md").write_text(text, "utf-8")
    assert link_sources(tmp_path) == set()
    assert (tmp_path / "x.md").read_text("utf-8") == text


MESSAGES = """---
title: a failure
---
sequenceDiagram
    participant p0 as stock
    participant p1 as shop#35;1
    Note over p0,p1: t = 0 s
    p1-)p0: starts
    p1->>p0: 'a #lt; b'
    p0-->>p1: None
    rect rgb(255, 205, 210)
    Note over p0: FAULT Crash
    end
"""


def test_a_diagram_of_messages_becomes_a_picture(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text(f"# Faults\n\n```mermaid\n{MESSAGES}```\n", "utf-8")
    draw_charts(tmp_path)
    assert page.read_text("utf-8") == (
        "# Faults\n\n![Faults: the messages in their order](diagrams/faults-1.svg)\n"
    )
    picture = (tmp_path / "diagrams" / "faults-1.svg").read_text("utf-8")
    for said in ("<title>a failure</title>", ">shop#1<", "&#x27;a &lt; b&#x27;", "FAULT Crash"):
        assert said in picture


def test_what_the_simulation_writes_can_be_drawn() -> None:
    from agenticaiframework.actors.simulation import Event, sequence_diagram

    kinds = ("handle", "reply", "spawn", "end", "fault", "dead", "note")
    events = [Event(float(n), kind, "a", "b", "x;y") for n, kind in enumerate(kinds)]
    assert draw(sequence_diagram(events, title="run")).count("<text") > len(kinds)


def test_a_line_that_is_not_known_is_told() -> None:
    with pytest.raises(ValueError, match="not a line of a sequence diagram: loop"):
        draw("sequenceDiagram\n    loop every day\n")


@pytest.mark.skipif(not DOCS.is_dir(), reason="the pages are not here")
def test_pages_that_a_search_leaves_out_are_there() -> None:
    made = ("contributing/blocks.md", "reference/commands.md", "reference/project-files.md")
    assert not [name for name in NOT_SEARCHED if name not in made and not (DOCS / name).exists()]
