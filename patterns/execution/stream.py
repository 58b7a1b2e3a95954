"""The events of an execution, read while it runs."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

from agenticaiframework.actors import SHUTDOWN, ActorRef, read_twice, with_context

from ..vocabulary.errors import PatternFailed
from ..vocabulary.events import Finished, PatternEvent
from ..vocabulary.report import Report
from .coordinator import CONDUCT, stop_execution
from .execution import Execution

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

EmitEvent: TypeAlias = Callable[[PatternEvent], None]

LEFT_S: Final = 1.0
"""How long a reader may take to come back after its wait for an event was cancelled."""


class EventBuffer:
    """Holds the events that are not read yet.

    Apart from the stream, because the execution keeps hold of it: a stream that its reader drops
    must go, and take the execution with it.
    """

    __slots__ = ("coordinator", "events", "wake")

    def __init__(self) -> None:
        self.events: deque[PatternEvent] = deque()
        self.wake: Request | None = None
        self.coordinator: ActorRef[Any] | None = None
        """Makes the events."""

    def put(self, event: PatternEvent) -> None:
        """Add *event*. Called by the execution."""
        self.events.append(event)
        if self.wake is not None:
            self.wake.reply()

    async def more(self) -> None:
        """Wait for an event, if there is none."""
        coordinator = self.coordinator
        assert coordinator is not None, "it is known before anything is waited for"
        while not self.events:
            self.wake = coordinator.promise(lambda: (coordinator,))
            try:
                await self.wake
            finally:
                self.wake = None


class EventStream(AsyncIterator[PatternEvent]):
    """The events of one execution, in the order in which they happened; the last is `Finished`.

    ::

        async for event in pattern.stream(data):
            print(event)

    Nothing runs before the first event is asked for. Leaving the loop early, `aclose`, and dropping
    the stream cancel the execution; so does a reader whose wait for an event was cancelled and who
    does not ask for another within `LEFT_S` seconds, whatever still refers to the stream. Events wait
    in memory until they are read. The handlers see the context variables of who made the stream.
    Owned by the task that reads it: another one that asks for an event meanwhile gets `WrongUse`.
    """

    def __init__(
        self, start: Callable[[EmitEvent], Awaitable[tuple[Execution, ActorRef[Any]]]]
    ) -> None:
        self._start = start
        self._variables = copy_context()
        """The context of the caller who made the stream; it may be read somewhere else."""
        self._buffer = EventBuffer()
        self._execution: Execution | None = None
        self._ref: ActorRef[Any] | None = None
        self._closed = False
        self._read = False
        """Whether a task waits for the next event."""
        self._leaving: asyncio.TimerHandle | None = None
        """Ends the execution unless the reader, whose wait was cancelled, comes back."""

    @property
    def report(self) -> Report | None:
        """The report of the execution, once it has ended."""
        execution = self._execution
        return execution.report() if execution is not None and execution.over else None

    def result(self) -> Any:
        """Return the result of the execution, once it has ended, or raise its error."""
        report = self.report
        if report is None:
            raise PatternFailed(
                "stream",
                "has no result yet: read it to its end (`async for event in stream`) first",
                {},
            )
        return report.result()

    async def __anext__(self) -> PatternEvent:
        buffer = self._buffer
        if self._closed:
            raise StopAsyncIteration
        if self._read:
            raise read_twice("the stream of a pattern or team")
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self._read = True
        try:
            if self._execution is None:
                self._execution, self._ref = await self._start(buffer.put)
                buffer.coordinator = self._ref
                self._ref.tell(with_context(CONDUCT, self._variables))
            await buffer.more()
        except BaseException:
            self._read = False
            if self._execution is not None:
                loop = asyncio.get_running_loop()
                self._leaving = loop.call_later(
                    LEFT_S, _left, cast("weakref.ref[EventStream]", weakref.ref(self))
                )
            del self  # an error that is kept holds this frame
            raise
        self._read = False
        event = buffer.events.popleft()
        if isinstance(event, Finished) and len(event.path) == 1:
            # Nested executions finish inside a longer path.
            self._closed = True
        return event

    async def aclose(self) -> None:
        """Cancel the execution if it still runs, and wait until it has ended."""
        self._closed = True
        execution = self._execution
        if execution is not None and self._ref is not None and not execution.over:
            await stop_execution(execution, self._ref)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def leave(self) -> None:
        """Cancel the execution if it still runs, and wait for nothing."""
        if self._ref is not None and not self._closed:
            self._closed = True
            self._ref.exit(SHUTDOWN)

    def __del__(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self.leave()


def _left(stream: weakref.ref[EventStream]) -> None:
    left = stream()
    if left is not None:
        left.leave()
