"""Runs that are interrupted because their store does not answer, in lists of runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from .status import WorkflowState, WorkflowSummary

if TYPE_CHECKING:
    from ..store import RunFilter
    from .live import LiveRun


def with_suspended(
    stored: Iterable[WorkflowSummary], live: Iterable[LiveRun], where: RunFilter
) -> list[WorkflowSummary]:
    """Return what the store says of runs, with those that it cannot say of.

    *stored* are the runs of one page for which *where* held in the store. The store does not know that
    a run of *live* is interrupted, and why.
    """
    suspended = {one.id: one for one in live if one.outage is not None}
    if not suspended:
        return list(stored)
    wanted = where.states is None or WorkflowState.INTERRUPTED.value in where.states
    found: list[WorkflowSummary] = []
    for summary in stored:
        run = suspended.pop(summary.workflow_id, None)
        if run is None:
            found.append(summary)
        elif wanted:
            found.append(replace(summary, state=WorkflowState.INTERRUPTED, last_error=run.outage))
    if wanted and where.states is not None:
        # They are in the store under another state, and were not asked for.
        found += [summary_of(one) for one in suspended.values() if _matches(one, where)]
    return found


def summary_of(live: LiveRun) -> WorkflowSummary:
    """Return what a list says of a run that is in memory."""
    run = live.run
    return WorkflowSummary(
        run.id, run.plan.name, live.state, run.created_at, run.finished_at,
        live.outage or run.last_error, run.reason, run.persist, run.labels, run.parent, run.root,
        queue=run.queue, queue_key=run.queue_key, priority=run.priority,
    )  # fmt: skip


def _matches(live: LiveRun, where: RunFilter) -> bool:
    run = live.run
    return (
        (where.name is None or run.plan.name == where.name)
        and (where.queue is None or run.queue == where.queue)
        and (where.parent is None or run.parent == where.parent)
        and all(run.labels.get(key) == value for key, value in where.labels.items())
    )
