"""A run as its journal tells it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import RunUnreadable, describe
from .run import Run
from .transitions import KNOWN_KINDS, apply

if TYPE_CHECKING:
    from ..definition.plan import Plan
    from ..store import JournalEntry, RunRow


def replay(row: RunRow, plan: Plan, entries: Iterable[JournalEntry]) -> Run:
    """Return the run that follows from a journal.

    Raises `RunUnreadable` for a record that no version before this one can have written.
    """
    run = Run(row.run_id, plan, row.input, row.created_at)
    run.persist = True
    run.parent = row.parent
    run.root = row.root
    run.labels = row.labels
    run.context = row.context
    run.queue, run.queue_key, run.priority = row.queue, row.queue_key, row.priority
    for entry in entries:
        if entry.kind not in KNOWN_KINDS:
            raise RunUnreadable(row.run_id, f"record {entry.seq} is of the kind {entry.kind!r}")
        try:
            apply(run, entry.kind, entry.step, entry.attempt, entry.data, entry.at)
        except Exception as error:
            detail = f"record {entry.seq} ({entry.kind}) is not as it should be ({describe(error)})"
            raise RunUnreadable(row.run_id, detail) from error
    run.recount()
    return run
