"""The parts of one agent's answer, read while the agent still works on it."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextvars import copy_context
from threading import get_ident
from typing import Any, Final, Self, cast

from ..errors import read_twice
from .agent_request import AgentRequest
from .agent_result import AgentResult
from .parts import Answer, NoSink, PartSink

LEFT_S: Final = 1.0
"""How long a reader may take to come back after its wait for a part was cancelled."""


class PartBuffer:
    """Holds the parts that are not read yet; its state belongs to the thread of the reader's loop.

    Apart from the stream, because the agent keeps hold of it: a stream that its reader drops must go,
    and cancel the work.
    """

    __slots__ = ("_loop", "_thread", "on_read", "parts", "wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = get_ident()
        self.parts: deque[Any] = deque()
        self.wake: asyncio.Future[None] | None = None
        self.on_read: Callable[[], object] | None = None
        """Called for each part that is read: an agent on another node waits for that."""

    def send(self, part: Any) -> None:
        """Add *part*. Safe from any thread."""
        if get_ident() == self._thread:
            self.put(part)
        else:
            try:
                self._loop.call_soon_threadsafe(self.put, part)
            except RuntimeError:
                pass  # the reader's loop has ended, and its reader with it

    def put(self, part: Any) -> None:
        """Add *part*, on the reader's loop."""
        self.parts.append(part)
        self.done(None)

    def done(self, _request: Any) -> None:
        """Let the reader look again."""
        wake, self.wake = self.wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)

    def __reduce__(self) -> tuple[type[NoSink], tuple[()]]:
        # A handler in another process cannot reach the stream.
        return NoSink, ()


class AgentStream(AsyncIterator[Any]):
    """The parts of one answer, in the order in which they were made; the last is an `Answer`.

    ::

        async for part in writer.stream("rivers"):
            if isinstance(part, TextDelta):
                print(part.text, end="")

    Nothing runs before the first part is asked for. A failure is raised by the loop, as `Agent.ask`
    raises it. Leaving the loop early, `aclose`, and dropping the stream cancel the work; so does a reader
    whose wait was cancelled and who does not ask again within `LEFT_S` seconds, whatever still refers to
    the stream. Parts wait in memory until they are read. Owned by the task that reads it: another one
    that asks for a part meanwhile gets `WrongUse`.
    """

    def __init__(self, agent: str, start: Callable[[PartSink], AgentRequest]) -> None:
        self._agent = agent
        self._start = start
        self._variables = copy_context()
        """The context of the caller who made the stream; it may be read somewhere else."""
        self._buffer: PartBuffer | None = None
        self._request: AgentRequest | None = None
        self._closed = False
        self._result: AgentResult | None = None
        self._leaving: asyncio.TimerHandle | None = None
        """Cancels the work unless the reader, whose wait was cancelled, comes back."""

    @property
    def result(self) -> AgentResult | None:
        """The whole result, once the `Answer` has been read."""
        return self._result

    async def __anext__(self) -> Any:
        if self._closed:
            raise StopAsyncIteration
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        buffer, request = self._buffer, self._request
        if buffer is not None and buffer.wake is not None and not buffer.wake.done():
            raise read_twice(f"the stream of agent {self._agent!r}")
        if buffer is None or request is None:
            loop = asyncio.get_running_loop()
            buffer = self._buffer = PartBuffer(loop)
            request = self._request = self._variables.run(self._start, buffer)
            request.add_done_callback(buffer.done)
        while not buffer.parts and not request.done():
            buffer.wake = asyncio.get_running_loop().create_future()
            try:
                await buffer.wake
            except BaseException:
                self._leave_soon()
                del self  # an error that is kept holds this frame
                raise
        if buffer.parts:
            part = buffer.parts.popleft()
            if buffer.on_read is not None:
                buffer.on_read()
            return part
        self._closed = True
        answer = request.result()
        if not isinstance(answer, AgentResult):
            answer = AgentResult(answer)
        self._result = answer
        return Answer(answer.output, answer.usage)

    def _leave_soon(self) -> None:
        loop = asyncio.get_running_loop()
        self._leaving = loop.call_later(
            LEFT_S, _left, cast("weakref.ref[AgentStream]", weakref.ref(self))
        )

    def leave(self) -> None:
        """Cancel the work if it goes on."""
        self._closed = True
        request = self._request
        if request is not None and not request.done():
            request.abandon()

    async def aclose(self) -> None:
        """Cancel the work if it goes on. The next loop over the stream ends at once."""
        self.leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.leave()

    def __del__(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self.leave()


def _left(stream: weakref.ref[AgentStream]) -> None:
    left = stream()
    if left is not None:
        left.leave()


__all__ = ["AgentStream"]
