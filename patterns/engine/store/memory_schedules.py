"""The schedules of a memory store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .errors import ScheduleChanged
from .schedules import ScheduleRow

__all__ = ["MemorySchedules", "ScheduleTable"]


class ScheduleTable:
    """The schedules on a memory store's disk."""

    def __init__(self) -> None:
        self.rows: dict[str, ScheduleRow] = {}


class MemorySchedules:
    """A ScheduleBackend over a ScheduleTable. Owned by the loop of its store."""

    def __init__(self, table: ScheduleTable, now: Callable[[], int]) -> None:
        self._table = table
        self._now = now

    # Calls

    def put(self, name: str, body: bytes, due_at: int | None, after: int | None) -> int:
        """Write a schedule over the revision *after*."""
        found = self._table.rows.get(name)
        if after != (None if found is None else found.revision):
            raise ScheduleChanged(name)
        revision = self._now() if after is None else after + 1
        at = None if due_at is None else due_at / 1e6
        self._table.rows[name] = ScheduleRow(name, revision, at, body)
        return revision

    def drop(self, name: str) -> bool:
        """Forget a schedule."""
        return self._table.rows.pop(name, None) is not None

    # Reads

    def load(self, names: Sequence[str] | None, due_by: int | None) -> list[ScheduleRow]:
        """Return those schedules, or all, by name."""
        rows = self._table.rows
        return [
            rows[name]
            for name in sorted(rows if names is None else rows.keys() & set(names))
            if due_by is None or _is_due(rows[name], due_by)
        ]


def _is_due(row: ScheduleRow, by: int) -> bool:
    return row.due_at is not None and round(row.due_at * 1e6) <= by
