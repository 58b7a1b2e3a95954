"""The story of one run: what has become of it and of its steps.

Nothing here says why something changes: each change follows from an event, and `transitions` says
how. So what a process knows and what the next one reads in the journal cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..definition.templates import SKIPPED
from .status import StepState, WorkflowResult, WorkflowState
from .step_run import COMPLETED, ENDED, StepRun

if TYPE_CHECKING:
    from ..definition.plan import Plan, StepPlan


class Run:
    """One execution of a plan. Changed by the events of `transitions.apply`, and by nothing else."""

    # Class attributes as defaults: one is made for each run, and most of these never change.
    started_at: float | None = None
    finished_at: float | None = None
    resumed_at: float | None = None
    """When it was last made to go on after its end; its time limit counts from then."""
    failed_steps: tuple[str, ...] = ()
    last_error: str | None = None
    reason: str | None = None
    """Why it was cancelled."""
    compensated: tuple[str, ...] = ()
    undo_failed: tuple[str, ...] = ()

    persist = False
    """Whether it is stored."""
    parent: str | None = None
    """The id of the run that it is a part of."""
    context: Mapping[str, Any] | None = None
    """What the handlers of its steps find in `agent_context` beside what the engine says there."""

    def __init__(self, run_id: str, plan: Plan, input_data: Any, created_at: float) -> None:
        self.id = run_id
        self.plan = plan
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

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.plan.name!r}: {self.state}>"

    # -- for its transitions -----------------------------------------------------------------------

    def step(self, index: int) -> StepRun:
        """Return what has become of a step, made when first asked for."""
        found = self.steps[index]
        if found is None:
            found = self.steps[index] = StepRun()
        return found

    def settle(
        self, plan: StepPlan, found: StepRun, state: StepState, output: Any, at: float
    ) -> None:
        """Note that a step has ended, and that the steps behind it wait for one less."""
        found.state = state
        found.ended_at = at
        if found.due_at is not None or found.items is not None or found.previous is not None:
            found.let_go()
        self.scope[plan.id] = output
        if state is not COMPLETED:
            if self.skipped is _NONE:
                self.skipped = self.scope[SKIPPED] = set[str]()
            self.skipped.add(plan.id)
        left = self.left
        for index in plan.dependents:
            left[index] -= 1

    def rewind(self, step_ids: set[str]) -> None:
        """Forget the outcomes of *step_ids*, so that they run again; attempts count on."""
        for step_id in step_ids:
            plan = self.plan.by_id.get(step_id)
            found = None if plan is None else self.steps[plan.index]
            if plan is None or found is None:
                continue
            fresh = self.steps[plan.index] = StepRun()
            fresh.attempts = found.attempts
            self.scope.pop(step_id, None)
            if step_id in self.skipped:
                self.skipped.discard(step_id)

    def recount(self) -> None:
        """Work out anew what each step still waits for."""
        left = self.left = self.plan.waits_for.copy()
        for plan, found in zip(self.plan.steps, self.steps, strict=True):
            if found is not None and found.state in ENDED:
                for index in plan.dependents:
                    left[index] -= 1

    def shrink(self) -> None:
        """Let go of what follows from the rest: there may be a hundred thousand that wait."""
        self.left = _NOTHING_LEFT

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
        if plan.output is not None:
            return plan.output(scope)
        outputs = {name: scope.get(name) for name in plan.names}
        last = None
        for name in reversed(plan.names):
            if name not in self.skipped:
                last = outputs[name]
                break
        return WorkflowResult(outputs, last, self.id, plan.name)


_PENDING: Final = WorkflowState.PENDING

_NOTHING_LEFT: Final[list[int]] = []
"""Stands for what `Run.recount` works out anew."""

_NONE: Final[set[str]] = set()
"""Shared by all runs without skipped steps; never added to."""
