"""The schedules of a SQLite store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence

from ..errors import ScheduleChanged
from ..schedules import ScheduleRow
from .connection import translated
from .sessions import Select

__all__ = ["SQLiteSchedules"]


class SQLiteSchedules:
    """A ScheduleBackend over the table ``schedules``.

    Its writing half belongs to the store's writer, its reading half to the reader.
    """

    def __init__(
        self,
        label: str,
        writing: Callable[[], sqlite3.Connection],
        select: Select,
        now: Callable[[], int],
    ) -> None:
        self._label = label
        self._writing = writing
        self._select = select
        self._now = now

    # Calls

    def put(self, name: str, body: bytes, due_at: int | None, after: int | None) -> int:
        """Write a schedule over the revision *after*."""
        connection = self._writing()
        with translated(self._label, "writing a schedule"):
            if after is None:
                revision = self._now()
                written = connection.execute(
                    "INSERT INTO schedules (name, revision, due_at, body) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (name) DO NOTHING",
                    (name, revision, due_at, body),
                )
            else:
                revision = after + 1
                written = connection.execute(
                    "UPDATE schedules SET revision = ?, due_at = ?, body = ? "
                    "WHERE name = ? AND revision = ?",
                    (revision, due_at, body, name, after),
                )
        if not written.rowcount:
            raise ScheduleChanged(name)
        return revision

    def drop(self, name: str) -> bool:
        """Forget a schedule."""
        with translated(self._label, "deleting a schedule"):
            found = self._writing().execute("DELETE FROM schedules WHERE name = ?", (name,))
        return bool(found.rowcount)

    # Reads

    def load(self, names: Sequence[str] | None, due_by: int | None) -> list[ScheduleRow]:
        """Return those schedules, or all, by name."""
        which = None if names is None else json.dumps(names)
        rows = self._select(
            ("name", "revision", "due_at", "CAST(body AS TEXT)"),
            "FROM schedules WHERE (?1 IS NULL OR name IN (SELECT value FROM json_each(?1))) "
            "AND (?2 IS NULL OR due_at <= ?2) ORDER BY name LIMIT -1",
            *(which, due_by),
        )
        return [
            ScheduleRow(name, revision, None if due_at is None else due_at / 1e6, body)
            for name, revision, due_at, body in rows
        ]
