"""Parts: runs that work on the steps of other runs, begun, found again, gone on with and undone.

A part has the same id for every attempt of its step, so there is one of it, in memory and in the
store. An attempt finds it in whatever state it is: one that has not begun begins, one that runs or
waits is waited for, one that failed goes on after its finished steps, and one that was completed has
the answer already. Which attempt it works for stands in its journal (`Run.serving`): so a part that
failed for *this* attempt is its outcome, and one that failed for an earlier attempt is to be resumed.

The tree of runs lives in one engine. While all that a run waits for are parts that wait themselves,
it is parked like any run that waits, and taken up again at the end of a part.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from pydantic_core import from_json, to_json

from agenticaiframework.actors import NO_USAGE

from ...vocabulary.errors import NestedTooDeep
from ..errors import EngineError, WorkflowExists
from ..runner.part import UndoFailed
from ..runner.waiting import answered_by, matching_signal
from ..state.cancellation import Cancellation
from ..state.events import EventKind
from ..state.part_names import part_id, path_of, place_of, unit_of
from ..state.status import WorkflowState
from ..state.views import ending_of
from .launching import make_run
from .messages import CancelRun, StartRun
from .seeking import PartFound, PartSeeker, Seek

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, Meter, Usage

    from ...vocabulary.target import Scope
    from ..definition.plan import Plan, StepPlan
    from ..runner.opening import Opening
    from ..state.live import LiveRun
    from ..state.run import Run
    from .launching import LaunchHost

KEPT: Final = 100
"""Parts of one run that are kept after they were completed, so that its status can show them."""

MAX_RECURRENCES: Final = 1_000
"""How often workflows may begin within themselves, in all that stands in one run: one that contains
itself twice would double with every level, and fill the memory long before it is too deep."""

INLINE_DEPTH: Final = 8
"""Levels of parts that begin in one turn: each takes some dozen frames of the stack."""


class Work(Protocol):
    """What a part is asked for: an attempt, or a pattern's question."""

    plan: StepPlan
    number: int
    payload: Any
    target: Any
    item: int | None
    iteration: int
    via: str
    undo: bool
    undoes: bool
    again: bool
    stopping: bool
    generation: int
    parked: bool
    value: Any
    error: BaseException | None
    undone: Any
    scope: Scope | None

    @property
    def meter(self) -> Meter:
        """What it spends on models."""
        ...

    def spent_in_part(self, part: str, usage: Usage) -> None:
        """Take note of what the part has spent in all."""
        ...

    def finished(self) -> None:
        """Tell whatever waits that there is an outcome."""
        ...


class PartsHost(Protocol):
    """The engine's actor, as its parts know it."""

    @property
    def launch_host(self) -> LaunchHost:
        """What makes runs."""
        ...

    @property
    def ending(self) -> bool:
        """Whether the engine is about to end."""
        ...

    def tell(self, message: Any) -> None:
        """Send the engine's actor a message."""
        ...

    def take_in(self, start: StartRun) -> None:
        """Let a run begin or go on, in this turn."""
        ...

    def cancel(self, message: CancelRun) -> None:
        """Cancel a run, in this turn."""
        ...

    def nudge(self, live: LiveRun) -> None:
        """Have a run look at what there is for it."""
        ...

    def expedite(self, live: LiveRun) -> None:
        """Let a run that waits for its turn begin now: the run around it has one."""
        ...

    def wake(self, live: LiveRun) -> None:
        """Take up a run again that is parked."""
        ...

    def spawn(self, actor_class: Any, *args: Any) -> ActorRef[Any]:
        """Start an actor that ends with the engine's."""
        ...


@dataclass(slots=True)
class _Bond:
    """Which work of which run a part works for."""

    parent: LiveRun
    work: Work
    variables: Context | None
    once_more: bool = False
    """Whether what it ends with now is an earlier attempt's: the work then looks at it anew."""


class Parts:
    """Which runs are parts of what. Owned by the engine's actor, called in its turn or a coordinator's."""

    def __init__(self, host: PartsHost, max_depth: int) -> None:
        self._host = host
        self._max_depth = max_depth
        self._bonds: dict[str, _Bond] = {}
        """By the id of the part."""

    # -- beginning, and finding again ----------------------------------------------------------------

    def start(self, parent: LiveRun, work: Work, variables: Context | None, unit: str = "") -> None:
        """Have a part begin, or go on, for *work*; its end ends that."""
        if not unit:
            undo = work.undo and not work.undoes
            unit = unit_of(work.plan.id, work.item, work.iteration, work.via, undo)
        run_id = part_id(parent.id, unit)
        bond = _Bond(parent, work, variables)
        child = self._known(parent, run_id)
        # What the store did not take of a part has not happened: only the store tells where it stands.
        lost = child is not None and (child.interrupted or child.refused is not None)
        if child is not None and not (lost and child.over):
            self._go_on(bond, child)
        elif parent.run.persist and (lost or work.again or work.number > 1 or work.generation):
            self._seek(bond, run_id)
        else:
            self._begin(bond, run_id)

    def _known(self, parent: LiveRun, run_id: str) -> LiveRun | None:
        there = None if parent.parts is None else parent.parts.get(run_id)
        here = self._host.launch_host.roster.get(run_id)
        return there if here is None or (here.over and there is not None) else here

    def _begin(self, bond: _Bond, run_id: str) -> None:
        """Have a part begin that there is not."""
        work = bond.work
        if work.stopping or work.undoes:
            if work.undoes:
                self._fail(work, EngineError(f"the run {run_id!r} is not there any more"))
            else:
                self._fail(work, EngineError("it was stopped before it had begun"))
            return
        try:
            child = self._make(bond, run_id)
            self._count(bond.parent, child)
        except Exception as error:
            self._fail(work, error)
            return
        child.run.serving = (work.generation, work.number)
        self._bind(bond, child)
        self._take_in(StartRun(child))

    def _take_in(self, start: StartRun) -> None:
        """Have a part begin or go on, in this turn unless it stands so deep that the stack would not do."""
        if start.live.depth % INLINE_DEPTH:
            self._host.take_in(start)
        else:
            start.live.coming = True
            self._host.tell(start)

    def _make(self, bond: _Bond, run_id: str) -> LiveRun:
        parent, work = bond.parent, bond.work
        core = self._host.launch_host
        scope = work.scope
        assert scope is not None, "it is made for what is asked within others"
        caller = Context() if bond.variables is None else bond.variables.copy()
        child = make_run(
            core,
            work.target.plan,
            work.payload,
            run_id=run_id,
            persist=parent.run.persist,
            part_of=parent.run,
            caller=caller,
            context=scope.context,
            resolver=scope.resolver,
        )
        if core.tracer is not None:
            child.parent_span = core.tracer.find((scope.context or {}).get("span_id"))
        return child

    def _count(self, parent: LiveRun, child: LiveRun) -> None:
        """Raise `NestedTooDeep` for a workflow that contains itself without end."""
        plan = child.run.plan
        if parent.depth + 1 > self._max_depth:
            raise NestedTooDeep(_names(parent, plan))
        recurs = False
        top: LiveRun = parent
        while True:
            recurs = recurs or _same(top.run, child.run)
            if top.around is None:
                break
            top = top.around
        if recurs:
            top.recurrences += 1
            if top.recurrences > MAX_RECURRENCES:
                raise NestedTooDeep(_names(parent, plan), MAX_RECURRENCES)

    def _bind(self, bond: _Bond, child: LiveRun) -> None:
        """Let *child* work for what *bond* says."""
        parent = bond.parent
        self._bonds[child.id] = bond
        child.around, child.depth = parent, parent.depth + 1
        child.turn = parent.turn or parent.id
        if parent.parts is None:
            parent.parts = {}
        parent.parts[child.id] = child
        child.spends_for(bond.work.meter, parent.run.parts_usage.get(child.id, NO_USAGE))
        scope = bond.work.scope
        if child.told is not None:
            child.detach(child.told)
            child.told = None
        if scope is not None and scope.emit is not None:
            # What happens inside is told to the listeners of the run around it.
            child.told = cast("Callable[[Any], None]", scope.emit)
            child.attach(child.told)

    def _go_on(self, bond: _Bond, child: LiveRun) -> None:
        """Go on with a part that there is, from wherever it stands."""
        if not child.over:
            self._attach(bond, child)
            return
        work, run = bond.work, child.run
        serving = (work.generation, work.number)
        if work.undoes:
            if run.state is WorkflowState.COMPLETED:
                why = f"the run around it was undone: {bond.parent.run.last_error or 'cancelled'}"
                self._reopen(bond, child, ((EventKind.WORKFLOW_COMPENSATING, {"undo": why}),))
            else:
                self._deliver(bond, child)  # it has undone itself when it ended
        elif work.stopping:
            self._deliver(bond, child)
        elif run.state is WorkflowState.COMPLETED:
            if run.serving[0] >= work.generation:
                self._deliver(bond, child)
            else:
                self._rewind(bond, child)
        elif run.serving >= serving:
            self._deliver(bond, child)
        elif run.serving[0] < work.generation and _differs(run.input, work.payload):
            self._rewind(bond, child)
        else:
            data: dict[str, Any] = {"serving": list(serving)}
            if _differs(run.input, work.payload):
                data["input"] = work.payload
            self._reopen(bond, child, ((EventKind.WORKFLOW_RESUMED, data),))

    def _rewind(self, bond: _Bond, child: LiveRun) -> None:
        """Have a part run again from its beginning."""
        work = bond.work
        data = {
            "steps": list(child.run.plan.names),
            "serving": [work.generation, work.number],
            "input": work.payload,
        }
        self._reopen(bond, child, ((EventKind.WORKFLOW_REWOUND, data),))

    def _reopen(self, bond: _Bond, child: LiveRun, opening: Opening) -> None:
        """Let a part that has ended go on after the events of *opening*."""
        try:
            self._count(bond.parent, child)
        except NestedTooDeep as error:
            self._fail(bond.work, error)
            return
        if child.run.persist:
            self._seek(bond, child.id, opening)
            return
        setup = self._host.launch_host.setup
        scope = bond.work.scope
        try:
            names = setup.names_of(child.run.plan, None if scope is None else scope.resolver)
            child.bound = setup.bind(child.run.plan, names)
        except Exception as error:
            self._fail(bond.work, error)
            return
        child.resolve = names
        child.reopen()
        self._bind(bond, child)
        self._take_in(StartRun(child, opening=opening))

    def _attach(self, bond: _Bond, child: LiveRun) -> None:
        """Wait for a part that goes on here."""
        work = bond.work
        late = child.run.serving < (work.generation, work.number)
        bond.once_more = late and child.cancel is not None and not work.stopping
        first = child.around is None
        self._bind(bond, child)
        if child.resting or child.blocked:
            self.parked(child)
        elif child.queued is not None:
            self._host.expedite(child)
        if work.stopping:
            self.stop(bond.parent, work, bond.parent.cancel)
        elif child.blocked:
            pass  # what is sent to it is read when it goes on
        elif first and (not child.resting or any(run.signals for run in _around(child))):
            # From now on it sees the signals of the runs around it, too.
            child.unseen_signals = True
            self._host.nudge(child)

    def asked_for(self, live: LiveRun) -> bool:
        """Tell whether a handler under way waits for a run, or for one around it."""
        around: LiveRun | None = live
        while around is not None:
            bond = self._bonds.get(around.id)
            if bond is not None and getattr(bond.work, "waiting", False):
                return True
            around = around.around
        return False

    # -- in the store --------------------------------------------------------------------------------

    def _seek(
        self, bond: _Bond, run_id: str, opening: Opening = (), *, later: bool = False
    ) -> None:
        """Look for a part in the store, and let it go on after the events of *opening*.

        *later*: not before some time has passed, because the store has just failed.
        """
        keeper = self._host.launch_host.gate.keeper
        if keeper is None:
            self._fail(bond.work, EngineError("the store is closed"))
            return
        seek = Seek(run_id, opening, bond.parent, bond.work, bond)
        seek.later = later
        poll_s = self._host.launch_host.setup.config.poll_seconds
        self._host.spawn(PartSeeker, self._host, keeper, seek, poll_s)

    def found(self, message: PartFound) -> None:
        """A part has been looked for in the store."""
        bond: _Bond = message.seek.bond
        if not message.seek.wanted or self._host.ending:
            return
        if message.error is not None:
            self._fail(bond.work, message.error)
        elif message.live is None:
            self._begin(bond, message.seek.run_id)
        else:
            self._go_on(bond, message.live)

    # -- while it works ------------------------------------------------------------------------------

    def parked(self, child: LiveRun) -> None:
        """A part only waits from now on: for a signal, for a time, or until it is not blocked any more."""
        bond = self._bonds.get(child.id)
        if bond is not None and not bond.work.parked:
            bond.work.parked = True
            if bond.parent.ref is not None:
                self._host.nudge(bond.parent)

    def woken(self, child: LiveRun) -> None:
        """A part does something from now on."""
        bond = self._bonds.get(child.id)
        if bond is not None:
            bond.work.parked = False

    def stop(self, parent: LiveRun, work: Work, cancellation: Cancellation | None) -> None:
        """Cancel the part that works for *work*, as *cancellation* of the run around it says."""
        for child in tuple((parent.parts or {}).values()):
            bond = self._bonds.get(child.id)
            if bond is None or bond.work is not work or child.over:
                continue
            if cancellation is None:
                own = Cancellation(f"step {work.plan.id!r} of {parent.id} was stopped")
            else:
                own = Cancellation(
                    cancellation.reason,
                    graceful=cancellation.graceful,
                    compensate=cancellation.compensate,
                )
            self._host.cancel(CancelRun(child.id, own))
            return

    def takers(self, live: LiveRun, signals: tuple[Any, ...]) -> list[LiveRun]:
        """Return the runs in *live*, itself included, in which a step waits for one of *signals*.

        Each signal is for the first step in definition order that waits for it and has none yet.
        """
        found: dict[str, LiveRun] = {}
        taken: set[tuple[str, int]] = set()
        for signal in signals:
            for run, index in _waits(live):
                plan, state = run.run.plan.steps[index], run.run.steps[index]
                if state is not None and answered_by(state, signal):
                    found[run.id] = run
                    break
                if state is None or not state.waits or (run.id, index) in taken:
                    continue
                if matching_signal(run.run, plan, [signal]):
                    taken.add((run.id, index))
                    found[run.id] = run
                    break
        return list(found.values())

    # -- its end ---------------------------------------------------------------------------------

    def ended(self, child: LiveRun) -> None:
        """A part has ended, or is lost here: tell what waits for it."""
        bond = self._bonds.pop(child.id, None)
        child.around = None
        if child.told is not None:
            child.detach(child.told)  # it holds the run around it
            child.told = None
        if bond is None or self._host.ending:
            return
        parent = bond.parent
        parts = parent.parts
        lost = child.interrupted or child.refused is not None
        if lost or isinstance(child.error, WorkflowExists):
            # Another engine has it, or had begun it, or the store did not take what happened in it:
            # where it stands is looked up in the store, as soon as that can be.
            if parts is not None and parts.get(child.id) is child:
                del parts[child.id]
            if not parent.over and parent.run.persist:
                if parent.ref is not None or not parent.resting:
                    self._seek(bond, child.id, later=child.refused is not None)
                else:
                    self._host.wake(parent)
            return
        if parent.over:
            return
        if bond.once_more:
            bond.once_more = False
            self._go_on(bond, child)
            return
        self._deliver(bond, child)

    def _deliver(self, bond: _Bond, child: LiveRun) -> None:
        """End the work with what its part has ended with."""
        work, run, parent = bond.work, child.run, bond.parent
        undone: dict[str, Any] = {}
        if run.compensated:
            undone["compensated"] = list(run.compensated)
        if run.undo_failed:
            undone["undo_failed"] = list(run.undo_failed)
        work.undone = undone or None
        work.spent_in_part(child.id, run.usage)
        if parent.parts is None:
            parent.parts = {}
        parent.parts[child.id] = child
        if parent.ref is not None and len(parent.parts) > KEPT and not _needed(child):
            del parent.parts[child.id]
        if work.undoes:
            if run.undo_failed:
                work.error = UndoFailed(run.plan.name, run.undo_failed)
            else:
                work.value = None
        elif run.state is WorkflowState.COMPLETED:
            work.value = child.result
        else:
            work.error = child.error or ending_of(run)
        if parent.resting and parent.ref is None:
            self._host.wake(parent)
        elif parent.ref is None:
            parent.unseen_signals = True  # it is about to be parked, and looks once more
        work.finished()

    def _fail(self, work: Work, error: BaseException) -> None:
        work.error = error
        work.finished()


def _needed(child: LiveRun) -> bool:
    """Tell whether a part may still be undone, or resumed."""
    if child.run.state is not WorkflowState.COMPLETED or child.run.plan.compensates:
        return True
    return any(_needed(part) for part in (child.parts or {}).values())


def _around(live: LiveRun) -> list[LiveRun]:
    found: list[LiveRun] = []
    around = live.around
    while around is not None:
        found.append(around)
        around = around.around
    return found


def _waits(live: LiveRun) -> list[tuple[LiveRun, int]]:
    """Return the steps that wait for a signal, or an answer, in *live* and its parts, in definition order."""
    found: list[tuple[LiveRun, int]] = []
    by_step: dict[int, list[tuple[int, LiveRun]]] = {}
    by_id = live.run.plan.by_id
    for part in (live.parts or {}).values():
        if not part.over:
            step, item = place_of(part.id, live.id)
            index = by_id[step].index if step in by_id else len(by_id)
            by_step.setdefault(index, []).append((item, part))
    for index, state in enumerate(live.run.steps):
        if state is not None and (state.waits or any(True for _ in state.open_questions())):
            found.append((live, index))
        for _, part in sorted(by_step.pop(index, ()), key=lambda one: one[0]):
            found += _waits(part)
    for rest in by_step.values():
        for _, part in rest:
            found += _waits(part)
    return found


def awaited(live: LiveRun) -> tuple[str, ...]:
    """Return the signals that *live* and its parts wait for, in definition order; none of many parts,
    through which each signal would have to go.
    """
    if len(live.parts or ()) > KEPT:
        return ()
    found: dict[str, None] = {}
    for run, index in _waits(live):
        state, wait = run.run.steps[index], run.run.plan.steps[index].definition.wait_for
        if wait is not None and state is not None and state.waits:
            found[wait.signal] = None
    return tuple(found)


def _names(parent: LiveRun, plan: Plan) -> tuple[str, ...]:
    """Return the path of names to a part that would be too deep, as errors show it."""
    top = _around(parent)[-1] if parent.around is not None else parent
    return (top.run.plan.name, *path_of(parent.id, top.id).split("/"), plan.name)


def _same(run: Run, other: Run) -> bool:
    """Tell whether two runs are of one workflow; of one that is code, each run has a plan of its own."""
    if run.plan.grows and other.plan.grows:
        return run.code_plan.code is other.code_plan.code
    return run.plan is other.plan


def _differs(stored: Any, given: Any) -> bool:
    """Tell whether a part would begin with another input now; as far as the store can tell."""
    if stored is given:
        return False
    try:
        return bool(stored != given) and bool(from_json(to_json(given)) != stored)
    except Exception:
        return False


__all__ = ["Parts", "PartsHost", "Work", "awaited"]
