"""Parts of an answer, given while a handler still works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agenticaiframework.actors import agent_context

from .events import Chunk, PatternEvent

CHUNKS: Final = "agenticaiframework.chunks"
"""Where a handler's context has the `ChunkSink`, while the execution is streamed."""


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


class NoSink:
    """Takes parts of an answer where there is no stream to reach."""

    def send(self, data: Any) -> None:
        """Drop *data*."""


def send_chunk(data: Any) -> bool:
    """Report *data* as a part of the answer that the running handler is working on.

    Return whether the execution is streamed; if it is not, nothing happens. Call it on the
    loop's thread, that is, in an ``async`` handler.
    """
    sink = agent_context().get(CHUNKS)
    if isinstance(sink, ChunkSink):
        sink.send(data)
        return True
    return False
