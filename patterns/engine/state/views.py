"""What can be seen of a run: its status, its history, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...vocabulary.target import target_name
from ..errors import WorkflowCancelled, WorkflowFailed
from .events import EventKind, WorkflowEvent
from .status import StepState, StepStatus, WorkflowState, WorkflowStatus
from .step_run import BUSY, COMPLETED, PENDING

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from .run import Run
    from .step_run import StepRun


def state_of(run: Run) -> WorkflowState:
    """Return where *run* stands: one that runs, but with no attempt under way, waits."""
    if run.state is not WorkflowState.RUNNING:
        return run.state
    busy = [found for found in run.steps if found is not None and found.state in BUSY]
    if busy and not any(found.at_work for found in busy):
        return WorkflowState.WAITING
    return run.state


def status_of(run: Run, state: WorkflowState) -> WorkflowStatus:
    """Return the status of *run*, which stands at *state* for those who look."""
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
        progress=100 * run.finished_steps // len(steps),
        steps=steps,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        last_error=run.last_error,
        reason=run.reason,
        persisted=run.persist,
        labels=run.labels,
        parent=run.parent,
    )


def _step_status(plan: StepPlan, found: StepRun | None) -> StepStatus:
    if found is None:
        return StepStatus(plan.id, PENDING)
    wait = plan.definition.wait_for
    return StepStatus(
        id=plan.id,
        state=found.state,
        attempts=found.attempts,
        iterations=found.iteration if found.attempts else 0,
        started_at=found.started_at,
        ended_at=found.ended_at,
        error=found.error,
        waiting_for=wait.signal if wait is not None and found.state is StepState.WAITING else None,
        due_at=found.due_at,
    )


def history_of(run: Run) -> list[WorkflowEvent]:
    """Return events that tell how *run* came to where it is, for those who did not see them."""
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
            add(EventKind.STEP_STARTED, found.started_at, plan.id, found.attempts)
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


def last_event(run: Run, at: float) -> WorkflowEvent:
    """Return the event with which *run* ended."""
    data: dict[str, Any] = {}
    if run.state is WorkflowState.FAILED:
        data = {"error": run.last_error, "steps": list(run.failed_steps)}
    elif run.state is WorkflowState.CANCELLED:
        data = {"reason": run.reason}
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
        stored=run.persist,
    )
