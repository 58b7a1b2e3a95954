"""The events of a run, read while it runs or afterwards."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Self, cast

from .run import Run
from .workflow_events import LAST, WorkflowEvent

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
        self._run: Run | None = None
        self._begun = False
        self._closed = False
        self.workflow_id: str | None = None
        """The run's id, once the first event was asked for."""
        self.dropped = 0
        """How many events were lost, because nobody read them for too long."""

    # -- the writing side, on the loop of the run --------------------------------------------------

    def put(self, event: WorkflowEvent) -> None:
        """Add *event*."""
        if len(self._events) == MAX_WAITING:
            self.dropped += 1
        self._events.append(event)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def attach(self, run: Run, history: bool = True) -> None:
        """Follow *run* from its beginning, or (without *history*) from here on."""
        self._run = run
        self.workflow_id = run.id
        if history:
            self._events.extend(run.history())
        if not run.over:
            if run.listeners is None:
                run.listeners = []
            run.listeners.append(self.put)

    def replay(self, past: list[WorkflowEvent]) -> None:
        """Put what the journal tells before what came while it was read, each event once."""
        # The journal's dates are the store's own, so events are known by what they say.
        known = {_said(event) for event in past}
        fresh = [event for event in self._events if _said(event) not in known]
        self._events.clear()
        self._events.extend([*past, *fresh])

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
        while not self._events:
            run = self._run
            if run is None or not run.listeners or self.put not in run.listeners:
                self._closed = True
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        event = self._events.popleft()
        if event.kind in LAST and not self._events:
            await self.aclose()
        return event

    async def aclose(self) -> None:
        """Stop following."""
        self._closed = True
        run = self._run
        if run is not None and run.listeners is not None and self.put in run.listeners:
            run.listeners.remove(self.put)
            if not run.listeners:
                run.listeners = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


def _said(event: WorkflowEvent) -> tuple[Any, ...]:
    """Return what tells an event from the others of its run."""
    given: object = event.data
    data = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else _NOTHING
    return event.kind, event.step, event.attempt, data.get("item"), data.get("iteration")


_NOTHING: Final[Mapping[str, Any]] = {}
