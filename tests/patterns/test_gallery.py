"""The gallery of patterns says what is true: its examples run, and its pictures are the patterns' own."""

from __future__ import annotations

import ast
import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from agenticaiframework import patterns
from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns import pattern_from_dict, pattern_kinds

DOCS = Path(__file__).parents[2] / "docs"
INDEX = DOCS / "patterns.md"
PARTS = ("When to use it", "Example", "Picture", "What failure does")
_SECTION = re.compile(r"^## (?P<title>.+?)\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```(?P<kind>\w+)\n(?P<source>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<file>[^)#]*)(?:#(?P<heading>[^)]+))?\)")


@dataclass(frozen=True)
class Page:
    path: Path
    title: str
    sections: dict[str, str]

    def code(self, section: str, kind: str) -> str:
        [source] = [
            c["source"] for c in _CODE.finditer(self.sections[section]) if c["kind"] == kind
        ]
        return source


def read(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    found = {section["title"]: section["text"].strip() for section in _SECTION.finditer(text)}
    return Page(path, text.splitlines()[0].removeprefix("# "), found)


PAGES = [read(path) for path in sorted((DOCS / "patterns").glob("*.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.stem)


async def run_source(source: str, path: Path) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "gallery"}
    code = compile(source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = FunctionType(code, names)()
    if asyncio.iscoroutine(running):
        await running
    return names


@every_page
def test_a_page_has_its_four_parts(page: Page) -> None:
    assert tuple(page.sections) == PARTS
    assert all(page.sections.values())


@every_page
def test_the_example_runs_and_draws_the_picture_below_it(page: Page, sim_once: Any) -> None:
    source = page.code("Example", "python")

    async def main(_system: ActorSystem) -> None:
        names = await run_source(source, page.path)
        drawn = names["team"] if "team" in names else names["pattern"]
        assert drawn.mermaid() == page.code("Picture", "mermaid")

    sim_once(main)


def test_the_pattern_of_your_own_runs_and_can_be_read_and_drawn(sim_once: Any) -> None:
    index = read(INDEX)

    async def main(_system: ActorSystem) -> None:
        names = await run_source(index.code("A pattern of your own", "python"), INDEX)
        twice = names["Twice"]("again", "double")
        again = pattern_from_dict(twice.to_dict())
        assert await again.execute(1) == 4
        assert "double" in again.mermaid()

    sim_once(main)


def test_every_exported_name_stands_in_a_page() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in [INDEX, *(p.path for p in PAGES)])
    words = set(re.findall(r"\w+", text))
    assert sorted(set(patterns.__all__) - words) == []


def test_every_kind_of_pattern_has_a_page() -> None:
    shown = " ".join(page.code("Example", "python") for page in PAGES)
    ours = {
        kind.__name__
        for kind in pattern_kinds().values()
        if kind.__module__.startswith("agenticaiframework.")
    }
    assert {name for name in ours if f"pattern = {name}(" not in shown} == set()


def test_the_index_shows_each_page_and_its_picture() -> None:
    gallery = read(INDEX).sections["The gallery"]
    shown = {
        (title, file): picture
        for title, file, picture in re.findall(
            r"^### \[(.+?)\]\((.+?)\)\n\n.+?\n\n```mermaid\n(.*?)^```$",
            gallery,
            re.MULTILINE | re.DOTALL,
        )
    }
    assert shown == {
        (page.title, f"patterns/{page.path.name}"): page.code("Picture", "mermaid")
        for page in PAGES
    }


@pytest.mark.parametrize(
    "path", [INDEX, *(page.path for page in PAGES)], ids=lambda path: path.stem
)
def test_links_lead_somewhere(path: Path) -> None:
    links = list(_LINK.finditer(path.read_text(encoding="utf-8")))
    assert links
    for link in links:
        target = (path.parent / link["file"]).resolve() if link["file"] else path
        assert target.is_file(), link[0]
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {
            re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings
        }
        assert link["heading"] is None or link["heading"] in anchors, link[0]
