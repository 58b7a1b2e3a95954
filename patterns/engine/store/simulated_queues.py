"""The queues of a store for simulated runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from .contract import Lease
from .grouped.store import GroupedStore
from .queues import QueueDepth, QueueLimits, QueuePlace
from .records import Owner

__all__ = ["SimulatedQueues"]

T = TypeVar("T")


class SimulatedQueues:
    """Gives out runs of queues in the store behind it, with the faults of a plan. Has no state of its own."""

    _inner: GroupedStore

    async def _operate(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Do *call*, as the plan lets it."""
        raise NotImplementedError

    async def take(
        self, owner: Owner, limits: QueueLimits, room: int, run_id: str | None = None
    ) -> list[Lease]:
        """Take up to *room* runs of a queue, as its limits allow."""
        return await self._operate("take", lambda: self._inner.take(owner, limits, room, run_id))

    async def serve(self, owner: Owner, queues: Iterable[str]) -> None:
        """Have it known which queues the owner takes runs of."""
        await self._operate("serve", lambda: self._inner.serve(owner, queues))

    async def queue_depths(self) -> list[QueueDepth]:
        """Return how many runs stand in each queue that is served, or has any."""
        return await self._operate("queue_depths", self._inner.queue_depths)

    async def queue_place(self, run_id: str, rate_s: float = 0.0) -> QueuePlace | None:
        """Return where a run stands that waits in a queue."""
        return await self._operate("queue_place", lambda: self._inner.queue_place(run_id, rate_s))
