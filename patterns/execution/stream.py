"""The events of an execution, read while it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from agenticaiframework.actors import ActorRef

from ..vocabulary.errors import PatternFailed
from ..vocabulary.events import Finished, PatternEvent
from ..vocabulary.report import Report
from .coordinator import CONDUCT, stop_execution
from .execution import Execution

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

EmitEvent: TypeAlias = Callable[[PatternEvent], None]


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
    the stream cancel the execution. Events wait in memory until they are read. Owned by the task
    that reads it.
    """

    def __init__(
        self, start: Callable[[EmitEvent], Awaitable[tuple[Execution, ActorRef[Any]]]]
    ) -> None:
        self._start = start
        self._buffer = EventBuffer()
        self._execution: Execution | None = None
        self._ref: ActorRef[Any] | None = None
        self._closed = False

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
        if self._execution is None:
            self._execution, self._ref = await self._start(buffer.put)
            buffer.coordinator = self._ref
            self._ref.tell(CONDUCT)
        await buffer.more()
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

    def __del__(self) -> None:
        if self._ref is not None and not self._closed:
            self._ref.exit("shutdown")
