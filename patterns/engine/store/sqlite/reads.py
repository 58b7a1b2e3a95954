"""The reading half of the SQLite backend, on a connection of its own.

A query returns one row that holds all of its rows as JSON: stepping from row to row hands the
interpreter lock back and forth, and beside a busy event loop each hand-over can take
milliseconds. That is also why bodies travel as text.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, cast

from pydantic_core import from_json

from ..errors import StoreCorrupt
from ..grouped.backend import JournalRow, Json, RawRun, RawSignal, RunKey
from ..records import Notice, Retention, RunFilter
from .connection import connect, translated

__all__ = ["SQLiteReads"]

RUN_COLUMNS = (
    "r.run",
    "r.run_id",
    "r.name",
    "r.definition_hash",
    "CAST(r.input AS TEXT)",
    "r.input_blob",
    "r.state",
    "r.durability",
    "r.created_at",
    "r.updated_at",
    "r.finished_at",
    "r.wake_at",
    "r.error",
    "r.cancel_reason",
    "r.cancel_requested_at",
    "r.parent",
    "r.labels",
    "o.engine_id",
    "r.fence",
    "r.context",
)
RUN_TABLES = "FROM runs AS r LEFT JOIN owners AS o ON o.number = r.owner"
JOURNAL_COLUMNS = ("seq", "fence", "at", "CAST(body AS TEXT)")


class SQLiteReads:
    """The reading half of the SQLite backend. Owned by the store's reader."""

    def __init__(self, path: str, label: str, busy_timeout_s: float) -> None:
        self.label = label
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._reader: sqlite3.Connection | None = None

    def _reading(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = connect(self._path, self.label, self._busy_timeout_s, new=False)
            with translated(self.label, "opening"):
                self._reader.execute("PRAGMA query_only = ON")
        return self._reader

    def close_reader(self) -> None:
        """Close the reading connection."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _select(self, columns: Sequence[str], rest: str, *parameters: Any) -> list[list[Any]]:
        names = ", ".join(f"c{number}" for number in range(len(columns)))
        inner = ", ".join(f"{column} AS c{number}" for number, column in enumerate(columns))
        # As bytes, because the module's own decoding says nothing of damage.
        rows = f"CAST(json_group_array(json_array({names})) AS BLOB)"
        statement = f"SELECT {rows} FROM (SELECT {inner} {rest})"
        with translated(self.label, "reading"):
            (text,) = self._reading().execute(statement, parameters).fetchone()
        try:
            return cast("list[list[Any]]", from_json(text))
        except ValueError as error:
            raise StoreCorrupt(self.label, f"a text in it is not UTF-8 ({error})") from error

    def runs(self, run_ids: Sequence[str]) -> list[RawRun]:
        """Return the rows of those runs that exist."""
        rest = f"{RUN_TABLES} WHERE r.run_id IN (SELECT value FROM json_each(?))"
        found = self._select(RUN_COLUMNS, rest, json.dumps(run_ids))
        return [cast("RawRun", tuple(row)) for row in found]

    def list_runs(self, where: RunFilter, before: RunKey | None, limit: int) -> list[RawRun]:
        """Return rows, the newest first, below *before*."""
        conditions, parameters = _conditions(where)
        if before is not None:
            conditions.append("r.run < ?")
            parameters.append(before)
        rest = RUN_TABLES
        if conditions:
            rest += " WHERE " + " AND ".join(conditions)
        rest += " ORDER BY r.run DESC LIMIT ?"
        found = self._select(RUN_COLUMNS, rest, *parameters, limit)
        return [cast("RawRun", tuple(row)) for row in found]

    def journal(self, key: RunKey, after: int, limit: int | None) -> list[JournalRow]:
        """Return the rows whose last record is above *after*, in order."""
        found = self._select(
            JOURNAL_COLUMNS,
            "FROM journal WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?",
            *(key, after, -1 if limit is None else limit),
        )
        return [cast("JournalRow", tuple(row)) for row in found]

    def journals(self, keys: Sequence[RunKey]) -> dict[RunKey, list[JournalRow]]:
        """Return whole journals by key."""
        found = self._select(
            ("run", *JOURNAL_COLUMNS),
            "FROM journal WHERE run IN (SELECT value FROM json_each(?)) ORDER BY run, seq LIMIT -1",
            json.dumps(keys),
        )
        journals: dict[RunKey, list[JournalRow]] = {key: [] for key in keys}
        for key, *row in found:
            journals[key].append(cast("JournalRow", tuple(row)))
        return journals

    def blobs(self, key: RunKey, digests: Sequence[str]) -> dict[str, Json]:
        """Return the run's spilled values by digest."""
        with translated(self.label, "reading"):
            found = self._reading().execute(
                "SELECT digest, body FROM blobs "
                "WHERE run = ? AND digest IN (SELECT value FROM json_each(?))",
                (key, json.dumps(digests)),
            )
            return dict(found.fetchall())

    def definition(self, definition_hash: str) -> Json | None:
        """Return the definition with this hash."""
        with translated(self.label, "reading"):
            found = self._reading().execute(
                "SELECT body FROM definitions WHERE hash = ?", (definition_hash,)
            )
            row = found.fetchone()
        return None if row is None else row[0]

    def signals(self, key: RunKey) -> list[RawSignal]:
        """Return the run's signals that nothing has consumed, oldest first."""
        found = self._select(
            ("number", "name", "CAST(payload AS TEXT)", "at"),
            "FROM notices WHERE run = ? AND kind = 'signal' AND consumed_by IS NULL "
            "ORDER BY number LIMIT -1",
            key,
        )
        return [cast("RawSignal", tuple(row)) for row in found]

    def notices(self, owner: int, after: int) -> tuple[list[Notice], int]:
        """Return the new notices for the owner's runs, and the number to ask from next."""
        with translated(self.label, "reading"):
            (newest,) = self._reading().execute("SELECT max(number) FROM notices").fetchone()
        if newest is None or newest <= after:
            return [], after
        found = self._select(
            ("n.number", "r.run_id", "n.kind", "n.name"),
            "FROM notices AS n JOIN runs AS r ON r.run = n.run "
            "WHERE n.number > ? AND n.number <= ? AND r.owner = ? ORDER BY n.number LIMIT -1",
            *(after, newest, owner),
        )
        return [Notice(*row) for row in found], newest

    def purgeable(self, retention: Retention, now: int, limit: int) -> list[RunKey]:
        """Return finished runs that the policy gives up, at most *limit*."""
        if retention.max_age_s is None and retention.max_finished is None:
            return []
        finished = "finished_at IS NOT NULL"
        parameters: list[Any] = []
        if retention.states is not None:
            finished += " AND state IN (SELECT value FROM json_each(?))"
            parameters.append(json.dumps(sorted(retention.states)))
        doomed: list[str] = []
        if retention.max_age_s is not None:
            doomed.append("finished_at < ?")
            parameters.append(now - int(retention.max_age_s * 1e6))
        if retention.max_finished is not None:
            kept = f"SELECT run FROM runs WHERE {finished} ORDER BY finished_at DESC, run DESC"
            doomed.append(f"run IN ({kept} LIMIT -1 OFFSET ?)")
            if retention.states is not None:
                parameters.append(parameters[0])
            parameters.append(retention.max_finished)
        rest = f"FROM runs WHERE {finished} AND ({' OR '.join(doomed)}) LIMIT ?"
        return [key for (key,) in self._select(("run",), rest, *parameters, limit)]


def _conditions(where: RunFilter) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    parameters: list[Any] = []

    def add(condition: str, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if where.states is not None:
        add("r.state IN (SELECT value FROM json_each(?))", json.dumps(sorted(where.states)))
    if where.name is not None:
        add("r.name = ?", where.name)
    if where.parent is not None:
        add("r.parent = ?", where.parent)
    if where.finished is not None:
        add("r.finished_at IS NOT NULL" if where.finished else "r.finished_at IS NULL")
    if where.owner is not None:
        add("o.engine_id = ?", where.owner)
    if where.created_after is not None:
        add("r.created_at > ?", int(where.created_after * 1e6))
    if where.created_before is not None:
        add("r.created_at < ?", int(where.created_before * 1e6))
    for name, value in where.labels.items():
        add(
            "EXISTS (SELECT 1 FROM json_each(r.labels) AS l WHERE l.key = ? AND l.value = ?)",
            *(name, value),
        )
    return conditions, parameters
