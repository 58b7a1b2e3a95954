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

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns import pattern_kinds

PAGE = Path(__file__).parents[2] / "docs" / "patterns.md"
_SECTION = re.compile(r"^## (?P<title>.+?)\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```(?P<kind>\w+)\n(?P<source>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Entry:
    title: str
    text: str
    python: str
    mermaid: str


def entries() -> list[Entry]:
    found: list[Entry] = []
    for section in _SECTION.finditer(PAGE.read_text(encoding="utf-8")):
        code = {c["kind"]: c["source"] for c in _CODE.finditer(section["text"])}
        if "python" in code:
            found.append(
                Entry(section["title"], section["text"], code["python"], code.get("mermaid", ""))
            )
    return found


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.title)
def test_the_example_runs_and_draws_the_picture_beside_it(entry: Entry) -> None:
    async def main() -> None:
        async with ActorSystem():
            names: dict[str, Any] = {"__name__": "gallery"}
            code = compile(entry.python, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = FunctionType(code, names)()
            if asyncio.iscoroutine(running):
                await running
            drawn = names["team"] if "team" in names else names["pattern"]
            assert drawn.mermaid() == entry.mermaid

    asyncio.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.title)
def test_every_entry_says_when_to_use_it_and_what_failure_does(entry: Entry) -> None:
    assert "When to use it: " in entry.text
    assert "**What failure does.**" in entry.text


def test_every_kind_of_pattern_has_an_entry() -> None:
    shown = " ".join(entry.python for entry in entries())
    ours = {
        kind.__name__
        for kind in pattern_kinds().values()
        if kind.__module__.startswith("agenticaiframework.")
    }
    assert {name for name in ours if f"pattern = {name}(" not in shown} == set()
