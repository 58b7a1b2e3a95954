"""The story of one run: what has become of it and of its steps.

Nothing here says why something changes: each change follows from an event, and `transitions` says
how. So what a process knows and what the next one reads in the journal cannot differ.
"""

from __future__ import annotations

import marshal
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from agenticaiframework.actors import NO_USAGE, Usage, WorkLimits

from ..code.plan import NO_POLICY, GrowingPlan
from ..definition.templates import SKIPPED
from .status import StepState, WorkflowResult, WorkflowState
from .step_run import BUSY, COMPLETED, ENDED, StepRun

if TYPE_CHECKING:
    from ..code.plan import CallPlan, CallPolicy, CodePlan
    from ..definition.plan import Plan, StepPlan

CANCEL: Final = -1
"""Stands among the outcomes of a run where its code was cancelled."""


class Run:
    """One execution of a plan. Changed by the events of `transitions.apply`, and by nothing else."""

    # Class attributes as defaults: one is made for each run, and most of these never change.
    started_at: float | None = None
    finished_at: float | None = None
    resumed_at: float | None = None
    """When it was last made to go on after its end; its time limit counts from then."""
    failed_steps: tuple[str, ...] = ()
    last_error: str | None = None
    failure: Mapping[str, Any] | None = None
    """Why it failed, as `failure_record` has it."""
    reason: str | None = None
    """Why it was cancelled."""
    blocked: str | None = None
    """Why it cannot go on, while it cannot."""
    recoveries = 0
    """How often another engine has taken it over."""
    takeovers = 0
    """How often that happened while it was at work, since it last got on."""
    cancel_options: Mapping[str, Any] | None = None
    """How it is being cancelled, where that is not the usual way."""
    compensated: tuple[str, ...] = ()
    undo_failed: tuple[str, ...] = ()

    _packed: bytes | None = None
    """The story of a run that is code and waits."""
    _base: CodePlan
    """The workflow that it is a run of, while it is packed."""

    persist = False
    """Whether it is stored."""
    parent: str | None = None
    """The id of the run that it is a part of."""
    root: str | None = None
    """The id of the outermost run around it."""
    serving: tuple[int, int] = (0, 0)
    """Of a part: the generation, and the number, of the attempt that it began or went on for last."""
    queue: str | None = None
    """The queue that it was started in."""
    queue_key: str | None = None
    priority = 0
    outcomes: list[int] | None
    """Of a run that is code: the steps that have ended, in that order, and `CANCEL` where it was cancelled."""
    forgotten: Mapping[str, tuple[int, int]] = MappingProxyType({})
    """Of a run that is code: the next round and generation of calls that were rewound, by their step."""
    shows = 0
    """How often its code has set what it wants known."""
    output: Any = None
    """What its code returned, in its stored form."""
    context: Mapping[str, Any] | None = None
    """What the handlers of its steps find in `agent_context` beside what the engine says there."""
    answered: Mapping[str, int] = MappingProxyType({})
    """The questions that have been answered, each with the number of the signal that did."""
    shown: Any = None
    """What it wants known, as it said last."""
    span: str | None = None
    """Its span, as a W3C ``traceparent``, if it is traced."""
    forked_from: str | None = None
    """The id of the run that its first outcomes come from."""
    usage: Usage = NO_USAGE
    """What it has spent on models, as its events tell, with all beneath it."""
    parts_usage: Mapping[str, Usage] = MappingProxyType({})
    """What of that its parts have spent, by their ids."""
    usage_limits: WorkLimits | None = None
    """What it may spend on them."""
    kept: frozenset[str] = frozenset()
    """The steps whose outcomes are another run's: it has not done them, and never undoes them."""

    waiters: Mapping[int, tuple[int, ...]] | None = None
    """Which steps wait for each one, by index, if that is not what the plan says: with a definition
    that has changed, a finished step may stand behind one that is not."""

    def __init__(self, run_id: str, plan: Plan, input_data: Any, created_at: float) -> None:
        self.id = run_id
        self.plan = plan = plan.for_run()
        self.input = input_data
        self.state = _PENDING
        self.created_at = created_at
        self.skipped: set[str] = _NONE
        self.scope: dict[str, Any] = {"input": input_data, SKIPPED: _NONE}
        """What references read: the input, and the outputs of the steps that have ended."""
        self.steps: list[StepRun | None] = [None] * len(plan.steps)
        self.left = plan.waits_for.copy()
        """How many steps each one still waits for."""
        self.labels: Mapping[str, str] = plan.labels
        self.outcomes = [] if plan.grows else None

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.plan.name!r}: {self.state}>"

    def afresh(self) -> Run:
        """Return the same run as it was before anything happened in it."""
        run = Run(self.id, self.plan, self.input, self.created_at)
        run.persist, run.parent = self.persist, self.parent
        run.context, run.labels = self.context, self.labels
        run.usage_limits = self.usage_limits
        run.queue, run.queue_key, run.priority = self.queue, self.queue_key, self.priority
        return run

    # -- for its transitions -----------------------------------------------------------------------

    def step(self, index: int) -> StepRun:
        """Return what has become of a step, made when first asked for."""
        found = self.steps[index]
        if found is None:
            found = self.steps[index] = StepRun()
            if self.forgotten:
                found.round, found.generation = self.round_of(self.plan.steps[index].id)
        return found

    def round_of(self, step_id: str) -> tuple[int, int]:
        """Return the round, and the generation, in which a call of code begins that is not known."""
        return self.forgotten.get(step_id, (1, 0))

    def settle(
        self, plan: StepPlan, found: StepRun, state: StepState, output: Any, at: float
    ) -> None:
        """Note that a step has ended, and that the steps behind it wait for one less."""
        found.state = state
        found.ended_at = at
        if (
            found.due_at is not None
            or found.items is not None
            or found.previous is not None
            or found.inner is not None
        ):
            found.let_go(keep_items=found.part or plan.definition.compensate is not None)
        self.scope[plan.id] = output
        if state is not COMPLETED:
            if self.skipped is _NONE:
                self.skipped = self.scope[SKIPPED] = set[str]()
            self.skipped.add(plan.id)
        left = self.left
        for index in plan.dependents if self.waiters is None else self.dependents(plan):
            left[index] -= 1
        if self.outcomes is not None:
            self.outcomes.append(plan.index)

    def grow(
        self, step_id: str, call: Mapping[str, Any], policy: CallPolicy = NO_POLICY
    ) -> CallPlan:
        """Know a call that its code makes, as its next step."""
        plan = self.code_plan.grow(step_id, call, policy)
        self.steps.append(None)
        return plan

    def reopen_code(self) -> None:
        """Forget how the code came to its end, so that it runs again and gets past that.

        The calls that it failed with, or that were cut off or undone, run again; what it has done because
        of that counts if it does the same again, and else no more.
        """
        outcomes = self.outcomes or []
        self.shows = 0  # what it shows from there on may differ
        plan = self.code_plan
        kept: list[int] = []
        undone = [n for n in outcomes if n >= 0 and self.step(n).state is StepState.COMPENSATED]
        if undone:
            # What they return now may be another thing.
            for later in self.steps[min(undone) + 1 :]:
                if later is not None:
                    later.stale = True
        for index in outcomes:
            if index == CANCEL:
                for found in self.steps:
                    if found is not None and found.after_end:
                        found.stale = True
                continue
            found = self.step(index)
            if found.state is StepState.FAILED and plan.steps[index].id in self.failed_steps:
                for later in self.steps[found.behind :]:
                    if later is not None:
                        later.stale = True
            elif found.state in (StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED):
                kept.append(index)
        self.outcomes = kept

    def rewind_code(self, length: int) -> None:
        """Forget the calls after the first *length*, and what came of them."""
        forgotten = dict(self.forgotten)
        for plan in self.code_plan.steps[length:]:
            self.scope.pop(plan.id, None)
            found = self.steps[plan.index]
            if found is not None:
                done = found.state is COMPLETED or found.state is StepState.COMPENSATED
                forgotten[plan.id] = found.round + done, found.generation + 1
        self.forgotten = forgotten
        self.code_plan.shorten(length)
        del self.steps[length:]
        self.outcomes = [index for index in self.outcomes or [] if 0 <= index < length]

    @property
    def code_plan(self) -> GrowingPlan:
        """Its plan, where that is code."""
        assert isinstance(self.plan, GrowingPlan), "only code makes calls"
        return self.plan

    def dependents(self, plan: StepPlan) -> tuple[int, ...]:
        """Return the steps that wait for this one, by index."""
        return plan.dependents if self.waiters is None else self.waiters.get(plan.index, ())

    def rewind(self, step_ids: set[str]) -> None:
        """Forget the outcomes of *step_ids*, so that they run again; attempts count on."""
        for step_id in step_ids:
            plan = self.plan.by_id.get(step_id)
            found = None if plan is None else self.steps[plan.index]
            if plan is None or found is None:
                continue
            fresh = self.steps[plan.index] = StepRun()
            fresh.attempts, fresh.usage = found.attempts, found.usage
            done = found.state is COMPLETED or found.state is StepState.COMPENSATED
            fresh.round = found.round + done
            fresh.generation = found.generation + 1
            self.scope.pop(step_id, None)
            if step_id in self.skipped:
                self.skipped.discard(step_id)

    def recount(self) -> None:
        """Work out anew what each step still waits for."""
        left = self.left = self.plan.waits_for.copy()
        self.waiters = None
        if self.plan.grows:
            return  # no call waits for another, but the code for them
        ended: list[int] = []
        begun: list[int] = []
        for plan, found in zip(self.plan.steps, self.steps, strict=True):
            if found is None:
                continue
            if found.state in BUSY:
                begun.append(plan.index)
            elif found.state in ENDED:
                ended.append(plan.index)
                for index in plan.dependents:
                    left[index] -= 1
        for index in (*ended, *begun):
            if left[index]:
                # Only a new definition puts what has not ended before what has begun.
                self._rewire(frozenset(ended))
                break

    def _rewire(self, ended: frozenset[int]) -> None:
        """Let what waits for a finished step wait for what that would have waited for.

        Steps that a new definition puts before a finished one hold back only what has not ended, but
        all of that: it may read what they return.
        """
        steps = self.plan.steps
        held_by: dict[int, set[int]] = {}
        waiters: dict[int, list[int]] = {}
        left = self.plan.waits_for.copy()
        order = list(self.plan.roots)
        for index in order:  # it grows: each step comes after those that it waits for
            held = held_by[index] = set[int]()
            for before in steps[index].depends:
                held |= held_by[before] if before in ended else {before}
            for after in steps[index].dependents:
                left[after] -= 1
                if not left[after]:
                    order.append(after)
        for step in steps:
            self.left[step.index] = len(held_by[step.index])
            if step.index not in ended:
                for before in sorted(held_by[step.index]):
                    waiters.setdefault(before, []).append(step.index)
        self.waiters = {index: tuple(them) for index, them in waiters.items()}

    def held(self, index: int) -> bool:
        """Tell whether a step that was under way has to wait for one that a new definition put before it."""
        return self.waiters is not None and self.left[index] > 0

    def shrink(self) -> None:
        """Let go of what follows from the rest: there may be a hundred thousand that wait."""
        if self.waiters is None:
            self.left = _NOTHING_LEFT
        if isinstance(self.plan, GrowingPlan):
            self._pack(self.plan)

    def _pack(self, plan: GrowingPlan) -> None:
        """Keep the story of a run that is code as bytes, until it is looked at."""
        calls = [(step.id, dict(step.call or {})) for step in plan.steps]
        found = [
            None
            if one is None
            else {**_changed(one), "state": one.state.value, "usage": one.usage.to_record()}
            for one in self.steps
        ]
        outputs = {step.id: self.scope[step.id] for step in plan.steps if step.id in self.scope}
        try:
            packed = marshal.dumps((calls, found, outputs, self.outcomes, self.input))
        except ValueError:
            return  # a value that it has no form for: it stays as it is
        self._keep(plan, packed)

    def _keep(self, plan: GrowingPlan, packed: bytes) -> None:
        self._base = plan.of
        self._packed = packed
        for name in _PACKED:
            delattr(self, name)

    def looked_at(self) -> AbstractContextManager[Any]:
        """Return a context in which the story is read, and not changed: what was packed is so again.

        Without it a list of all runs, or a status, would leave each of them at its full size.
        """
        packed = self._packed
        return _AS_IT_IS if packed is None else self._unpacked(packed)

    @contextmanager
    def _unpacked(self, packed: bytes) -> Generator[None, None, None]:
        try:
            yield
        finally:
            if self._packed is None:
                self._keep(cast("GrowingPlan", self.plan), packed)

    def __getattr__(self, name: str) -> Any:
        # Only what is missing comes here: the story of a run that was packed.
        if name not in _PACKED or self._packed is None:
            raise AttributeError(name)
        self._unpack(self._packed)
        return getattr(self, name)  # not by __dict__, which each run would have from then on

    def _unpack(self, packed: bytes) -> None:
        calls, found, outputs, outcomes, given = marshal.loads(packed)
        del self._packed
        plan = self.plan = self._base.for_run()
        del self._base
        assert isinstance(plan, GrowingPlan), "only code is packed"
        self.input = given
        self.skipped = _NONE
        self.scope = {"input": given, SKIPPED: _NONE, **outputs}
        self.steps = []
        self.outcomes = outcomes
        for (step_id, call), fields in zip(calls, found, strict=True):
            plan.grow(step_id, call)
            one = None
            if fields is not None:
                one = StepRun()
                one.__dict__.update(fields)
                one.state = StepState(fields["state"])
                one.usage = Usage.from_dict(fields["usage"])
            self.steps.append(one)

    def outputs(self) -> dict[str, Any]:
        """Return what the steps have returned that have ended, by id; of a skipped one None."""
        names = self.plan.by_id if self.plan.grows else self.plan.names
        return {name: self.scope[name] for name in names if name in self.scope}

    # -- what follows from it ----------------------------------------------------------------------

    @property
    def finished_steps(self) -> int:
        """How many steps have ended, and have not been undone since."""
        count = 0
        for found in self.steps:
            if found is not None and found.state in ENDED:
                count += 1
        return count

    @property
    def limit_at(self) -> float | None:
        """When the time limit of the whole run is over, in seconds since the epoch."""
        limit_s, begun = self.plan.timeout_s, self.resumed_at or self.started_at
        return None if limit_s is None or begun is None else begun + limit_s

    def undo_errors(self) -> dict[str, str]:
        """Return why steps could not be undone: those here, their items, and what is in nested runs."""
        by_id = self.plan.by_id
        # The path of what is inside begins with the step here: ``tour/rome``, ``each[2]``.
        steps = {name: name.partition("/")[0].partition("[")[0] for name in self.undo_failed}
        found = [(name, self.steps[by_id[step].index]) for name, step in steps.items()]
        return {name: (step.undo_error if step else None) or "" for name, step in found}

    def ready(self) -> list[int]:
        """Return the steps that nothing holds back, and that have not ended."""
        if not self.left:
            self.recount()
        return [
            index
            for index, left in enumerate(self.left)
            if not left and ((found := self.steps[index]) is None or found.state not in ENDED)
        ]

    def default_input(self, plan: StepPlan) -> Any:
        """Return the input of a step that declares none: what the steps before it returned."""
        depends = plan.depends
        if not depends:
            return self.input
        steps = self.plan.steps
        if len(depends) == 1:
            before = steps[depends[0]]
            # A step that was skipped hands on what it would have got.
            if before.id in self.skipped:
                return self.default_input(before)
            return self.scope[before.id]
        return {steps[index].id: self.scope[steps[index].id] for index in depends}

    def collect(self) -> Any:
        """Return the result of a run that has completed."""
        plan = self.plan
        scope = self.scope
        if isinstance(plan, GrowingPlan):
            return plan.result_of(self.output)
        if plan.output is not None:
            return plan.output(scope)
        outputs = {name: scope.get(name) for name in plan.names}
        last = None
        for name in reversed(plan.names):
            if name not in self.skipped:
                last = outputs[name]
                break
        return WorkflowResult(outputs, last, self.id, plan.name)


def _changed(found: StepRun) -> dict[str, Any]:
    """Return what is said of a step, but for what is so from the beginning."""
    return {
        name: value for name, value in found.__dict__.items() if value != getattr(StepRun, name)
    }


_PENDING: Final = WorkflowState.PENDING

_PACKED: Final = ("input", "outcomes", "plan", "scope", "skipped", "steps")
"""What is kept as bytes while a run that is code waits."""

_AS_IT_IS: Final[AbstractContextManager[Any]] = nullcontext()
"""The look at a run that is not packed."""

_NOTHING_LEFT: Final[list[int]] = []
"""Stands for what `Run.recount` works out anew."""

_NONE: Final[set[str]] = set()
"""Shared by all runs without skipped steps; never added to."""
