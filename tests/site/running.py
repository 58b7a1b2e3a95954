"""Runs the blocks of a page as its reader does: one after another, in one session, outputs compared.

A block with a top-level ``await`` runs on one event loop for the whole page, as in ``python -m asyncio``; others
run outside of it, so that they may call ``asyncio.run``. Tests that a block defines are called. Files are written
and commands typed where there is a `Walk`. The block of ``text`` below one or several is what they print.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import contextvars
import inspect
import io
import sys
from collections.abc import Sequence
from itertools import zip_longest
from types import FunctionType, ModuleType
from typing import Any

from shown_blocks import Block, alike, says
from walking import Astray, Walk

PATIENCE_S = 10.0


def run_page(blocks: Sequence[Block], walk: Walk | None = None, *, all_shown: bool = False) -> None:
    """Run *blocks*; raises what they raise, or `Astray` where one prints something else than is shown.

    With *all_shown* a block below which nothing is shown has to print nothing.
    """
    session = Session()
    last: Block | None = None
    with asyncio.Runner() as runner:
        for block, after in zip_longest(blocks, blocks[1:]):
            if block.not_run:
                continue
            if block.language == "python" and not block.title:
                session.run(block, runner)
                last = block
                if all_shown and not (after and after.language == "text"):
                    session.compare(block, "")
            elif block.language == "text" and last:
                session.compare(last, block.source)
            elif walk:
                walk.take(block)
        runner.run(let_end())


async def let_end() -> None:
    """Wait for what is ending: the engine of a page is stopped when its name gets another one."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=PATIENCE_S)


class Session:
    """The names that the blocks of a page share, and what they print."""

    def __init__(self) -> None:
        # Dataclasses, pickle and pydantic look their module up.
        module = sys.modules["page"] = ModuleType("page")
        self._names: dict[str, Any] = module.__dict__
        self._names["__builtins__"] = builtins
        # An agent's name means the one that was made in this context, and not another page's.
        self._context = contextvars.copy_context()
        # One for the whole page: a log handler keeps the stream that it was made with.
        self._output = io.StringIO()
        self._compared = 0

    def run(self, block: Block, runner: asyncio.Runner) -> None:
        """Run one block of Python."""
        before = set(self._names)
        source = "\n" * block.line + block.source
        code = compile(source, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(self._output):
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(FunctionType(code, self._names)(), context=self._context)
            else:
                self._context.run(exec, code, self._names)
            for name in set(self._names) - before:
                if name.startswith("test_") and callable(self._names[name]):
                    self._context.run(self._names[name])

    def compare(self, block: Block, shown: str) -> None:
        """Raise `Astray` unless what was printed since the last time is what is *shown*."""
        said = self._output.getvalue()[self._compared :]
        self._compared += len(said)
        if not says(said, shown):
            shown = alike(shown) if shown else ""
            raise Astray(f"{block.place}\n--- shown\n{shown}--- said\n{alike(said)}")
