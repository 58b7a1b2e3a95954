"""The code in docs/models.md runs, block after block, and prints what stands there."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_pages_code_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    said = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == len(said) == 4

    async def main() -> None:
        names: dict[str, Any] = {}
        for block in blocks:
            code = compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if inspect.iscoroutine(running):
                await running

    asyncio.run(main())
    assert capsys.readouterr().out == "".join(said)
