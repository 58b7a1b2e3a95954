"""The pages about the engine and its stores: their blocks run one after another, as they stand."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def blocks_of(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def test_the_blocks_about_the_engine_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "engine.md").read_text(encoding="utf-8")
    blocks = blocks_of(text)
    assert len(blocks) >= 8

    async def main() -> None:
        names: dict[str, Any] = {"__name__": "page"}
        for found in blocks:
            line = text.count("\n", 0, found.start()) + 1
            code = compile(
                "\n" * line + found[1], "engine.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            )
            running = FunctionType(code, names)()
            if inspect.isawaitable(running):
                await running

    asyncio.run(main())
    said = capsys.readouterr().out
    [shown] = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert said.startswith(shown.rstrip("\n"))


def test_the_block_about_stores_runs() -> None:
    [block] = blocks_of((DOCS / "durability.md").read_text(encoding="utf-8"))
    exec(compile(block[1], "durability.md", "exec"), {"__name__": "page"})
