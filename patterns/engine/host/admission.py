"""Which run has its turn: a bounded queue that is fair between workflows of different names."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import TooManyWorkflows

if TYPE_CHECKING:
    from ..state.live import LiveRun
    from .messages import StartRun

Queued = TypeVar("Queued", bound=Hashable)


class FairQueue(Generic[Queued]):
    """Items in order within a name, and the names in turn.

    A thousand runs of one workflow delay the first run of another by one place, not by a thousand.
    What goes in with ``first=True`` (a run that had its turn before and was only parked) comes out
    before the rest. Owned by the engine's admission.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lanes: dict[str, deque[Queued]] = {}
        self._first: deque[Queued] = deque()
        self._removed: set[Queued] = set()
        self.size = 0
        """How many items there are: those in the lanes that have not been removed."""

    def __len__(self) -> int:
        return self.size

    @property
    def full(self) -> bool:
        """Whether `put` would go over the limit."""
        return self.size >= self.limit

    def put(self, name: str, item: Queued, *, first: bool = False) -> None:
        """Add *item* behind the others of its name."""
        if first:
            self._first.append(item)
        else:
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = deque()
            lane.append(item)
        self.size += 1

    def get(self) -> Queued:
        """Take the item whose turn it is; raises IndexError when there is none."""
        while True:
            item = self._next()
            if item not in self._removed:
                self.size -= 1
                return item
            self._removed.discard(item)

    def _next(self) -> Queued:
        if self._first:
            return self._first.popleft()
        try:
            name, lane = next(iter(self._lanes.items()))
        except StopIteration:
            raise IndexError("the queue is empty") from None
        item = lane.popleft()
        # To the end of the names; an empty lane goes, so that names do not pile up.
        del self._lanes[name]
        if lane:
            self._lanes[name] = lane
        return item

    def remove(self, item: Queued) -> None:
        """Let *item*, which is in the queue, never come out."""
        # Looking for it would take time with the length of the queue; it is passed over instead.
        self._removed.add(item)
        self.size -= 1


class Admission:
    """Which runs have their turn, and which wait for it. Owned by the engine's actor.

    A part of a run runs in that run's turn: it neither waits for one nor takes one.
    """

    def __init__(self, max_running: int, max_queued: int) -> None:
        self._max_running = max_running
        self._queue: FairQueue[StartRun] = FairQueue(max_queued)
        self._turns: set[str] = set()
        self._parts: set[str] = set()

    @property
    def waiting(self) -> bool:
        """Whether runs wait for their turn."""
        return self._queue.size > 0

    @property
    def turns(self) -> list[str]:
        """The runs that have their turn."""
        return sorted(self._turns)

    def is_part(self, run_id: str) -> bool:
        """Tell whether a run counts as part of one that has its turn."""
        return run_id in self._parts

    def join(self, run_id: str) -> None:
        """Let a run count as part of one that has its turn, until it is forgotten."""
        self._parts.add(run_id)

    def may_run(self, run_id: str) -> bool:
        """Tell whether a run may run now."""
        return run_id in self._parts or len(self._turns) < self._max_running

    def check_room(self) -> None:
        """Raise `TooManyWorkflows` unless another run may wait."""
        if self._queue.full:
            raise TooManyWorkflows(len(self._turns), len(self._queue))

    def begin(self, run_id: str) -> None:
        """Give a run its turn, whether or not there is one to give."""
        if run_id not in self._parts:
            self._turns.add(run_id)

    def end(self, run_id: str) -> None:
        """Take the turn of a run back: it ends, or only waits."""
        self._turns.discard(run_id)

    def forget(self, run_id: str) -> None:
        """Take note that a run is over."""
        self._parts.discard(run_id)

    def put(self, start: StartRun) -> None:
        """Let a run wait for its turn: in front, if it had one before and was only parked."""
        run = start.live.run
        self._queue.put(run.plan.name, start, first=run.started_at is not None)
        start.live.queued = start

    def next(self) -> StartRun | None:
        """Return the start of a run that has its turn now, if there is one."""
        if not self._queue.size or len(self._turns) >= self._max_running:
            return None
        start = self._queue.get()
        start.live.queued = None
        return start

    def remove(self, live: LiveRun) -> None:
        """Take a run out of the queue, if it is in there."""
        start, live.queued = live.queued, None
        if start is not None:
            self._queue.remove(start)
