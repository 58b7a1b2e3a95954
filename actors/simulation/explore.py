"""Every interleaving of a small system, each essentially different one once.

Stateless model checking with dynamic partial-order reduction: run, look at which steps of the run
depended on each other without being ordered by anything else (a race), and run again with each such
pair the other way round. Steps that cannot see each other are not tried in both orders. Source sets
choose what to try, sleep sets drop what was tried in another branch.

Source: Flanagan and Godefroid, "Dynamic Partial-Order Reduction for Model Checking Software", POPL
2005; Abdulla, Aronis, Jonsson, Sagonas, "Optimal Dynamic Partial Order Reduction", POPL 2014
(source-DPOR). Concuerror does this for Erlang.

What a step can see. An actor's turn depends on another one if both send to the same actor, if one
signals the other (exit, kill), if they are turns of the same actor, or if both `touch` the same
resource. Steps of tasks, timers and plain callbacks share memory in ways that cannot be known, so they
depend on everything. Actors that share Python objects must say so with `touch`, or give up the
reduction with ``reduce=False``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .candidates import ActorTurn, CallbackLane, key_of, owner_of
from .schedule import Schedule

T = TypeVar("T")

Lane = int


@dataclass(slots=True)
class Footprint:
    """What one step touched."""

    lane: Lane
    everything: bool
    #: Actors whose own state it reached (signals, resources given to `touch`).
    touched: set[object] = field(default_factory=set[object])
    #: Actors whose mailbox it appended to: two such steps order the messages.
    sent: set[object] = field(default_factory=set[object])
    #: Steps without which this one could not have happened.
    causes: int = 0

    def depends_on(self, other: Footprint) -> bool:
        """Whether the order of the two can be seen at all."""
        if self.lane == other.lane or self.everything or other.everything:
            return True
        return (
            not self.sent.isdisjoint(other.sent)
            or not self.touched.isdisjoint(other.touched)
            or other.lane in self.touched
            or self.lane in other.touched
        )


@dataclass(slots=True)
class _Node:
    """The state before one step: which lanes could go, were tried, and still have to be."""

    enabled: list[Lane]
    chosen: Lane
    sleep: dict[Lane, Footprint]
    done: dict[Lane, Footprint] = field(default_factory=dict[Lane, Footprint])
    backtrack: set[Lane] = field(default_factory=set[Lane])

    def next_lane(self) -> Lane | None:
        """Return a lane still to be tried here."""
        for lane in self.enabled:
            if lane in self.backtrack and lane not in self.done and lane not in self.sleep:
                return lane
        return None


class ExploringChooser:
    """Follows the path of an exploration to its end, goes on in any way, and notes footprints."""

    #: The loop asks this chooser at every step, also where there is no choice.
    every_step = True

    def __init__(self, path: list[_Node], *, reduce: bool) -> None:
        self._path = path
        self._reduce = reduce
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._next_lane = 0
        #: Candidates seen and not yet chosen, by identity.
        self._known: dict[int, object] = {}
        #: Of a lane: the steps that made its pending step possible, as a bit mask.
        self._causes: dict[Lane, int] = {}
        self.steps: list[Footprint] = []
        self.decisions: list[int] = []
        #: Set when all that could go was tried elsewhere: the rest of the run shows nothing new.
        self.redundant = False
        self._over = False

    # -- what the run tells ---------------------------------------------------------------------

    def lane_of(self, owner: object) -> Lane:
        """Return the number of a runner: its place in the order of first appearance."""
        key = key_of(owner)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._next_lane
            self._next_lane += 1
        return lane

    def sent(self, target: object) -> int:
        """Note that the current step sent to *target*, and return the step for `handled`."""
        if self.steps and not self._over:
            self.steps[-1].sent.add(self.lane_of(target))
        return len(self.steps) - 1

    def handled(self, step: int) -> None:
        """Note that the current step handles what step number *step* sent."""
        if self.steps and step >= 0 and not self._over:
            self.steps[-1].causes |= 1 << step

    def signalled(self, target: object) -> None:
        """Note that the current step sent a signal to *target*, which overtakes its messages."""
        if self.steps and not self._over:
            self.steps[-1].touched.add(self.lane_of(target))

    def touch(self, resource: object) -> None:
        """Note that the current step used *resource*, shared with others."""
        if self.steps:
            self.steps[-1].touched.add(("resource", resource))

    def scenario_is_over(self) -> None:
        """Stop exploring: how the system shuts down is not what the scenario is about."""
        self._over = True

    # -- choosing -------------------------------------------------------------------------------

    def choose(self, candidates: Sequence[object]) -> int:
        if self._over:
            return 0
        owners = [owner_of(candidate) for candidate in candidates]
        lanes = [self.lane_of(owner) for owner in owners]
        self._note_new(candidates, lanes)
        index = 0 if self.redundant else self._pick(lanes)
        if len(candidates) > 1:
            self.decisions.append(index)
        lane = lanes[index]
        actor_turn = isinstance(candidates[index], ActorTurn)
        step = Footprint(lane, everything=not (actor_turn and self._reduce))
        step.causes = self._causes.pop(lane, 0)
        self.steps.append(step)
        chosen = candidates[index]
        del self._known[id(chosen)]
        key = key_of(owners[index])
        if key[0] == "step" and not isinstance(chosen, CallbackLane):
            del self._lanes[key]  # it never comes again, and its identity may be another's soon
        return index

    def _note_new(self, candidates: Sequence[object], lanes: Sequence[Lane]) -> None:
        """What has become ready since the last choice was made so by the step in between."""
        last = len(self.steps) - 1
        for candidate, lane in zip(candidates, lanes, strict=True):
            if id(candidate) in self._known:
                continue
            self._known[id(candidate)] = candidate
            if last < 0:
                continue
            if isinstance(candidate, ActorTurn):
                self._causes[lane] = self._causes.get(lane, 0) | 1 << last
                if self.steps[last].lane != lane:
                    self.steps[last].sent.add(lane)
            else:
                # Time moves only when nothing else could happen, so a timer comes after it all.
                self._causes[lane] = (1 << last + 1) - 1

    def _pick(self, lanes: list[Lane]) -> int:
        depth = len(self.steps)
        path = self._path
        if depth < len(path):
            return lanes.index(path[depth].chosen)
        sleep: dict[Lane, Footprint] = {}
        if depth:
            before, went = path[depth - 1], self.steps[-1]
            tried = {**before.sleep, **before.done}
            sleep = {
                lane: footprint
                for lane, footprint in tried.items()
                if lane != went.lane and lane in lanes and not footprint.depends_on(went)
            }
        for index, lane in enumerate(lanes):
            if lane not in sleep:
                path.append(_Node(lanes, lane, sleep, backtrack={lane}))
                return index
        self.redundant = True
        return 0


@dataclass(frozen=True, slots=True)
class Exploration(Generic[T]):
    """What an exploration found."""

    #: Runs made.
    schedules: int
    #: Of these, runs given up because they could show nothing new.
    redundant: int
    #: Whether every essentially different interleaving was tried.
    exhaustive: bool
    #: Schedule and outcome of each run that failed.
    failures: tuple[tuple[Schedule, T], ...]


def explore(
    run: Callable[[ExploringChooser], T],
    *,
    failed: Callable[[T], bool],
    max_schedules: int = 10_000,
    reduce: bool = True,
    keep_going: bool = False,
) -> Exploration[T]:
    """Run every essentially different interleaving, until one fails or none is left.

    *run* makes one run from scratch with the chooser that it is given; *failed* looks at its
    outcome. *keep_going* goes on after a failure. At most *max_schedules* runs are made, and then
    the result says that it is not exhaustive.
    """
    path: list[_Node] = []
    schedules = redundant = 0
    failures: list[tuple[Schedule, T]] = []
    while schedules < max_schedules:
        chooser = ExploringChooser(path, reduce=reduce)
        outcome = run(chooser)
        schedules += 1
        redundant += chooser.redundant
        if failed(outcome):
            failures.append((Schedule.of(chooser.decisions), outcome))
            if not keep_going:
                return Exploration(schedules, redundant, False, tuple(failures))
        _record(path, chooser.steps)
        if reduce:
            _plan_reversals(path, chooser.steps)
        else:
            for node in path:
                node.backtrack.update(node.enabled)
        if not _advance(path):
            return Exploration(schedules, redundant, True, tuple(failures))
    return Exploration(schedules, redundant, False, tuple(failures))


def _record(path: list[_Node], steps: Sequence[Footprint]) -> None:
    for node, step in zip(path, steps, strict=False):
        node.done[node.chosen] = step


def _advance(path: list[_Node]) -> bool:
    """Turn to the deepest state with something left to try; tell whether there is one."""
    while path:
        node = path[-1]
        lane = node.next_lane()
        if lane is not None:
            node.chosen = lane
            return True
        path.pop()
    return False


def _plan_reversals(path: list[_Node], steps: Sequence[Footprint]) -> None:
    """Find the races of a run and have each tried the other way round."""
    before: list[int] = []
    for j, step in enumerate(steps[: len(path)]):
        known = _closure(_bits(step.causes), before)
        for i in range(j - 1, -1, -1):
            if known >> i & 1:
                continue
            other = steps[i]
            if step.depends_on(other):
                if other.lane != step.lane:
                    _reverse(path, steps, before, i, j)
                known |= before[i] | 1 << i
        before.append(known)


def _reverse(
    path: list[_Node], steps: Sequence[Footprint], before: Sequence[int], i: int, j: int
) -> None:
    """Let step *j* come before step *i* in a later run: start with what it needs at state *i*."""
    free = [k for k in range(i + 1, j) if not before[k] >> i & 1]
    node = path[i]
    first: list[Lane] = []
    seen = 0
    for k in free:
        if not before[k] & seen and steps[k].lane not in first:
            first.append(steps[k].lane)
        seen |= 1 << k
    # What step j itself waits for, within the free steps, goes first; else j may.
    if not _closure(_bits(steps[j].causes), before) & seen and steps[j].lane not in first:
        first.append(steps[j].lane)
    starters = [lane for lane in first if lane in node.enabled]
    if not starters:
        node.backtrack.update(node.enabled)
    elif node.backtrack.isdisjoint(starters):
        node.backtrack.add(starters[-1])


def _bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _closure(steps: Iterable[int], before: Sequence[int]) -> int:
    known = 0
    for step in steps:
        known |= 1 << step
        if step < len(before):
            known |= before[step]
    return known
