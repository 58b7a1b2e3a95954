"""Ends of runs that are written without running them: they cannot be read, or end their processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..state.events import EventKind
from ..state.status import WorkflowState
from ..store import Record, RunUpdate

if TYPE_CHECKING:
    from ..state.run import Run
    from ..store import Lease, Store


async def end_unread(store: Store, lease: Lease, state: WorkflowState, why: str) -> None:
    """Write that a claimed run that cannot be read is ``cancelled``, or has ``failed``."""
    if state is WorkflowState.CANCELLED:
        record = Record(EventKind.WORKFLOW_CANCELLED.value, "", 0, {"reason": why})
    else:
        data: dict[str, Any] = {"error": why, "steps": []}
        record = Record(EventKind.WORKFLOW_FAILED.value, "", 0, data)
    error = "" if state is WorkflowState.CANCELLED else why
    await store.append(lease, [record], RunUpdate(state.value, True, error, 0.0))


async def end_deadly(store: Store, lease: Lease, run: Run, reason: str) -> None:
    """Write that a claimed run has failed, at the steps that were at work.

    Nothing of it is undone: that would run what may be what ends processes.
    """
    failed = [
        plan
        for plan, found in zip(run.plan.steps, run.steps, strict=True)
        if found is not None and found.at_work and not run.held(plan.index)
    ]
    kind, error = EventKind.STEP_FAILED.value, {"error": reason}
    records = [Record(kind, plan.id, run.step(plan.index).attempts, error) for plan in failed]
    data = {"error": reason, "steps": [plan.id for plan in failed]}
    records.append(Record(EventKind.WORKFLOW_FAILED.value, "", 0, data))
    await store.append(lease, records, RunUpdate(WorkflowState.FAILED.value, True, reason, 0.0))
