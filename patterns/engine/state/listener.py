"""What a live run tells one reader, until that reads it."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .events import WorkflowEvent
    from .live import LiveRun

MAX_WAITING: Final = 100_000
"""Events that may wait for a slow reader before the oldest are dropped (and counted)."""


class Listener:
    """Events that wait for their reader. Filled by the runs that it follows, one at a time; owned by the
    task that reads."""

    def __init__(self) -> None:
        self._events: deque[WorkflowEvent] = deque(maxlen=MAX_WAITING)
        self._wake: asyncio.Future[None] | None = None
        self._live: LiveRun | None = None
        self._told: Callable[[WorkflowEvent], None] = _unread
        """What the run calls for each event; it holds this weakly, for readers that leave."""
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._events)

    def put(self, event: WorkflowEvent) -> None:
        """Add *event*."""
        if len(self._events) == MAX_WAITING:
            self.dropped += 1
        self._events.append(event)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def look(self) -> WorkflowEvent | None:
        """Return the event that has waited for longest, and leave it there."""
        return self._events[0] if self._events else None

    def take(self) -> WorkflowEvent | None:
        """Return the event that has waited for longest, if there is one."""
        return self._events.popleft() if self._events else None

    def follow(self, live: LiveRun) -> None:
        """Be told what happens in *live* from now on, and in no other run."""
        self.leave()
        self._live = live
        if not live.over:
            self._told = _teller(weakref.ref(self), live)
            live.attach(self._told)

    def follows(self, live: LiveRun) -> bool:
        """Tell whether it is told what happens in *live*, and something can still happen."""
        return self._live is live and live.follows(self._told)

    def leave(self) -> None:
        """Be told nothing more. Again: harmless."""
        live, self._live = self._live, None
        if live is not None:
            live.detach(self._told)

    async def until_some(self) -> None:
        """Return when there is an event. Only for one that follows a run."""
        if self._events:
            return
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None
            del self  # an error that is kept holds this frame


def _unread(_event: WorkflowEvent) -> None:
    """Take an event of no run."""


def _teller(listener: weakref.ref[Listener], live: LiveRun) -> Callable[[WorkflowEvent], None]:
    def tell(event: WorkflowEvent) -> None:
        reader = listener()
        if reader is None:
            live.detach(tell)
        else:
            reader.put(event)

    return tell
