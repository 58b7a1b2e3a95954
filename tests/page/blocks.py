"""The page's Python blocks, and a way to run one exactly as it stands, top-level await included."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

PAGE = Path(__file__).with_name("orchestration.md")
_BLOCK = re.compile(r"^```python\n(?P<source>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{2,3} (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block: the headings above it, and its text."""

    title: str
    source: str
    line: int


def read_blocks(page: Path = PAGE) -> list[Block]:
    """Return the Python blocks of *page* in order."""
    text = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    for found in _BLOCK.finditer(text):
        section, subsection = "", ""
        for heading in _HEADING.finditer(text, 0, found.start()):
            if heading.group().startswith("### "):
                subsection = heading["title"]
            else:
                section, subsection = heading["title"], ""
        title = " / ".join(filter(None, (section, subsection)))
        line = text.count("\n", 0, found.start()) + 2
        blocks.append(Block(title, found["source"], line))
    return blocks


def block(title: str, page: Path = PAGE) -> Block:
    """Return the block under the heading *title* (``"Section / Subsection"``)."""
    (found,) = [b for b in read_blocks(page) if b.title == title]
    return found


async def run_block(found: Block, names: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Run a block with *names* defined, and return everything that is defined afterwards."""
    namespace: dict[str, Any] = {"__name__": "page", **(names or {})}
    code = compile(
        "\n" * (found.line - 1) + found.source,
        str(PAGE),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
    )
    running = FunctionType(code, namespace)()
    if inspect.isawaitable(running):
        await running
    return namespace
