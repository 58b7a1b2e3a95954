"""The queues of a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from ..grouped.queue_choice import Waiting

__all__ = [
    "TAKEN_RUNS",
    "WAITING_RUNS",
    "WAITS",
    "SQLiteQueue",
    "before",
    "begun_since",
    "taken_of",
]

WAITS: Final = "queue IS NOT NULL AND owner IS NULL AND finished_at IS NULL AND state <> 'blocked'"
"""A run waits in a queue: the condition of the partial indexes, word for word."""
TAKEN: Final = "queue IS NOT NULL AND owner IS NOT NULL AND finished_at IS NULL"

WAITING_RUNS: Final = (
    ("w.queue", "w.waiting", "r.created_at"),
    "FROM (SELECT queue, count(*) AS waiting, min(run) AS oldest "
    f"FROM runs INDEXED BY runs_queued WHERE {WAITS} GROUP BY queue) AS w "
    "JOIN runs AS r ON r.run = w.oldest LIMIT -1",
)
"""Runs are counted in the index alone; numbers of runs grow with time, so the least is the oldest."""
TAKEN_RUNS: Final = (
    ("queue", "count(*)"),
    f"FROM runs INDEXED BY runs_taken WHERE {TAKEN} GROUP BY queue LIMIT -1",
)

_FIRST_OF_KEYS: Final = f"""
WITH RECURSIVE keys (key) AS (
    SELECT min(queue_key) FROM runs INDEXED BY runs_queued_keys WHERE queue = ?1 AND {WAITS}
    UNION ALL
    SELECT (
        SELECT min(queue_key) FROM runs INDEXED BY runs_queued_keys
        WHERE queue = ?1 AND queue_key > k.key AND {WAITS}
    ) FROM keys AS k WHERE k.key IS NOT NULL
),
firsts (run) AS (
    SELECT (
        SELECT run FROM runs INDEXED BY runs_queued_keys
        WHERE queue = ?1 AND queue_key = k.key AND {WAITS} ORDER BY priority DESC, run LIMIT 1
    ) FROM keys AS k
    WHERE k.key IS NOT NULL AND k.key NOT IN (SELECT value FROM json_each(?2))
),
keyless (run) AS (
    SELECT run FROM runs INDEXED BY runs_queued_keys
    WHERE queue = ?1 AND queue_key IS NULL AND {WAITS} ORDER BY priority DESC, run LIMIT ?3
)
SELECT r.run, r.queue_key FROM runs AS r
WHERE r.run IN (SELECT run FROM firsts UNION ALL SELECT run FROM keyless)
ORDER BY r.priority DESC, r.run LIMIT ?3
"""
"""As many steps in the index as there are keys."""


def before(queue: str, priority: int, run: int) -> tuple[Any, ...]:
    """Return the parts of the query that counts the runs which come before one in its queue."""
    return (
        ("count(*)",),
        f"FROM runs INDEXED BY runs_queued WHERE queue = ? AND {WAITS} "
        "AND (priority > ? OR (priority = ? AND run < ?))",
        *(queue, priority, priority, run),
    )


def taken_of(queue: str, key: str | None) -> tuple[Any, ...]:
    """Return the parts of the query that counts the runs of *key* which hold a place."""
    return (
        ("count(*)",),
        f"FROM runs INDEXED BY runs_taken WHERE queue = ? AND {TAKEN} AND queue_key = ?",
        *(queue, key),
    )


def begun_since(queue: str, since: int) -> tuple[Any, ...]:
    """Return the parts of the query that counts the runs which have begun after *since*."""
    return ("count(*)",), "FROM queue_starts WHERE queue = ? AND at > ?", queue, since


class SQLiteQueue:
    """One queue, as the engine *owner* sees it. Made for one taking, inside its transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        queue: str,
        owner: int,
        dead: Sequence[int],
        now: int,
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._owner = owner
        self._dead = json.dumps(dead)
        self._now = now

    def _rows(self, query: str, *parameters: Any) -> list[Any]:
        return self._connection.execute(query, parameters).fetchall()

    def held(self) -> int:
        """Return how many runs hold a place."""
        query = f"SELECT count(*) FROM runs INDEXED BY runs_taken WHERE queue = ? AND {TAKEN}"
        ((count,),) = self._rows(query, self._queue)
        return int(count)

    def mine(self) -> int:
        """Return how many of them the engine has."""
        ((count,),) = self._rows(
            "SELECT count(*) FROM runs INDEXED BY runs_taken "
            f"WHERE queue = ? AND owner = ? AND {TAKEN}",
            *(self._queue, self._owner),
        )
        return int(count)

    def held_by_key(self) -> Mapping[str, int]:
        """Return how many of them there are of each key."""
        found = self._rows(
            "SELECT queue_key, count(*) FROM runs INDEXED BY runs_taken "
            f"WHERE queue = ? AND {TAKEN} AND queue_key IS NOT NULL GROUP BY queue_key",
            self._queue,
        )
        return dict(found)

    def begun(self, rate_s: float) -> int:
        """Return how many have begun within the last seconds."""
        ((count,),) = self._rows(
            "SELECT count(*) FROM queue_starts WHERE queue = ? AND at > ?",
            *(self._queue, self._now - int(rate_s * 1e6)),
        )
        return int(count)

    def begin(self, runs: Iterable[int], rate_s: float) -> None:
        """Note that runs begin, and forget what no window reaches any more."""
        self._connection.execute(
            "DELETE FROM queue_starts WHERE queue = ? AND at <= ?",
            (self._queue, self._now - int(rate_s * 1e6)),
        )
        self._connection.executemany(
            "INSERT INTO queue_starts VALUES (?, ?, ?)",
            [(self._queue, self._now, run) for run in runs],
        )

    def abandoned(self, limit: int) -> list[int]:
        """Return runs whose engines are dead, the oldest first."""
        found = self._rows(
            f"SELECT run FROM runs INDEXED BY runs_taken WHERE queue = ? AND {TAKEN} "
            "AND owner IN (SELECT value FROM json_each(?)) AND state <> 'blocked' "
            "ORDER BY run LIMIT ?",
            *(self._queue, self._dead, limit),
        )
        return [run for (run,) in found]

    def waiting(self, limit: int) -> list[Waiting]:
        """Return runs that wait, in their order."""
        return self._rows(
            f"SELECT run, queue_key FROM runs INDEXED BY runs_queued WHERE queue = ? AND {WAITS} "
            "ORDER BY priority DESC, run LIMIT ?",
            *(self._queue, limit),
        )

    def first_of_keys(self, full: Collection[str], limit: int) -> list[Waiting]:
        """Return the first of each key that is not *full*, and those without a key, in their order."""
        return self._rows(_FIRST_OF_KEYS, self._queue, json.dumps([*full]), limit)

    def this_one(self, run_id: str) -> tuple[int, str | None, bool] | None:
        """Return a run that could be taken: its number, its key, whether it is abandoned."""
        for run, key, owner in self._rows(
            "SELECT run, queue_key, owner FROM runs "
            "WHERE run_id = ? AND queue = ? AND finished_at IS NULL "
            "AND (owner IS NULL OR owner IN (SELECT value FROM json_each(?)))",
            *(run_id, self._queue, self._dead),
        ):
            return run, key, owner is not None
        return None
