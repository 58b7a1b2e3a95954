"""What can be seen of a run: its status, its history, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import NO_USAGE

from ..errors import WorkflowCancelled
from .events import EventKind, WorkflowEvent
from .failure import recorded_failure
from .status import Question, StepState, StepStatus, WorkflowState, WorkflowStatus
from .step_run import BUSY, COMPLETED, PENDING

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from .run import Run
    from .step_run import StepRun


def state_of(run: Run) -> WorkflowState:
    """Return where *run* stands: one that runs, but with no attempt under way, waits."""
    if run.blocked is not None and not run.state.finished:
        return WorkflowState.BLOCKED
    if run.state is not WorkflowState.RUNNING:
        return run.state
    if any(found is not None and found.state in BUSY for found in run.steps) and not at_work(run):
        return WorkflowState.WAITING
    return run.state


def at_work(run: Run) -> bool:
    """Tell whether an attempt is under way, as far as is known, that nothing holds back."""
    return any(
        found is not None and found.state in BUSY and found.at_work and not run.held(index)
        for index, found in enumerate(run.steps)
    )


def status_of(run: Run, state: WorkflowState) -> WorkflowStatus:
    """Return the status of *run*, seen from outside in *state*."""
    steps = {
        plan.id: _step_status(plan, found)
        for plan, found in zip(run.plan.steps, run.steps, strict=True)
    }
    current = [name for name, step in steps.items() if step.state in BUSY]
    return WorkflowStatus(
        workflow_id=run.id,
        name=run.plan.name,
        state=state,
        current_steps=tuple(current) or run.failed_steps,
        progress=_progress(run, len(steps)),
        steps=steps,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        last_error=run.blocked if state is WorkflowState.BLOCKED else run.last_error,
        reason=run.reason,
        persisted=run.persist,
        labels=run.labels,
        parent=run.parent,
        recoveries=run.recoveries,
        compensated=run.compensated,
        failed_compensations=run.undo_failed,
        forked_from=run.forked_from,
        root=run.root,
        usage=run.usage,
        queue=run.queue,
        queue_key=run.queue_key,
        priority=run.priority,
    )


def _progress(run: Run, steps: int) -> int:
    """Return per cent of the steps that have ended; of code, which may make more, the last is not known."""
    if not run.plan.grows:
        return 100 * run.finished_steps // max(1, steps)
    return 100 if run.state is WorkflowState.COMPLETED else 100 * run.finished_steps // (steps + 1)


def _step_status(plan: StepPlan, found: StepRun | None) -> StepStatus:
    if found is None:
        return StepStatus(plan.id, PENDING)
    wait = plan.definition.wait_for
    waits = wait is not None and found.state is StepState.WAITING
    questions = open_questions(plan, found)
    first = questions[0] if questions else None
    asked = None if first is None else first.data
    waiting_for = None if first is None else first.id
    return StepStatus(
        id=plan.id,
        state=found.state,
        attempts=found.attempts,
        iterations=found.iteration if found.attempts else 0,
        started_at=found.started_at,
        ended_at=found.ended_at,
        error=found.error,
        item_errors=found.item_errors or {},
        waiting_for=wait.signal if wait is not None and waits else waiting_for,
        due_at=found.due_at,
        inner=_inner_names(found),
        inner_count=found.inner_count,
        question=asked if plan.call is None or first else plan.call.get("question"),
        questions=questions,
        usage=found.usage,
    )


def open_questions(plan: StepPlan, found: StepRun | None) -> tuple[Question, ...]:
    """Return what the handlers of a step that is under way have asked, and wait for."""
    if found is None or found.state not in BUSY:
        return ()
    return tuple(
        Question(one.id, one.data["name"], one.data.get("data"), one.asked_at, plan.id, item)
        for item, one in found.open_questions()
    )


def _inner_names(found: StepRun) -> tuple[str, ...]:
    names = [] if found.inner is None else found.inner.names()
    for index, item in list((found.items or {}).items()):
        if item.inner is not None:
            names += [f"[{index}]/{name}" for name in item.inner.names()]
    return tuple(names)


def history_of(run: Run) -> list[WorkflowEvent]:
    """Return events that tell how *run* came to where it is, for a listener that comes late."""
    events: list[WorkflowEvent] = []

    def add(
        kind: EventKind, at: float | None, step: str = "", attempt: int = 0, data: Any = None
    ) -> None:
        events.append(WorkflowEvent(kind, run.id, step, attempt, data, at or 0.0))

    if run.started_at is not None:
        add(EventKind.WORKFLOW_STARTED, run.started_at, data={"workflow": run.plan.name})
    for plan, found in zip(run.plan.steps, run.steps, strict=True):
        if found is None:
            continue
        if found.started_at is not None:
            kind, asked = _beginning(plan, found)
            add(kind, found.started_at, plan.id, found.attempts, asked)
        if found.state in BUSY:
            for _, question in found.open_questions():
                at = question.asked_at
                add(EventKind.QUESTION_ASKED, at, plan.id, found.attempts, dict(question.data))
        ended = _STEP_ENDINGS.get(found.state)
        if ended is not None:
            data: dict[str, Any] = {}
            if found.state is COMPLETED:
                data["output"] = run.scope.get(plan.id)
            if found.error is not None:
                data["error"] = found.error
            add(ended, found.ended_at, plan.id, found.attempts, data or None)
    events.sort(key=lambda event: event.at)
    if run.state in _ENDINGS:
        events.append(last_event(run, run.finished_at or 0.0))
    return events


def _beginning(plan: StepPlan, found: StepRun) -> tuple[EventKind, dict[str, Any] | None]:
    """Return the event with which a step began, as its run tells it: a wait is told with its signal."""
    wait = plan.definition.wait_for
    if wait is None:
        sleeps = found.state is StepState.SLEEPING
        return EventKind.STEP_SLEEPING if sleeps else EventKind.STEP_STARTED, None
    data: dict[str, Any] = {"signal": wait.signal, "timeout_s": wait.timeout_seconds}
    if plan.call is not None:
        data["call"] = plan.call
    return EventKind.STEP_WAITING, data


def last_event(run: Run, at: float) -> WorkflowEvent:
    """Return the event with which *run* ended."""
    data: dict[str, Any] = {}
    if run.state is WorkflowState.FAILED:
        data = {"error": run.last_error, "steps": list(run.failed_steps)}
    elif run.state is WorkflowState.CANCELLED:
        data = {"reason": run.reason}
    if run.usage is not NO_USAGE:
        data["usage"] = run.usage.to_record()
    return WorkflowEvent(_ENDINGS[run.state], run.id, data=data, at=at)


_STEP_ENDINGS: Final = {
    StepState.COMPLETED: EventKind.STEP_COMPLETED,
    StepState.SKIPPED: EventKind.STEP_SKIPPED,
    StepState.FAILED: EventKind.STEP_FAILED,
    StepState.CANCELLED: EventKind.STEP_CANCELLED,
}
_ENDINGS: Final = {
    WorkflowState.COMPLETED: EventKind.WORKFLOW_COMPLETED,
    WorkflowState.FAILED: EventKind.WORKFLOW_FAILED,
    WorkflowState.CANCELLED: EventKind.WORKFLOW_CANCELLED,
}


def ending_of(run: Run) -> BaseException:
    """Return the error of a run that has ended and was not completed, as its journal tells it."""
    if run.state is WorkflowState.CANCELLED:
        return WorkflowCancelled(run.plan.name, run.id, run.reason or "cancelled")
    failure = recorded_failure(run)
    failure.tell_undo_failed(run.undo_errors())
    return failure
