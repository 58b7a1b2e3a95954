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
from ..grouped.backend import JournalRow, Json, RawProgress, RawRun, RawSignal, RunKey
from ..grouped.queue_depths import depths
from ..queues import QueueDepth, QueuePlace
from ..records import Notice, Retention, RunFilter
from .connection import connect, translated
from .listing import Chooser
from .queues import TAKEN_RUNS, WAITING_RUNS, WAITS, before, begun_since, taken_of

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
    "r.root",
    "r.cancel_options",
    "o.seen_at",
    "r.queue",
    "r.queue_key",
    "r.priority",
)
RUN_TABLES = "FROM runs AS r LEFT JOIN owners AS o ON o.number = r.owner"
OUTERMOST = (
    "r.finished_at IS NOT NULL AND (r.parent IS NULL OR NOT EXISTS "
    "(SELECT 1 FROM runs AS p WHERE p.run_id = r.parent))"
)
"""The run *r* has finished, and is not a part of one that is there."""
ALL_ENDED = (
    "NOT EXISTS (SELECT 1 FROM runs AS c WHERE c.parent = r.run_id AND c.finished_at IS NULL)"
)
"""So have the parts of the run *r*."""
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

    def _select(
        self, columns: Sequence[str], rest: str, *parameters: Any, damaged: bool = False
    ) -> list[list[Any]]:
        """Return rows; *damaged* ones have signs of their own in the place of what is not UTF-8."""
        names = ", ".join(f"c{number}" for number in range(len(columns)))
        inner = ", ".join(f"{column} AS c{number}" for number, column in enumerate(columns))
        # As bytes, because the module's own decoding says nothing of damage.
        rows = f"CAST(json_group_array(json_array({names})) AS BLOB)"
        statement = f"SELECT {rows} FROM (SELECT {inner} {rest})"
        with translated(self.label, "reading"):
            (text,) = self._reading().execute(statement, parameters).fetchone()
        if damaged:
            text = bytes(text).decode(errors="replace")
        try:
            return cast("list[list[Any]]", from_json(text))
        except ValueError as error:
            raise StoreCorrupt(self.label, f"a text in it is not UTF-8 ({error})") from error

    def runs(self, run_ids: Sequence[str]) -> list[RawRun]:
        """Return the rows of those runs that exist."""
        rest = f"{RUN_TABLES} WHERE r.run_id IN (SELECT value FROM json_each(?))"
        return self._runs(rest, json.dumps(run_ids))

    def _runs(self, rest: str, *parameters: Any) -> list[RawRun]:
        try:
            found = self._select(RUN_COLUMNS, rest, *parameters)
        except StoreCorrupt:
            keys = self._select(("r.run",), rest, *parameters)
            found = [self._row_by_itself(key) for (key,) in keys]
        return [cast("RawRun", tuple(row)) for row in found]

    def _row_by_itself(self, key: RunKey) -> list[Any]:
        """Return the row of one run; what is damaged in it must be found, and concerns no other."""
        rest = f"{RUN_TABLES} WHERE r.run = ?"
        try:
            (row,) = self._select(RUN_COLUMNS, rest, key)
        except StoreCorrupt:
            (row,) = self._select(RUN_COLUMNS, rest, key, damaged=True)
            row[4] = "a text in its row is not UTF-8"  # as its input, which is JSON if it is sound
        return row

    def progress(self, run_ids: Sequence[str]) -> list[RawProgress]:
        """Return how far those of the runs that exist have got."""
        found = self._select(
            ("run_id", "seq", "state", "finished", "fence"),
            "FROM (SELECT run_id, state, finished_at IS NOT NULL AS finished, fence, "
            "(SELECT coalesce(max(seq), 0) FROM journal AS j WHERE j.run = r.run) AS seq "
            "FROM runs AS r WHERE run_id IN (SELECT value FROM json_each(?)))",
            json.dumps(run_ids),
        )
        return [cast("RawProgress", tuple(row)) for row in found]

    def list_runs(self, where: RunFilter, before: RunKey | None, limit: int) -> list[RawRun]:
        """Return rows, the newest first, below *before*."""
        with translated(self.label, "reading"):
            keys, parameters = Chooser(self._look, where, before, limit).query()
        rest = f"{RUN_TABLES} WHERE r.run IN ({keys}) ORDER BY r.run DESC LIMIT ?"
        return self._runs(rest, *parameters, limit)

    def _look(self, query: str, parameters: Sequence[Any]) -> Any:
        (value,) = self._reading().execute(query, parameters).fetchone()
        return value

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

    def signals(self, key: RunKey, after: int) -> list[RawSignal]:
        """Return the run's signals above *after* that nothing has consumed, oldest first."""
        found = self._select(
            ("number", "name", "CAST(payload AS TEXT)", "at"),
            "FROM notices WHERE run = ? AND kind = 'signal' AND consumed_by IS NULL "
            "AND number > ? ORDER BY number LIMIT -1",
            *(key, after),
        )
        return [cast("RawSignal", tuple(row)) for row in found]

    def signals_of(self, run_ids: Sequence[str]) -> list[tuple[str, RawSignal]]:
        """Return the signals of several runs that nothing has consumed, oldest first."""
        found = self._select(
            ("r.run_id", "n.number", "n.name", "CAST(n.payload AS TEXT)", "n.at"),
            "FROM runs AS r JOIN notices AS n ON n.run = r.run "
            "WHERE r.run_id IN (SELECT value FROM json_each(?)) "
            "AND n.kind = 'signal' AND n.consumed_by IS NULL ORDER BY n.number LIMIT -1",
            json.dumps(run_ids),
        )
        return [(run_id, cast("RawSignal", tuple(signal))) for run_id, *signal in found]

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

    def queue_depths(self) -> list[QueueDepth]:
        """Return how many runs stand in each queue."""
        serving: dict[str, list[str]] = {}
        for engine_id, queues in self._select(
            ("engine_id", "queues"),
            "FROM owners WHERE queues IS NOT NULL AND retired = 0 AND expires_at > ? LIMIT -1",
            self._now(),
        ):
            for queue in json.loads(queues):
                serving.setdefault(queue, []).append(engine_id)
        waiting = self._select(*WAITING_RUNS)
        taken = self._select(*TAKEN_RUNS)
        return depths(waiting, taken, serving)

    def _now(self) -> int:
        """Return the microseconds since the epoch."""
        raise NotImplementedError

    def queue_place(self, run_id: str, rate_s: float) -> QueuePlace | None:
        """Return where a run stands in its queue."""
        found = self._select(
            ("run", "queue", "queue_key", "priority"),
            f"FROM runs WHERE run_id = ? AND {WAITS}", run_id,
        )  # fmt: skip
        for run, queue, key, priority in found:
            since = self._now() - int(rate_s * 1e6)
            counts = (before(queue, priority, run), taken_of(queue, key), begun_since(queue, since))
            return QueuePlace(*(self._select(*each)[0][0] for each in counts))
        return None

    def purgeable(self, retention: Retention, now: int, limit: int) -> list[RunKey]:
        """Return finished runs that the policy gives up, at most *limit*."""
        finished = f"FROM runs AS r INDEXED BY runs_finished WHERE {OUTERMOST}"
        parameters: list[Any] = []
        if retention.states is not None:
            finished += " AND r.state IN (SELECT value FROM json_each(?))"
            parameters.append(json.dumps(sorted(retention.states)))
        doomed: list[tuple[str, list[int]]] = []
        if retention.max_age_s is not None:
            doomed.append(("r.finished_at < ?", [now - int(retention.max_age_s * 1e6)]))
        if retention.max_finished is not None:
            first = self._select(
                ("r.finished_at", "r.run"),
                f"{finished} ORDER BY r.finished_at DESC, r.run DESC LIMIT 1 OFFSET ?",
                *(*parameters, retention.max_finished),
            )
            for at, key in first:
                condition = "(r.finished_at <= ? AND (r.finished_at < ? OR r.run <= ?))"
                doomed.append((condition, [at, at, key]))
        keys: dict[RunKey, None] = {}
        for condition, values in doomed:
            found = self._select(
                ("r.run",),
                f"{finished} AND {condition} AND {ALL_ENDED} ORDER BY r.finished_at LIMIT ?",
                *(*parameters, *values, limit),
            )
            keys |= {key: None for (key,) in found}
        return list(keys)[:limit]
