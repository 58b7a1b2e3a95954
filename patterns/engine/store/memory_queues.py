"""The queues of a memory store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from .grouped.queue_choice import Waiting
from .grouped.queue_depths import depths
from .queues import QueueDepth, QueuePlace
from .records import BLOCKED

__all__ = ["BeginningTimes", "MemoryQueue", "QueuedRun", "depths_of", "is_waiting", "place_of"]

BeginningTimes = dict[str, list[int]]
"""When runs of a queue have begun, in microseconds since the epoch, by queue."""


class QueuedRun(Protocol):
    """A run as the memory store keeps it."""

    key: int
    run_id: str
    state: str
    created_at: int
    finished_at: int | None
    owner: int | None
    queue: str | None
    queue_key: str | None
    priority: int


def is_waiting(run: QueuedRun) -> bool:
    """Tell whether a run waits in a queue."""
    return (
        run.queue is not None
        and run.owner is None
        and run.finished_at is None
        and run.state != BLOCKED
    )


def _order(run: QueuedRun) -> tuple[int, int]:
    return -run.priority, run.key


class MemoryQueue:
    """One queue, as the engine *owner* sees it. Made for one taking."""

    def __init__(
        self,
        queue: str,
        owner: int,
        runs: Sequence[QueuedRun],
        begun: BeginningTimes,
        now: int,
        alive: Callable[[int | None], bool],
    ) -> None:
        self._owner = owner
        self._times = begun.get(queue, [])
        self._now = now
        self._alive = alive
        open_ = [run for run in runs if run.queue == queue and run.finished_at is None]
        self._held = [run for run in open_ if run.owner is not None]
        self._free = [run for run in open_ if run.owner is None]

    def held(self) -> int:
        """Return how many runs hold a place."""
        return len(self._held)

    def mine(self) -> int:
        """Return how many of them the engine has."""
        return sum(run.owner == self._owner for run in self._held)

    def held_by_key(self) -> Mapping[str, int]:
        """Return how many of them there are of each key."""
        return Counter(run.queue_key for run in self._held if run.queue_key is not None)

    def begun(self, rate_s: float) -> int:
        """Return how many have begun within the last seconds."""
        since = self._now - int(rate_s * 1e6)
        return sum(at > since for at in self._times)

    def _is_abandoned(self, run: QueuedRun) -> bool:
        return run.owner != self._owner and not self._alive(run.owner)

    def abandoned(self, limit: int) -> list[int]:
        """Return runs whose engines are dead, the oldest first."""
        found = (run.key for run in self._held if self._is_abandoned(run) and run.state != BLOCKED)
        return sorted(found)[:limit]

    def waiting(self, limit: int) -> list[Waiting]:
        """Return runs that wait, in their order."""
        waiting = sorted((run for run in self._free if is_waiting(run)), key=_order)
        return [(run.key, run.queue_key) for run in waiting[:limit]]

    def first_of_keys(self, full: Collection[str], limit: int) -> list[Waiting]:
        """Return the first of each key that is not *full*, and those without a key, in their order."""
        first: list[Waiting] = []
        seen = set(full)
        for run, key in self.waiting(len(self._free)):
            if key is None or key not in seen:
                first.append((run, key))
                if key is not None:
                    seen.add(key)
        return first[:limit]

    def this_one(self, run_id: str) -> tuple[int, str | None, bool] | None:
        """Return a run that could be taken: its number, its key, whether it is abandoned."""
        for run in (*self._held, *self._free):
            if run.run_id == run_id:
                if run.owner is not None and not self._is_abandoned(run):
                    return None
                return run.key, run.queue_key, run.owner is not None
        return None


def depths_of(
    runs: Sequence[QueuedRun], serving: Mapping[str, Collection[str]]
) -> list[QueueDepth]:
    """Return how many runs stand in each queue; *serving* are the living engines that serve one."""
    waiting: dict[str, list[int]] = {}
    taken: Counter[str] = Counter()
    for run in runs:
        if run.queue is not None and is_waiting(run):
            waiting.setdefault(run.queue, []).append(run.created_at)
        elif run.queue is not None and run.owner is not None and run.finished_at is None:
            taken[run.queue] += 1
    counted = [(queue, len(moments), min(moments)) for queue, moments in waiting.items()]
    return depths(counted, taken.items(), serving)


def place_of(
    run: QueuedRun, runs: Sequence[QueuedRun], begun: BeginningTimes, since: int
) -> QueuePlace | None:
    """Return where *run* stands among *runs* in its queue; None for one that does not wait."""
    if run.queue is None or not is_waiting(run):
        return None
    others = [other for other in runs if other.queue == run.queue and other.finished_at is None]
    key = run.queue_key
    return QueuePlace(
        sum(is_waiting(other) and _order(other) < _order(run) for other in others),
        sum(
            key is not None and other.queue_key == key and other.owner is not None
            for other in others
        ),
        sum(at > since for at in begun.get(run.queue, ())),
    )
