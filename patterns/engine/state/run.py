"""The state of one run, and how it follows from what happened.

Every change is an event, and `Run.apply` is the one place that says what an event changes: the
coordinator applies events as they happen, recovery applies those of the journal. So what a process
knows and what the next one reads cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...vocabulary.target import target_name
from ..definition.templates import SKIPPED
from ..errors import WorkflowCancelled, WorkflowFailed
from .events import EventKind, WorkflowEvent
from .status import StepState, WorkflowResult, WorkflowState, WorkflowStatus
from .step_run import BUSY, COMPLETED, ENDED, StepRun, step_status
from .transitions import RUN_CHANGES, STEP_CHANGES

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef

    from ..definition.plan import Plan, StepPlan
    from ..store import Lease


class Run:
    """One execution of a plan. Owned by its coordinator, between two of them by the engine."""

    started_at: float | None = None
    finished_at: float | None = None
    finished_steps = 0
    failed_steps: tuple[str, ...] = ()
    last_error: str | None = None
    reason: str | None = None
    """Why it was cancelled."""
    compensated: tuple[str, ...] = ()
    undo_failed: tuple[str, ...] = ()

    persist = False
    lease: Lease | None = None
    refused: BaseException | None = None
    """Why the store did not take something that happened: from then on it is given nothing more."""
    bound: Sequence[Any] = ()
    """Who is asked in each step, by index."""
    ref: ActorRef[Any] | None = None
    """The coordinator, while there is one."""
    asked: Collection[Any] = ()
    """The attempts whose agents have been asked and have not answered."""
    waiters: list[Any] | None = None
    """Requests that are answered when the run ends."""
    listeners: list[Callable[[WorkflowEvent], None]] | None = None
    signals: list[Any] | None = None
    """Signals that no step has taken yet, oldest first."""
    unseen_signals = False
    """Whether signals have come that no coordinator has looked at."""
    parent: str | None = None
    error: BaseException | None = None
    """The error that a failed run raises in those who wait for it."""
    failure: BaseException | None = None
    """What made it fail, while compensations still run."""
    result: Any = None
    over = False
    """Whether it has ended, and everybody may know: its last event is stored, if it is to be."""
    cancel: Any = None
    """A cancellation that was asked for and has not been carried out."""
    restarts = 0
    queued: Any = None
    """Its place in the queue, while it waits for its turn."""
    accepted: Any = None
    """A request that is answered when the run is stored."""
    span: Any = None
    parent_span: Any = None
    """The span of the attempt that this run is a part of."""
    outside: Any = None
    """The tracing context of who started it."""
    waking: Any = None
    """The timer of a parked run."""
    resumed_at: float | None = None
    """When it was last made to go on after its end; its time limit counts from then."""

    def __init__(self, run_id: str, plan: Plan, input_data: Any, created_at: float) -> None:
        self.id = run_id
        self.plan = plan
        self.input = input_data
        self.state = WorkflowState.PENDING
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

    def accept(self, error: BaseException | None = None) -> None:
        """Tell who started it that it is stored, or cannot be."""
        request, self.accepted = self.accepted, None
        if request is not None:
            if error is None:
                request.reply(self.id)
            else:
                request.fail(error)

    @property
    def limit_at(self) -> float | None:
        """When the time limit of the whole run is over, in seconds since the epoch."""
        limit_s, begun = self.plan.timeout_s, self.resumed_at or self.started_at
        return None if limit_s is None or begun is None else begun + limit_s

    # -- what happened ---------------------------------------------------------------------------

    def step(self, index: int) -> StepRun:
        """Return what has become of a step, made when first asked for."""
        found = self.steps[index]
        if found is None:
            found = self.steps[index] = StepRun()
        return found

    def apply(self, kind: str, step_id: str, attempt: int, data: Any, at: float) -> None:
        """Change the state by what happened; events of steps that no longer exist change nothing."""
        change = STEP_CHANGES.get(kind)
        if change is None:
            RUN_CHANGES[kind](self, step_id, data or {}, at)
            return
        plan = self.plan.by_id.get(step_id)
        if plan is not None:
            change(self, plan, self.step(plan.index), attempt, data or {}, at)

    def settle(self, plan: StepPlan, state: StepState, output: Any, at: float) -> None:
        """Note that a step has ended, and that the steps behind it wait for one less."""
        found = self.steps[plan.index]
        if found is None:
            found = self.steps[plan.index] = StepRun()
        found.state = state
        found.ended_at = at
        if found.due_at is not None:
            found.due_at = None
        if found.iteration > 1:
            found.previous = None
        if found.items is not None:
            found.items = None
        self.scope[plan.id] = output
        self.finished_steps += 1
        if state is not COMPLETED:
            self._mark_skipped(plan.id)
        left = self.left
        for index in plan.dependents:
            left[index] -= 1

    def _mark_skipped(self, step_id: str) -> None:
        if self.skipped is _NONE:
            self.skipped = set()
            self.scope[SKIPPED] = self.skipped
        self.skipped.add(step_id)

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
        self.recount()

    def recount(self) -> None:
        """Work out anew what each step still waits for."""
        steps = self.plan.steps
        self.finished_steps = 0
        self.left = self.plan.waits_for.copy()
        for plan, found in zip(steps, self.steps, strict=True):
            if found is not None and found.state in ENDED:
                self.finished_steps += 1
                for index in plan.dependents:
                    self.left[index] -= 1

    def shrink(self) -> None:
        """Let go of what follows from the rest: there may be a hundred thousand that wait."""
        self.left = _NOTHING_LEFT

    # -- what to do next -------------------------------------------------------------------------

    def ready(self) -> list[int]:
        """Return the steps that nothing holds back, and that have not ended."""
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

    # -- what can be seen ------------------------------------------------------------------------

    def status(self) -> WorkflowStatus:
        """Return where the run stands now."""
        steps = {
            plan.id: step_status(plan, found)
            for plan, found in zip(self.plan.steps, self.steps, strict=True)
        }
        current = [name for name, step in steps.items() if step.state in BUSY]
        if not current:
            current = list(self.failed_steps)
        state = self.state
        if state.finished and not self.over:
            # Its last event is being written, and nothing has ended before it is.
            state = WorkflowState.RUNNING
        elif state is WorkflowState.RUNNING and self.ref is None and current:
            # As the store tells it, work may be under way that is done, or was cut off, elsewhere.
            at_work = any(found is not None and found.at_work for found in self.steps)
            state = state if at_work else WorkflowState.WAITING
        return WorkflowStatus(
            workflow_id=self.id,
            name=self.plan.name,
            state=state,
            current_steps=tuple(current),
            progress=100 * self.finished_steps // len(steps),
            steps=steps,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            last_error=self.last_error,
            reason=self.reason,
            persisted=self.persist,
            labels=self.labels,
            parent=self.parent,
        )

    def history(self) -> list[WorkflowEvent]:
        """Return events that tell how the run came to where it is, for who did not see them."""
        events: list[WorkflowEvent] = []

        def add(
            kind: EventKind, at: float | None, step: str = "", attempt: int = 0, data: Any = None
        ) -> None:
            events.append(WorkflowEvent(kind, self.id, step, attempt, data, at or 0.0))

        if self.started_at is not None:
            add(EventKind.WORKFLOW_STARTED, self.started_at, data={"workflow": self.plan.name})
        for plan, found in zip(self.plan.steps, self.steps, strict=True):
            if found is None:
                continue
            if found.started_at is not None:
                add(EventKind.STEP_STARTED, found.started_at, plan.id, found.attempts)
            ended = _ENDINGS.get(found.state)
            if ended is not None:
                data = {"output": self.scope.get(plan.id)} if found.state is COMPLETED else None
                if found.error is not None:
                    data = {"error": found.error}
                add(ended, found.ended_at, plan.id, found.attempts, data)
        events.sort(key=lambda event: event.at)
        ending = _RUN_ENDINGS.get(self.state)
        if ending is not None:
            add(ending, self.finished_at, data=self.ending())
        return events

    def ending(self) -> dict[str, Any]:
        """Return what the last event of the run says."""
        if self.state is WorkflowState.FAILED:
            return {"error": self.last_error, "steps": list(self.failed_steps)}
        if self.state is WorkflowState.CANCELLED:
            return {"reason": self.reason}
        return {}


_NOTHING_LEFT: Final[list[int]] = []
"""Stands for what `Run.recount` works out anew."""

_NONE: Final[set[str]] = set()
"""Shared by all runs without skipped steps; never added to."""

_ENDINGS: Final = {
    StepState.COMPLETED: EventKind.STEP_COMPLETED,
    StepState.SKIPPED: EventKind.STEP_SKIPPED,
    StepState.FAILED: EventKind.STEP_FAILED,
    StepState.CANCELLED: EventKind.STEP_CANCELLED,
}
_RUN_ENDINGS: Final = {
    WorkflowState.COMPLETED: EventKind.WORKFLOW_COMPLETED,
    WorkflowState.FAILED: EventKind.WORKFLOW_FAILED,
    WorkflowState.CANCELLED: EventKind.WORKFLOW_CANCELLED,
}


def ending_of(run: Run) -> BaseException:
    """Return the error that a run read from the store raises, unless it has been completed."""
    if run.state is WorkflowState.CANCELLED:
        return WorkflowCancelled(run.plan.name, run.id, run.reason or "cancelled")
    step = run.failed_steps[0] if run.failed_steps else ""
    found = run.steps[run.plan.by_id[step].index] if step else None
    agent = ""
    if step:
        target = run.plan.by_id[step].definition.target
        agent = "" if target is None else target_name(target)
    return WorkflowFailed(
        run.plan.name,
        run.id,
        step,
        agent,
        (found.error if found is not None else None) or run.last_error or "it failed",
        attempts=found.attempts if found is not None else 1,
        stored=True,
    )
