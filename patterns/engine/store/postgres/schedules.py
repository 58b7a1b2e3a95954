"""The schedules of a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, LiteralString

from ..errors import ScheduleChanged
from ..schedules import ScheduleRow
from .leases import NOW
from .sessions import Rows

__all__ = ["PostgresSchedules"]

_COLUMNS: LiteralString = "SELECT name, revision, due_at, body FROM schedules"


class PostgresSchedules:
    """A ScheduleBackend over the table ``schedules``.

    Its writing half belongs to the store's writer, its reading half to the reader.
    """

    def __init__(self, execute: Rows, select: Rows, again: Callable[[], bool]) -> None:
        self._execute = execute
        self._select = select
        self._again = again
        """Whether an attempt before may have been committed without our hearing of it."""

    # Calls

    def put(self, name: str, body: bytes, due_at: int | None, after: int | None) -> int:
        """Write a schedule over the revision *after*."""
        if after is None:
            written = self._execute(
                "INSERT INTO schedules (name, revision, due_at, body) "
                f"VALUES (%s, {NOW}, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING revision",
                *(name, due_at, body),
            )
        else:
            written = self._execute(
                "UPDATE schedules SET revision = revision + 1, due_at = %s, body = %s "
                "WHERE name = %s AND revision = %s RETURNING revision",
                *(due_at, body, name, after),
            )
        if not written and self._again():
            # What a broken connection swallowed the acknowledgement of. Each writing has a text of its
            # own, so this one is ours.
            written = self._execute(
                "SELECT revision FROM schedules WHERE name = %s AND body = %s "
                "AND (%s::bigint IS NULL OR revision = %s + 1)",
                *(name, body, after, after),
            )
        if not written:
            raise ScheduleChanged(name)
        revision: int = written[0][0]
        return revision

    def drop(self, name: str) -> bool:
        """Forget a schedule."""
        found = self._execute("DELETE FROM schedules WHERE name = %s RETURNING name", name)
        return bool(found) or self._again()

    # Reads

    def load(self, names: Sequence[str] | None, due_by: int | None) -> list[ScheduleRow]:
        """Return those schedules, or all, by name."""
        if names is not None:
            rows = self._select(f"{_COLUMNS} WHERE name = ANY(%s) ORDER BY name", list(names))
        elif due_by is not None:
            rows = self._select(f"{_COLUMNS} WHERE due_at <= %s ORDER BY name", due_by)
        else:
            rows = self._select(f"{_COLUMNS} ORDER BY name")
        return [row for row in map(_row, rows) if due_by is None or _is_due(row, due_by)]


def _row(columns: Sequence[Any]) -> ScheduleRow:
    name, revision, due_at, body = columns
    return ScheduleRow(name, revision, None if due_at is None else due_at / 1e6, bytes(body))


def _is_due(row: ScheduleRow, by: int) -> bool:
    return row.due_at is not None and round(row.due_at * 1e6) <= by
