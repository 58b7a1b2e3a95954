"""The page about the engine: its blocks run one after another, as they stand."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "engine.md"


def test_the_blocks_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert len(blocks) >= 8

    async def main() -> None:
        names: dict[str, Any] = {"__name__": "page"}
        for found in blocks:
            line = text.count("\n", 0, found.start()) + 1
            code = compile(
                "\n" * line + found[1], str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            )
            running = FunctionType(code, names)()
            if inspect.isawaitable(running):
                await running

    asyncio.run(main())
    said = capsys.readouterr().out
    [shown] = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert said.startswith(shown.rstrip("\n"))
