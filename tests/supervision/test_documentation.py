"""The code in docs/supervision.md runs, block after block, as it stands there."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework import supervision
from agenticaiframework.actors import ActorSystem

Run = Callable[..., Any]
PAGE = Path(__file__).parents[2] / "docs" / "supervision.md"


def test_the_pages_code_runs(in_sim: Run, capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 8

    async def main(_system: ActorSystem) -> None:
        names: dict[str, Any] = {}
        for block in blocks:
            code = compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if inspect.iscoroutine(running):
                await running

    in_sim(main)
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert capsys.readouterr().out == shown


def test_every_public_name_is_documented() -> None:
    text = PAGE.read_text()
    missing = [name for name in supervision.__all__ if not re.search(rf"\b{name}\b", text)]
    assert not missing
