"""Runs that cannot go on as things are: noted in their journals, told once, and their time watched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from ..state.events import EventKind
from ..state.status import WorkflowState
from ..store import FencedOut, Record, RunUpdate, StoreError

if TYPE_CHECKING:
    from agenticaiframework.actors import Log

    from ..definition.plan import Plan
    from ..store import Lease, RunRow, Store
    from .run_log import RunLog

_STATES: Final = frozenset(map(str, WorkflowState))

MAX_TOLD: Final = 10_000
"""Blocked runs of which is known that they have been logged."""


def is_known(row: RunRow) -> bool:
    """Tell whether this version knows the state that a run's row is in."""
    return row.state in _STATES


class BlockedRuns:
    """What one engine knows of blocked runs, which belong to no engine. Owned by the recovery."""

    def __init__(self, engine: str, store: Store, run_log: RunLog, log: Log) -> None:
        self._engine = engine
        self._store = store
        self._run_log = run_log
        self._log = log
        self._told: dict[str, str] = {}
        """Why each run is blocked, as it was logged."""
        self._differs: dict[str, tuple[Plan, str]] = {}
        """The code that a run does not match, and how, which only running it could tell."""
        self._limits: dict[str, float] = {}
        """When the time of each run is over, in seconds since the epoch."""

    def tell(self, run_id: str, reason: str, name: str | None = None) -> bool:
        """Log that a run is blocked, and why; return whether that is news here."""
        if self._told.get(run_id) == reason:
            return False
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told[run_id] = reason
        self._run_log.blocked(name, run_id, reason)
        return True

    def note(
        self,
        lease: Lease,
        row: RunRow | None,
        reason: str,
        limit_at: float | None,
        name: str | None = None,
        reopening: Sequence[Record] = (),
    ) -> None:
        """Write into the journal and the row of a claimed run that it is blocked, unless that is there.

        One that had ended goes on with the records of *reopening*: what waits for it waits for its next end.
        A state that this version does not know is not overwritten: another version may know it.
        """
        run_id = lease.run_id
        self.watch(run_id, limit_at)
        news = self.tell(run_id, reason, name if row is None else row.name)
        known = row is None or is_known(row)
        noted = row is not None and (row.state == WorkflowState.BLOCKED or not known)
        # Two engines with different reasons must not fill the journal in turns.
        if noted and row is not None and (row.error == reason or not news):
            return
        state = WorkflowState.BLOCKED.value if known else None
        finished = False if reopening else None
        update = RunUpdate(state, finished, error=reason, wake_at=limit_at or 0.0)
        record = Record(EventKind.WORKFLOW_BLOCKED.value, "", 0, {"reason": reason})
        self._store.submit(lease, [*reopening, record], partial(self._noted, run_id), update)

    def _noted(self, run_id: str, error: StoreError | None) -> None:
        if error is not None and not isinstance(error, FencedOut):
            # It is looked at again by the next recovery.
            self._told.pop(run_id, None)
            self._log.warning(
                "engine {}: that {} is blocked could not be stored: {}", self._engine, run_id, error
            )

    def differs(self, run_id: str, plan: Plan, reason: str) -> None:
        """Know that the code of *plan* is not the one that a run began with."""
        if len(self._differs) >= MAX_TOLD:
            self._differs.clear()
        self._differs[run_id] = plan, reason

    def differs_from(self, row: RunRow, plan: Plan) -> bool:
        """Tell whether a run is blocked because it does not match the code of *plan*."""
        return self._differs.get(row.run_id) == (plan, row.error)

    def watch(self, run_id: str, limit_at: float | None) -> None:
        """Have `overdue` say when the time of a run is over, if it has a limit."""
        if limit_at is not None:
            self._limits[run_id] = limit_at

    def overdue(self, now: float) -> list[str]:
        """Return the runs whose time is over, and forget when that was."""
        due = [run_id for run_id, limit_at in self._limits.items() if limit_at <= now]
        for run_id in due:
            del self._limits[run_id]
        return due

    def forget(self, run_id: str) -> None:
        """Know nothing of a run any more: it goes on, or has ended."""
        self._told.pop(run_id, None)
        self._limits.pop(run_id, None)
