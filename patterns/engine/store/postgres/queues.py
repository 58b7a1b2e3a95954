"""The queues of a PostgreSQL schema."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, LiteralString, cast

from ..grouped.queue_choice import Waiting
from .connection import Connection
from .leases import ALIVE, NOW

__all__ = ["PLACE", "SERVING", "TAKEN_RUNS", "WAITING_RUNS", "WAITS", "PostgresQueue"]

WAITS: LiteralString = (
    "queue IS NOT NULL AND owner IS NULL AND finished_at IS NULL AND state <> 'blocked'"
)
"""A run waits in a queue: the condition of the partial indexes."""
TAKEN: LiteralString = "queue IS NOT NULL AND owner IS NOT NULL AND finished_at IS NULL"

WAITING_RUNS: LiteralString = (
    "SELECT w.queue, w.waiting, r.created_at FROM (SELECT queue, count(*) AS waiting, "
    f"min(run) AS oldest FROM runs WHERE {WAITS} GROUP BY queue) AS w JOIN runs AS r ON r.run = w.oldest"
)
"""Runs are counted in the index alone; numbers of runs grow with time, so the least is the oldest."""
TAKEN_RUNS: LiteralString = f"SELECT queue, count(*) FROM runs WHERE {TAKEN} GROUP BY queue"
SERVING: LiteralString = (
    "SELECT engine_id, queues FROM owners "
    f"WHERE queues IS NOT NULL AND NOT retired AND expires_at > {NOW}"
)

PLACE: LiteralString = (
    f"SELECT (SELECT count(*) FROM runs WHERE queue = %s AND {WAITS} "
    "AND (priority > %s OR (priority = %s AND run < %s))), "
    f"(SELECT count(*) FROM runs WHERE queue = %s AND {TAKEN} AND queue_key = %s), "
    f"(SELECT count(*) FROM queue_starts WHERE queue = %s AND at > {NOW} - %s)"
)
"""What comes before a run, what of its key is taken, and what has begun lately."""

LOCK: LiteralString = (
    "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || %s, 7040196303))"
)
"""One engine at a time takes runs of a queue whose limits count what others have taken. The statements
behind it see all that was committed before."""

SKIPPING: LiteralString = " FOR UPDATE SKIP LOCKED"
"""Engines that take at the same time take different runs."""

_DEAD: LiteralString = f"""
WITH RECURSIVE holders (owner) AS (
    (SELECT owner FROM runs WHERE queue = %s AND {TAKEN} ORDER BY owner LIMIT 1)
    UNION ALL
    SELECT (
        SELECT n.owner FROM runs AS n WHERE n.queue = %s AND n.queue IS NOT NULL
        AND n.owner IS NOT NULL AND n.finished_at IS NULL AND n.owner > h.owner
        ORDER BY n.owner LIMIT 1
    ) FROM holders AS h WHERE h.owner IS NOT NULL
)
SELECT owner FROM holders AS r WHERE owner IS NOT NULL AND owner <> %s AND NOT {ALIVE}
"""
"""As many steps in the index as there are engines."""

_FIRST_OF_KEYS: LiteralString = f"""
WITH RECURSIVE keys (key) AS (
    (SELECT queue_key FROM runs WHERE queue = %(queue)s AND {WAITS} AND queue_key IS NOT NULL
        ORDER BY queue_key LIMIT 1)
    UNION ALL
    SELECT (
        SELECT queue_key FROM runs WHERE queue = %(queue)s AND {WAITS} AND queue_key > k.key
        ORDER BY queue_key LIMIT 1
    ) FROM keys AS k WHERE k.key IS NOT NULL
)
SELECT run, key FROM (
    (SELECT f.run, f.priority, k.key FROM keys AS k CROSS JOIN LATERAL (
        SELECT run, priority FROM runs WHERE queue = %(queue)s AND {WAITS} AND queue_key = k.key
        ORDER BY priority DESC, run LIMIT 1
    ) AS f WHERE k.key <> ALL (%(full)s::text[]))
    UNION ALL
    (SELECT run, priority, NULL FROM runs WHERE queue = %(queue)s AND {WAITS}
        AND queue_key IS NULL ORDER BY queue_key, priority DESC, run LIMIT %(limit)s)
) AS firsts ORDER BY priority DESC, run LIMIT %(limit)s
"""
"""As many steps in the index as there are keys. Runs without one are ordered by it all the same, or they
would be looked for among all that wait."""


class PostgresQueue:
    """One queue, as the engine *owner* sees it. Made for one taking, inside its transaction."""

    def __init__(self, connection: Connection, queue: str, owner: int) -> None:
        self._connection = connection
        self._queue = queue
        self._owner = owner
        self._alone = False

    def _rows(self, query: LiteralString, parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, parameters).fetchall()

    def _count(self, query: LiteralString, *parameters: Any) -> int:
        return cast("int", self._rows(query, parameters)[0][0])

    def lock(self) -> None:
        """Hold off other engines that take runs of this queue, until the transaction ends."""
        self._rows(LOCK, (self._queue,))
        self._alone = True

    def held(self) -> int:
        """Return how many runs hold a place."""
        return self._count(f"SELECT count(*) FROM runs WHERE queue = %s AND {TAKEN}", self._queue)

    def mine(self) -> int:
        """Return how many of them the engine has."""
        return self._count(
            f"SELECT count(*) FROM runs WHERE queue = %s AND owner = %s AND {TAKEN}",
            *(self._queue, self._owner),
        )

    def held_by_key(self) -> Mapping[str, int]:
        """Return how many of them there are of each key."""
        found = self._rows(
            f"SELECT queue_key, count(*) FROM runs WHERE queue = %s AND {TAKEN} "
            "AND queue_key IS NOT NULL GROUP BY queue_key",
            (self._queue,),
        )
        return dict(cast("list[tuple[str, int]]", found))

    def begun(self, rate_s: float) -> int:
        """Return how many have begun within the last seconds."""
        return self._count(
            f"SELECT count(*) FROM queue_starts WHERE queue = %s AND at > {NOW} - %s",
            *(self._queue, int(rate_s * 1e6)),
        )

    def begin(self, runs: Sequence[int], rate_s: float) -> None:
        """Note that runs begin, and forget what no window reaches any more."""
        self._connection.execute(
            f"DELETE FROM queue_starts WHERE queue = %s AND at <= {NOW} - %s",
            (self._queue, int(rate_s * 1e6)),
        )
        self._connection.execute(
            f"INSERT INTO queue_starts SELECT %s, {NOW}, run FROM unnest(%s::bigint[]) AS b (run)",
            (self._queue, runs),
        )

    def abandoned(self, limit: int) -> list[int]:
        """Return runs whose engines are dead, the oldest first."""
        dead = self._rows(_DEAD, (self._queue, self._queue, self._owner))
        if not dead:
            return []
        found = self._rows(
            f"SELECT run FROM runs WHERE queue = %s AND {TAKEN} AND state <> 'blocked' "
            "AND owner = ANY(%s) ORDER BY run LIMIT %s",
            (self._queue, [owner for (owner,) in dead], limit),
        )
        return [run for (run,) in found]

    def waiting(self, limit: int) -> list[Waiting]:
        """Return runs that wait, in their order."""
        found = self._rows(
            f"SELECT run, queue_key FROM runs WHERE queue = %s AND {WAITS} "
            f"ORDER BY priority DESC, run LIMIT %s{'' if self._alone else SKIPPING}",
            (self._queue, limit),
        )
        return cast("list[Waiting]", found)

    def first_of_keys(self, full: Collection[str], limit: int) -> list[Waiting]:
        """Return the first of each key that is not *full*, and those without a key, in their order."""
        found = self._rows(_FIRST_OF_KEYS, {"queue": self._queue, "full": [*full], "limit": limit})
        return cast("list[Waiting]", found)

    def this_one(self, run_id: str) -> tuple[int, str | None, bool] | None:
        """Return a run that could be taken: its number, its key, whether it is abandoned."""
        found = self._rows(
            "SELECT r.run, r.queue_key, r.owner IS NOT NULL FROM runs AS r "
            f"WHERE r.run_id = %s AND r.queue = %s AND r.finished_at IS NULL AND NOT {ALIVE}",
            (run_id, self._queue),
        )
        return cast("tuple[int, str | None, bool]", found[0]) if found else None

    def locked(self, runs: Sequence[int]) -> dict[int, int]:
        """Return those of the runs that can still be taken, locked, and the fencing tokens that they will
        have. What another engine is claiming at this moment is skipped, not waited for."""
        found = self._rows(
            "SELECT r.run, r.fence + 1 FROM runs AS r "
            f"WHERE r.run = ANY(%s) AND r.finished_at IS NULL AND NOT {ALIVE} "
            "ORDER BY r.run FOR UPDATE SKIP LOCKED",
            (list(runs),),
        )
        return dict(cast("list[tuple[int, int]]", found))
