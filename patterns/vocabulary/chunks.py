"""Parts of an answer, given while a handler still works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agenticaiframework.actors import NoSink

from .events import Chunk, PatternEvent


class ChunkSink:
    """Sends the parts of one piece of work's answer to the stream of its execution."""

    __slots__ = ("_clock", "_emit", "_path", "_work")

    def __init__(
        self,
        emit: Callable[[PatternEvent], None],
        clock: Callable[[], float],
        path: tuple[str, ...],
        work: str,
    ) -> None:
        self._emit = emit
        self._clock = clock
        self._path = path
        self._work = work

    def send(self, data: Any) -> None:
        """Report *data* as a part of the answer."""
        self._emit(Chunk(self._clock(), self._path, self._work, data))

    def __reduce__(self) -> tuple[type[NoSink], tuple[()]]:
        # A handler in another process cannot reach the stream.
        return NoSink, ()
