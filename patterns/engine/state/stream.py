"""The events of a run, read while it runs or afterwards."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Self

from .events import LAST, WorkflowEvent
from .live import LiveRun
from .views import history_of

MAX_WAITING: Final = 100_000
"""Events that may wait for a slow reader before the oldest are dropped (and counted)."""


class WorkflowStream(AsyncIterator[WorkflowEvent]):
    """The events of one run, in their order: what has happened so far, then what happens.

    ::

        async for event in engine.stream(workflow_id):
            print(event.kind, event.step)

    It ends with the run's last event. Leaving the loop early stops the reading, not the run. Owned by
    the task that reads it.
    """

    def __init__(self, begin: Callable[[WorkflowStream], Awaitable[None]]) -> None:
        self._begin = begin
        self._events: deque[WorkflowEvent] = deque(maxlen=MAX_WAITING)
        self._wake: asyncio.Future[None] | None = None
        self._live: LiveRun | None = None
        self._follow: Callable[[WorkflowEvent], None] = _unread
        """What the run calls for each event; it holds the stream weakly, for readers that leave."""
        self._begun = False
        self._closed = False
        self._replayed = 0
        """How many of the waiting events come from the journal."""
        self._last_seq = 0
        """The number of the last event in the journal when it was read."""
        self.workflow_id: str | None = None
        """The run's id, once the first event was asked for."""
        self.dropped = 0
        """How many events were lost because they were not read for too long."""

    # -- the writing side, on the loop of the run --------------------------------------------------

    def put(self, event: WorkflowEvent) -> None:
        """Add *event*."""
        if len(self._events) == MAX_WAITING:
            self.dropped += 1
            self._replayed = max(0, self._replayed - 1)
        self._events.append(event)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def attach(self, live: LiveRun, history: bool = True) -> None:
        """Follow a run from its beginning, or (without *history*) from here on."""
        self._live = live
        self.workflow_id = live.id
        if history:
            self._events.extend(history_of(live.run))
        if not live.over:
            self._follow = _follower(weakref.ref(self), live)
            live.attach(self._follow)

    def replay(self, past: list[WorkflowEvent]) -> None:
        """Put what the journal tells before what came while it was read."""
        fresh = list(self._events)
        self._events.clear()
        self._events.extend([*past, *fresh])
        self._replayed = max(0, len(self._events) - len(fresh))
        self._last_seq = (past[-1].seq or 0) if past else 0

    # -- the reading side --------------------------------------------------------------------------

    async def __anext__(self) -> WorkflowEvent:
        if self._closed:
            raise StopAsyncIteration
        if not self._begun:
            self._begun = True
            try:
                await self._begin(self)
            except BaseException:
                await self.aclose()
                raise
        while True:
            try:
                await self._until_some()
            except BaseException:
                del self  # an error that is kept holds this frame
                raise
            event = self._events.popleft()
            replayed = self._replayed > 0
            if replayed:
                self._replayed -= 1
            elif event.seq is not None and event.seq <= self._last_seq:
                # It was in the journal already.
                if event.kind in LAST and not self._events:
                    await self.aclose()
                continue
            # What the journal calls an end is not one, if the run has been resumed since.
            if event.kind in LAST and not self._events and not (replayed and self._follows()):
                await self.aclose()
            return event

    async def _until_some(self) -> None:
        """Wait for an event; ends the iteration when none can come."""
        while not self._events:
            if self._closed or not self._follows():
                await self.aclose()
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            except BaseException:
                self._wake = None
                del self  # an error that is kept holds this frame
                raise
            self._wake = None

    def _follows(self) -> bool:
        return self._live is not None and self._live.follows(self._follow)

    async def aclose(self) -> None:
        """Stop following."""
        self._closed = True
        if self._live is not None:
            self._live.detach(self._follow)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


def _unread(_event: WorkflowEvent) -> None:
    """Take an event of no run."""


def _follower(
    stream: weakref.ref[WorkflowStream], live: LiveRun
) -> Callable[[WorkflowEvent], None]:
    def follow(event: WorkflowEvent) -> None:
        reader = stream()
        if reader is None:
            live.detach(follow)
        else:
            reader.put(event)

    return follow
