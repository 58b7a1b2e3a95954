"""Which run has its turn: a bounded queue that is fair between workflows of different names."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ..errors import TooManyWorkflows

if TYPE_CHECKING:
    from ..state.live import LiveRun
    from .messages import StartRun

Queued = TypeVar("Queued", bound=Hashable)


SHARES: Final = 8
"""Into how many parts the reserve is divided: the places of it that one name may have."""


class FairQueue(Generic[Queued]):
    """Items in order within a name, and the names in turn.

    A thousand runs of one workflow delay the first run of another by one place, not by a thousand.
    Nor do they take its place: beyond the *limit* there is a *reserve* for names of which few wait.
    What goes in with ``first=True`` (a run that had its turn before and was only parked) comes out
    before the rest. Owned by the engine's admission.
    """

    def __init__(self, limit: int, reserve: int = 0) -> None:
        self.limit = limit
        self.reserve = reserve
        self._lanes: dict[str, deque[Queued]] = {}
        self._first: deque[Queued] = deque()
        self._removed: set[Queued] = set()
        self.size = 0
        """How many items there are: those in the lanes that have not been removed."""

    def __len__(self) -> int:
        return self.size

    def full_for(self, name: str) -> bool:
        """Whether no place is left for another item of *name*: neither a common one, nor a reserved one."""
        if self.size < self.limit:
            return False
        if self.size >= self.limit + self.reserve:
            return True
        few = max(1, self.reserve // SHARES)
        waiting = (item for item in self._lanes.get(name, ()) if item not in self._removed)
        return sum(1 for _ in islice(waiting, few)) == few

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
        lanes = self._lanes
        item = self._take(self._first)
        while item is None:
            if not lanes:
                raise IndexError("the queue is empty")
            name, lane = next(iter(lanes.items()))
            # To the end of the names; an empty lane goes, so that names do not pile up. One of which
            # all have been removed has had no turn by that.
            del lanes[name]
            item = self._take(lane)
            if lane:
                lanes[name] = lane
        self.size -= 1
        return item

    def _take(self, lane: deque[Queued]) -> Queued | None:
        """Take the next item of *lane* that has not been removed."""
        while lane:
            item = lane.popleft()
            if item not in self._removed:
                return item
            self._removed.discard(item)
        return None

    def remove(self, item: Queued) -> None:
        """Let *item*, which is in the queue, never come out."""
        # Looking for it would take time with the length of the queue; it is passed over instead.
        self._removed.add(item)
        self.size -= 1


class Admission:
    """Which runs have their turn, and which wait for it. Owned by the engine's actor.

    A run and its parts have one turn together: it is held as long as any of them does something.
    """

    def __init__(self, max_running: int, max_queued: int, reserve: int = 0) -> None:
        self._max_running = max_running
        self._queue: FairQueue[StartRun] = FairQueue(max_queued, reserve)
        self._turns: dict[str, set[str]] = {}
        """The runs that do something, by the run whose turn it is."""

    @property
    def waiting(self) -> bool:
        """Whether runs wait for their turn."""
        return self._queue.size > 0

    @property
    def queued(self) -> int:
        """How many runs wait for their turn."""
        return len(self._queue)

    @property
    def room(self) -> int:
        """How many runs more can begin at once."""
        return max(0, self._max_running - len(self._turns) - self._queue.size)

    @property
    def turns(self) -> list[str]:
        """The runs that have their turn."""
        return sorted(self._turns)

    def may_run(self, turn: str) -> bool:
        """Tell whether a run may run now whose turn that of the run *turn* is."""
        return turn in self._turns or len(self._turns) < self._max_running

    def check_room(self, name: str) -> None:
        """Raise `TooManyWorkflows` unless another run of the workflow *name* may wait."""
        if self._queue.full_for(name):
            raise TooManyWorkflows(len(self._turns), len(self._queue))

    def begin(self, run_id: str, turn: str) -> None:
        """Let a run have the turn of *turn*, whether or not there is one to give."""
        inside = self._turns.get(turn)
        if inside is None:
            self._turns[turn] = {run_id}
        else:
            inside.add(run_id)

    def end(self, run_id: str, turn: str) -> None:
        """Take note that a run does nothing any more: it has ended, or only waits."""
        inside = self._turns.get(turn)
        if inside is not None:
            inside.discard(run_id)
            if not inside:
                del self._turns[turn]

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
