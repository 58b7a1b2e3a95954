"""Standard input and output as the two ends of a protocol, which nothing else in the process may use."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Self, TextIO


@contextmanager
def claimed_output() -> Generator[TextIO]:
    """Give standard output to the block alone: what the program prints meanwhile goes to standard error."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(own, "w", encoding="utf-8", newline="\n", closefd=False) as wire:
            yield wire
    finally:
        sys.stdout.flush()  # before it is restored: it belongs to standard error
        os.dup2(own, 1)
        os.close(own)


class InputLines(AsyncIterator[str]):
    """The lines of standard input, while a program reads nothing of it: it finds it at its end.

    ::

        with InputLines() as lines:
            async for line in lines: ...

    A thread reads, because not every file can be waited for by a loop; it ends with the block.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._from = -1
        self._wakes = self._wake = -1
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._from = os.dup(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._wakes, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._read, name="faces: stdin", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._wake)
        os.dup2(self._from, 0)
        if os.name == "nt":
            return  # there a read cannot be interrupted: it ends with the process
        assert self._thread is not None
        self._thread.join()
        os.close(self._from)
        os.close(self._wakes)

    async def __anext__(self) -> str:
        line = await self._lines.get()
        if line is None:
            raise StopAsyncIteration
        return line

    def _read(self) -> None:
        rest = b""
        while chunk := self._chunk():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._give(line.decode("utf-8", "replace"))
        if rest:
            self._give(rest.decode("utf-8", "replace"))
        self._give(None)

    def _chunk(self) -> bytes:
        if os.name != "nt":
            ready, _, _ = select.select([self._from, self._wakes], [], [])
            if self._wakes in ready:
                return b""
        return os.read(self._from, 65_536)

    def _give(self, line: str | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
        except RuntimeError:
            pass  # the loop has ended, and its reader with it
