"""The code in docs/faces.md runs, block after block, and prints what stands there."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

for needed in ("mcp.client.client", "openai", "a2a.client", "ag_ui.core"):
    pytest.importorskip(needed)

from agenticaiframework import Agent, faces

PAGE = Path(__file__).parents[2] / "docs" / "faces.md"


def test_the_pages_code_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    said = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == len(said) > 0

    async def main() -> None:
        names: dict[str, Any] = {"__name__": "page"}
        for block in blocks:
            code = compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if inspect.iscoroutine(running):
                await running

    asyncio.run(main())
    assert capsys.readouterr().out == "".join(said)


def test_every_limit_and_every_kind_of_failure_is_in_the_page() -> None:
    text = PAGE.read_text("utf-8")
    for field in dataclasses.fields(faces.FaceLimits):
        assert f"| `{field.name}` | {field.default:,}".replace(".0", "") in text.replace(
            "4 MiB", "4,194,304"
        ), field.name
    for kind in faces.FailureKind:
        assert f"`{kind}`" in text


def test_every_exported_name_is_in_the_page() -> None:
    text = PAGE.read_text("utf-8")
    assert not [name for name in faces.__all__ if not re.search(rf"\b{name}\b", text)]


def test_a_name_stays_a_function_once_it_was_used() -> None:
    async def answer(text: str) -> str:
        return text

    async def main() -> None:
        made = (faces.mcp_app, faces.openai_app, faces.a2a_app, faces.agui_app)
        served = faces.serve(Agent("clerk", handler=answer))
        for make in made:
            make(served)

    asyncio.run(main())
    assert all(callable(getattr(faces, name)) for name in faces.__all__)
