"""The events of a run, read while it runs or afterwards."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, Self

from agenticaiframework.actors import read_twice

from .events import LAST, WorkflowEvent
from .listener import Listener
from .live import LiveRun
from .views import history_of


class EventSource(Protocol):
    """Where a stream has its events from. Used by the task that reads the stream."""

    @property
    def dropped(self) -> int:
        """How many events were lost because they were not read for too long."""
        ...

    async def next(self) -> WorkflowEvent | None:
        """Return the next event, when there is one; None at the end."""
        ...

    def close(self) -> None:
        """Stop following. Again: harmless."""
        ...


class WorkflowStream(AsyncIterator[WorkflowEvent]):
    """The events of one run, in their order: what has happened so far, then what happens.

    ::

        async for event in engine.stream(workflow_id):
            print(event.kind, event.step)

    It ends with the run's last event, or with a ``workflow_interrupted`` that says why nothing more can
    be told. Leaving the loop early stops the reading, not the run. Owned by the task that reads it: another
    one that asks for an event meanwhile gets `WrongUse`.
    """

    def __init__(
        self,
        begin: Callable[[WorkflowStream], Awaitable[EventSource]],
        *,
        begins_again: bool = False,
        wait: Callable[[str], Awaitable[Any]] | None = None,
    ) -> None:
        self._begin = begin
        self._wait = wait
        """Returns the result of the run of that id."""
        self._begins_again = begins_again
        """Whether *begin* does no harm when it is called again, after it was cancelled."""
        self._source: EventSource | None = None
        self._closed = False
        self._read = False
        """Whether a task waits for the next event."""
        self.workflow_id: str | None = None
        """The run's id, once the first event was asked for."""

    @property
    def dropped(self) -> int:
        """How many events were lost because they were not read for too long.

        Of a stored run none is: they are in its journal.
        """
        return 0 if self._source is None else self._source.dropped

    def __repr__(self) -> str:
        run = self.workflow_id or "of a run that has not begun"
        return f"<WorkflowStream {run}{', at its end' if self._closed else ''}>"

    async def result(self) -> Any:
        """Return what the run returns, when it has ended; raises as `OrchestrationEngine.wait` does.

        The run begins by this if nothing has been read yet. Events that have not been read are not
        waited for: read to the end first (``async for event in stream``) to see them.
        """
        if self.workflow_id is None:
            await anext(self, None)
        if self.workflow_id is None or self._wait is None:
            raise ValueError("the stream was left before its run had begun, so there is no result")
        return await self._wait(self.workflow_id)

    async def __anext__(self) -> WorkflowEvent:
        if self._closed:
            raise StopAsyncIteration
        if self._read:
            raise read_twice(f"the stream of the run {self.workflow_id or 'that is to begin'}")
        self._read = True
        try:
            if self._source is None:
                self._source = await self._begin(self)
            event = await self._source.next()
        except BaseException as error:
            self._read = False
            # A reader that only waits for so long may ask again: nothing is lost by that.
            goes_on = self._source is not None or self._begins_again
            if not goes_on or not isinstance(error, asyncio.CancelledError):
                await self.aclose()
            del self  # an error that is kept holds this frame
            raise
        self._read = False
        if event is None:
            await self.aclose()
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        """Stop following."""
        self._closed = True
        if self._source is not None:
            self._source.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


class LiveEvents:
    """The events of a run that is in memory alone: what it tells of its past, then what it tells."""

    def __init__(self, live: LiveRun) -> None:
        self._live = live
        self._past = deque(history_of(live.run))
        self._listener = Listener()
        self._listener.follow(live)

    @property
    def dropped(self) -> int:
        """How many events were lost because they were not read for too long."""
        return self._listener.dropped

    async def next(self) -> WorkflowEvent | None:
        """Return the next event, when there is one; None at the end."""
        if self._past:
            return self._past.popleft()
        listener = self._listener
        while (event := listener.take()) is None:
            # A run that was made to go on after its end is followed on.
            if not listener.follows(self._live):
                return None
            await listener.until_some()
        if event.kind in LAST and not listener:
            self.close()
        return event

    def close(self) -> None:
        """Stop following."""
        self._listener.leave()
