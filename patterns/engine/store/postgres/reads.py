"""The reading half of the PostgreSQL backend, on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString, cast

import psycopg

from ..grouped.backend import JournalRow, Json, RawRun, RawSignal, RunKey
from ..records import Notice, Retention, RunFilter
from .connection import Connection, PostgresAddress, connect, translated

__all__ = ["PostgresReads"]

RUNS: LiteralString = """
SELECT r.run, r.run_id, r.name, r.definition_hash, r.input, r.input_blob, r.state, r.durability,
    r.created_at, r.updated_at, r.finished_at, r.wake_at, r.error, r.cancel_reason,
    r.cancel_requested_at, r.parent, r.labels::text, o.engine_id, r.fence, r.context
FROM runs AS r LEFT JOIN owners AS o ON o.number = r.owner
"""


class PostgresReads:
    """The reading half of the PostgreSQL backend. Owned by the store's reader."""

    def __init__(self, address: PostgresAddress) -> None:
        self.label = address.label
        self._address = address
        self._reader: Connection | None = None

    def close_reader(self) -> None:
        """Close the reading connection."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _select(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        with translated(self.label, "reading"):
            try:
                return self._try_to_select(query, parameters)
            except psycopg.OperationalError:
                if self._reader is not None and not self._reader.broken:
                    raise
            # The server was restarted, or the connection was cut while idle.
            self.close_reader()
            return self._try_to_select(query, parameters)

    def _try_to_select(
        self, query: LiteralString, parameters: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        if self._reader is None:
            self._reader = connect(self._address)
        return self._reader.execute(query, parameters, binary=True).fetchall()

    def runs(self, run_ids: Sequence[str]) -> list[RawRun]:
        """Return the rows of those runs that exist."""
        found = self._select(RUNS + " WHERE r.run_id = ANY(%s)", list(run_ids))
        return cast("list[RawRun]", found)

    def list_runs(self, where: RunFilter, before: RunKey | None, limit: int) -> list[RawRun]:
        """Return rows, the newest first, below *before*."""
        conditions, parameters = _conditions(where)
        if before is not None:
            conditions.append("r.run < %s")
            parameters.append(before)
        query = RUNS
        if conditions:
            query += " WHERE " + " AND ".join(conditions)
        query += " ORDER BY r.run DESC LIMIT %s"
        return cast("list[RawRun]", self._select(query, *parameters, limit))

    def journal(self, key: RunKey, after: int, limit: int | None) -> list[JournalRow]:
        """Return the rows whose last record is above *after*, in order."""
        found = self._select(
            "SELECT seq, fence, at, body FROM journal WHERE run = %s AND seq > %s "
            "ORDER BY seq LIMIT %s",
            *(key, after, limit),
        )
        return cast("list[JournalRow]", found)

    def journals(self, keys: Sequence[RunKey]) -> dict[RunKey, list[JournalRow]]:
        """Return whole journals by key."""
        found = self._select(
            "SELECT run, seq, fence, at, body FROM journal WHERE run = ANY(%s) ORDER BY run, seq",
            list(keys),
        )
        journals: dict[RunKey, list[JournalRow]] = {key: [] for key in keys}
        for key, *row in found:
            journals[key].append(cast("JournalRow", tuple(row)))
        return journals

    def blobs(self, key: RunKey, digests: Sequence[str]) -> dict[str, Json]:
        """Return the run's spilled values by digest."""
        found = self._select(
            "SELECT digest, body FROM blobs WHERE run = %s AND digest = ANY(%s)",
            *(key, list(digests)),
        )
        return dict(found)

    def definition(self, definition_hash: str) -> Json | None:
        """Return the definition with this hash."""
        found = self._select("SELECT body FROM definitions WHERE hash = %s", definition_hash)
        return found[0][0] if found else None

    def signals(self, key: RunKey) -> list[RawSignal]:
        """Return the run's signals that nothing has consumed, oldest first."""
        found = self._select(
            "SELECT number, name, payload, at FROM notices "
            "WHERE run = %s AND kind = 'signal' AND consumed_by IS NULL ORDER BY number",
            key,
        )
        return cast("list[RawSignal]", found)

    def notices(self, owner: int, after: int) -> tuple[list[Notice], int]:
        """Return the new notices for the owner's runs, and the number to ask from next."""
        newest: int | None = self._select("SELECT max(number) FROM notices")[0][0]
        if newest is None or newest <= after:
            return [], after
        found = self._select(
            "SELECT n.number, r.run_id, n.kind, n.name FROM notices AS n "
            "JOIN runs AS r ON r.run = n.run "
            "WHERE n.number > %s AND n.number <= %s AND r.owner = %s ORDER BY n.number",
            *(after, newest, owner),
        )
        return [Notice(*row) for row in found], newest

    def purgeable(self, retention: Retention, now: int, limit: int) -> list[RunKey]:
        """Return finished runs that the policy gives up, at most *limit*."""
        age = retention.max_age_s
        states = None if retention.states is None else sorted(retention.states)
        found = self._select(
            "SELECT run FROM ("
            "  SELECT run, finished_at, row_number() OVER (ORDER BY finished_at DESC, run DESC)"
            "  AS place FROM runs WHERE finished_at IS NOT NULL"
            "  AND (%s::text[] IS NULL OR state = ANY(%s))"
            ") AS finished WHERE finished_at < %s OR place > %s LIMIT %s",
            *(states, states),
            None if age is None else now - int(age * 1e6),
            *(retention.max_finished, limit),
        )
        return [key for (key,) in found]


def _conditions(where: RunFilter) -> tuple[list[LiteralString], list[Any]]:
    conditions: list[LiteralString] = []
    parameters: list[Any] = []

    def add(condition: LiteralString, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if where.states is not None:
        add("r.state = ANY(%s)", sorted(where.states))
    if where.name is not None:
        add("r.name = %s", where.name)
    if where.parent is not None:
        add("r.parent = %s", where.parent)
    if where.finished is not None:
        add("r.finished_at IS NOT NULL" if where.finished else "r.finished_at IS NULL")
    if where.owner is not None:
        add("o.engine_id = %s", where.owner)
    if where.created_after is not None:
        add("r.created_at > %s", int(where.created_after * 1e6))
    if where.created_before is not None:
        add("r.created_at < %s", int(where.created_before * 1e6))
    for name, value in where.labels.items():
        add("r.labels ->> %s = %s", name, value)
    return conditions, parameters
