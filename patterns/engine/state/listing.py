"""Lists of runs: those in memory, and those in the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from agenticaiframework.actors import near

from .status import WorkflowPage, WorkflowState, WorkflowSummary

if TYPE_CHECKING:
    from ..store import RunFilter, RunRow, Store
    from .live import LiveRun


async def list_runs(
    live: Iterable[LiveRun],
    store: Store | None,
    where: RunFilter,
    limit: int,
    page: str | None,
    persisted: bool | None,
) -> WorkflowPage:
    """Return the runs for which *where* holds, the newest first: of *store*, and of the memory.

    The memory is left out when only stored runs are wanted (*persisted*), and after the first page.
    """
    found: list[WorkflowSummary] = []
    following: str | None = None
    if store is not None:
        stored = await store.list_runs(where, page, limit)
        found += [_row_summary(row) for row in stored.rows]
        following = stored.next
    if persisted is not True and page is None:
        found += [
            _summary(known)
            for known in live
            if not known.run.persist
            and (where.states is None or str(known.state) in where.states)
            and (where.name is None or known.run.plan.name == where.name)
            and all(known.run.labels.get(key) == value for key, value in where.labels.items())
        ]
    found.sort(key=lambda summary: -(summary.created_at or 0.0))
    return WorkflowPage(tuple(found[:limit] if following is None else found), following)


def read_states(state: str | Sequence[str] | None) -> frozenset[str] | None:
    """Return the names of states that are meant; raises ValueError for one that there is not.

    >>> sorted(read_states(["failed", "completed"]))
    ['completed', 'failed']
    """
    if state is None:
        return None
    given = (state,) if isinstance(state, str) else tuple(state)
    known = {str(member) for member in WorkflowState}
    for name in given:
        if str(name) not in known:
            raise ValueError(f"{name!r} is not a state of a workflow. {near(str(name), known)}")
    return frozenset(str(name) for name in given)


def _summary(live: LiveRun) -> WorkflowSummary:
    run = live.run
    return WorkflowSummary(
        run.id, run.plan.name, live.state, run.created_at, run.finished_at, run.last_error,
        run.reason, run.persist, run.labels, run.parent,
    )  # fmt: skip


def _row_summary(row: RunRow) -> WorkflowSummary:
    return WorkflowSummary(
        row.run_id, row.name, WorkflowState(row.state), row.created_at, row.finished_at, row.error,
        row.cancel_reason, True, row.labels, row.parent,
    )  # fmt: skip
