"""Serving queues: an engine takes runs when it has room for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from ..store import QueueDepth

if TYPE_CHECKING:
    from ..store import Owner, QueueLimits, Store
    from .recovery import Recovery
    from .setup import Setup

AT_ONCE: Final = 100
"""Runs taken in one transaction."""

LOOK_S: Final = 5.0
"""How old the depths may be that metrics tell of."""

RECENT_S: Final = 1.0
"""How old they may be that a run's status tells of: of many that are asked for, one counts the runs."""

BLOCKED_S: Final = 10.0
"""How often runs of the queues are looked at that could not go on when they were taken."""


class QueueHost(Protocol):
    """The engine's actor, as what serves its queues knows it."""

    @property
    def setup(self) -> Setup:
        """The configuration and the names."""
        ...

    def now(self) -> float:
        """Return the seconds since the epoch."""
        ...

    def room(self) -> int:
        """Return how many runs more the engine can begin."""
        ...


class QueueServer:
    """Takes runs of the queues that an engine serves. Owned by the keeper."""

    def __init__(self, host: QueueHost, store: Store, recovery: Recovery) -> None:
        self._host = host
        self._store = store
        self._recovery = recovery
        self._turns = [queue.limits for queue in host.setup.config.queues]
        """The queues, that one in front which is asked next."""
        self._served = {limits.queue: limits for limits in self._turns}
        self.depths: Mapping[str, QueueDepth] = {}
        """What stood in the queues when that was looked at last, by name."""
        self._looked_at = float("-inf")
        """When that was."""
        self._blocked_at = float("-inf")
        self.starved = False
        """Whether it took less than it might have for want of room."""

    @property
    def serves(self) -> bool:
        """Whether there is a queue to take runs of."""
        return bool(self._turns)

    def limits_of(self, queue: str) -> QueueLimits | None:
        """Return the limits of a queue that is served here."""
        return self._served.get(queue)

    async def register(self, owner: Owner) -> None:
        """Have it known which queues are served here."""
        if self._turns:
            await self._store.serve(owner, self._served)

    async def take(self) -> None:
        """Take runs as long as there are some, and room for them; the queues in turn."""
        if not self._turns or self._host.setup.draining:
            return
        room = self._host.room()
        waiting = list(self._turns)
        while waiting and room > 0 and not self._host.setup.draining:
            limits = waiting.pop(0)
            asked = min(room, AT_ONCE)
            taken = await self._recovery.take(limits, asked)
            room -= taken
            if taken == asked:
                waiting.append(limits)
            # What was asked last is asked first the next time, unless it was given something.
            self._turns.remove(limits)
            self._turns.append(limits)
        self.starved = room <= 0

    async def depth_of(self, queue: str) -> QueueDepth:
        """Return what stands in a queue, served here or not; at most `RECENT_S` old."""
        await self._look(RECENT_S)
        return self.depths.get(queue) or QueueDepth(queue)

    async def _look(self, old_s: float) -> None:
        now = self._host.now()
        if now - self._looked_at >= old_s:
            self.depths = {depth.queue: depth for depth in await self._store.queue_depths()}
            self._looked_at = now

    async def look(self) -> None:
        """Look at the depths, and at what is blocked, from time to time."""
        if not self._turns:
            return
        await self._look(LOOK_S)
        now = self._host.now()
        if now - self._blocked_at >= BLOCKED_S and not self._host.setup.draining:
            self._blocked_at = now
            for queue in self._served:
                await self._recovery.unblock(queue)
