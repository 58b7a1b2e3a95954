"""A run as its journal tells it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .run import Run
from .transitions import apply

if TYPE_CHECKING:
    from ..definition.plan import Plan
    from ..store import JournalEntry, RunRow


def replay(row: RunRow, plan: Plan, entries: Iterable[JournalEntry]) -> Run:
    """Return the run that follows from a journal."""
    run = Run(row.run_id, plan, row.input, row.created_at)
    run.persist = True
    run.parent = row.parent
    run.labels = row.labels
    run.context = row.context
    for entry in entries:
        apply(run, entry.kind, entry.step, entry.attempt, entry.data, entry.at)
    run.recount()
    return run
