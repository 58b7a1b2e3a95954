"""What each event changes in a run: the one place that says so.

A live run applies events as they happen, recovery applies those of the journal, whether the run is
stored, followed or simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from .events import EventKind
from .status import StepState, WorkflowState
from .step_run import COMPLETED, PENDING, RUNNING

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from .run import Run
    from .step_run import StepRun

NO_DATA: Final[Mapping[str, Any]] = {}


def apply(run: Run, kind: str, step_id: str, attempt: int, data: Any, at: float) -> None:
    """Change *run* by what happened at *at*; events of steps that no longer exist change nothing."""
    change = _RUN_CHANGES.get(kind)
    if change is not None:
        change(run, data or NO_DATA, at)
        return
    plan = run.plan.by_id.get(step_id)
    if plan is not None:
        found = run.step(plan.index)
        STEP_CHANGES[kind](run, plan, found, attempt, data or NO_DATA, at)


# -- steps -----------------------------------------------------------------------------------------


def _started(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = RUNNING
    if found.started_at is None:
        found.started_at = at
    if found.due_at is not None:
        found.due_at = None
    if not data:
        found.attempts = attempt
        found.via = "agent"
        return
    via = data.get("via", "agent")
    index = data.get("item")
    if index is None:
        found.attempts = attempt
        found.via = via
    else:
        found.attempts = max(found.attempts, attempt)
        item = found.item(index)
        item.attempts = attempt
        item.running = True
        item.due_at = None
        item.via = via


def _completed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    if found.started_at is None:
        found.started_at = at
    error = data.get("error")
    # What an attempt before has failed with is over, unless something stands in for a step that has
    # failed for good: a default, which comes with the error, or a fallback.
    if error is not None or found.via == "agent":
        found.error = error
    count = data.get("items")
    if count is None:
        output = data.get("output")
    else:
        items = found.items or {}
        output = [items[index].output for index in range(count)]
    run.settle(plan, found, COMPLETED, output, at)


def _iterated(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = RUNNING
    found.iteration = data["iteration"] + 1
    found.previous = data.get("output")
    found.tries = 0
    found.via = "agent"


def _item_completed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    item = found.item(data["item"])
    item.done = True
    item.running = False
    item.output = data.get("output")


def _retrying(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.error = run.last_error = data.get("error")
    due_at = at + data.get("delay_s", 0.0)
    via = data.get("via", "agent")
    index = data.get("item")
    if index is None:
        found.state = StepState.RETRYING
        found.tries += 1
        found.due_at = due_at
        found.via = via
    else:
        item = found.item(index)
        item.tries += 1
        item.running = False
        item.error = found.error
        item.due_at = due_at
        item.via = via


def _failed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = StepState.FAILED
    found.ended_at = at
    found.due_at = None
    found.error = run.last_error = data.get("error")
    index = data.get("item")
    if index is not None:
        found.item(index).running = False
    if plan.id not in run.failed_steps:
        run.failed_steps = (*run.failed_steps, plan.id)


def _skipped(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.error = data.get("error")
    run.settle(plan, found, StepState.SKIPPED, None, at)


def _waiting(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = StepState.WAITING
    found.started_at = at
    timeout_s = data.get("timeout_s")
    found.due_at = None if timeout_s is None else at + timeout_s


def _sleeping(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = StepState.SLEEPING
    found.started_at = at
    found.due_at = at + data["delay_s"]


def _cancelled(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = StepState.CANCELLED
    found.ended_at = at
    found.due_at = None


def _undoing(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.attempts = max(found.attempts, attempt)


def _undone(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = StepState.COMPENSATED
    run.compensated = (*run.compensated, plan.id)


def _undo_failed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.error = run.last_error = data.get("error")
    run.undo_failed = (*run.undo_failed, plan.id)


# -- the run ---------------------------------------------------------------------------------------


_RUN_RUNNING: Final = WorkflowState.RUNNING
_RUN_COMPLETED: Final = WorkflowState.COMPLETED


def _run_started(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = _RUN_RUNNING
    if run.started_at is None:
        run.started_at = at


def _run_resumed(run: Run, data: Mapping[str, Any], at: float) -> None:
    """Make everything that failed, was stopped or was undone run again."""
    run.state = WorkflowState.RUNNING
    run.finished_at = None
    run.resumed_at = at
    run.failed_steps = ()
    run.last_error = run.reason = None
    run.compensated = run.undo_failed = ()
    again = {StepState.FAILED, StepState.CANCELLED, StepState.COMPENSATED}
    for plan, found in zip(run.plan.steps, run.steps, strict=True):
        if found is None or found.state not in again:
            continue
        if found.state is StepState.COMPENSATED:
            run.scope.pop(plan.id, None)
        found.state = PENDING
        found.ended_at = found.due_at = None
        found.tries = 0
        found.via = "agent"
        for item in (found.items or {}).values():
            item.running = False
            item.tries = 0
            item.due_at = None
            item.via = "agent"
    run.recount()


def _run_rewound(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.rewind(set(data["steps"]))
    _run_resumed(run, data, at)


def _run_cancelling(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = WorkflowState.CANCELLING
    run.reason = data.get("reason")


def _run_compensating(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = WorkflowState.COMPENSATING
    run.last_error = data.get("error", run.last_error)


def _run_completed(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = _RUN_COMPLETED
    run.finished_at = at


def _run_failed(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = WorkflowState.FAILED
    run.finished_at = at
    run.last_error = data.get("error", run.last_error)


def _run_cancelled(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = WorkflowState.CANCELLED
    run.finished_at = at
    run.reason = data.get("reason", run.reason)


def _nothing(run: Run, data: Mapping[str, Any], at: float) -> None:
    """The plan was changed before this was applied."""


STEP_CHANGES: Final[Mapping[str, Callable[..., None]]] = {
    EventKind.STEP_STARTED: _started,
    EventKind.STEP_COMPLETED: _completed,
    EventKind.STEP_ITERATED: _iterated,
    EventKind.ITEM_COMPLETED: _item_completed,
    EventKind.STEP_RETRYING: _retrying,
    EventKind.STEP_FAILED: _failed,
    EventKind.STEP_SKIPPED: _skipped,
    EventKind.STEP_WAITING: _waiting,
    EventKind.STEP_SLEEPING: _sleeping,
    EventKind.STEP_CANCELLED: _cancelled,
    EventKind.COMPENSATION_STARTED: _undoing,
    EventKind.COMPENSATION_COMPLETED: _undone,
    EventKind.COMPENSATION_FAILED: _undo_failed,
}
"""By the kind of an event: what it changes in a run and in the step that it is about."""

_RUN_CHANGES: Final[Mapping[str, Callable[..., None]]] = {
    EventKind.WORKFLOW_STARTED: _run_started,
    EventKind.WORKFLOW_RESUMED: _run_resumed,
    EventKind.WORKFLOW_REWOUND: _run_rewound,
    EventKind.WORKFLOW_CANCELLING: _run_cancelling,
    EventKind.WORKFLOW_COMPENSATING: _run_compensating,
    EventKind.WORKFLOW_COMPLETED: _run_completed,
    EventKind.WORKFLOW_FAILED: _run_failed,
    EventKind.WORKFLOW_CANCELLED: _run_cancelled,
    EventKind.DEFINITION_CHANGED: _nothing,
}
