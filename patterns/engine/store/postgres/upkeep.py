"""What an engine does beside its runs: taking what dead engines left, and forgetting what is over.

It runs where reads run, in transactions of its own, so that neither a commit nor a lease waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, LiteralString, cast

from ..grouped.backend import Claimed
from ..grouped.queue_choice import choose
from ..queues import QueueLimits
from .connection import Connection
from .leases import ALIVE
from .queues import PostgresQueue
from .reads import OUTERMOST, PostgresReads

__all__ = ["TAKE", "PostgresUpkeep"]

_CLAIMED: LiteralString = (
    "run_id, run, fence, "
    "(SELECT coalesce(max(seq), 0) + 1 FROM journal AS j WHERE j.run = runs.run), durability"
)
TAKE: LiteralString = (
    f"UPDATE runs SET owner = %s, fence = fence + 1 WHERE run = ANY(%s) RETURNING {_CLAIMED}"
)
# From one entry of the index to the next owner's first: as many steps as there are engines.
DEAD: LiteralString = f"""
WITH RECURSIVE holders (owner) AS (
    (SELECT owner FROM runs WHERE owner IS NOT NULL ORDER BY owner LIMIT 1)
    UNION ALL
    SELECT (SELECT r.owner FROM runs AS r WHERE r.owner > h.owner ORDER BY r.owner LIMIT 1)
    FROM holders AS h WHERE h.owner IS NOT NULL
)
SELECT owner FROM holders AS r WHERE owner IS NOT NULL AND owner <> %s AND NOT {ALIVE}
"""
ABANDONED: LiteralString = (
    "SELECT r.run, r.fence FROM runs AS r "
    f"WHERE r.finished_at IS NULL AND r.state <> 'blocked' AND r.owner = %s AND NOT {ALIVE} "
    "AND r.queue IS NULL "
    "AND r.run < %s "
    "ORDER BY r.run LIMIT %s FOR UPDATE SKIP LOCKED"
)
"""Runs that another engine is claiming at this moment are skipped, not waited for."""
RELEASED: LiteralString = (
    "SELECT r.run, r.fence FROM runs AS r "
    "WHERE r.finished_at IS NULL AND r.state <> 'blocked' AND r.owner IS NULL AND r.queue IS NULL "
    "AND r.run < %s "
    "ORDER BY r.run LIMIT %s FOR UPDATE SKIP LOCKED"
)
DOOMED: LiteralString = f"""
WITH RECURSIVE family (top, run, run_id, finished_at) AS (
    SELECT r.run, r.run, r.run_id, r.finished_at FROM runs AS r
    WHERE r.run = ANY(%s) AND {OUTERMOST}
    UNION
    SELECT f.top, r.run, r.run_id, r.finished_at FROM family AS f JOIN runs AS r
    ON r.parent = f.run_id
)
DELETE FROM runs WHERE finished_at IS NOT NULL AND run IN (
    SELECT run FROM family WHERE top NOT IN (SELECT top FROM family WHERE finished_at IS NULL)
) RETURNING run, definition_hash
"""
"""Deletes those of the runs that can be forgotten, with their parts."""

_ALL: Final = (1 << 63) - 1


class PostgresUpkeep(PostgresReads):
    """Claims abandoned runs and purges finished ones. Owned by the store's reader."""

    def claim_abandoned(self, owner: int, limit: int) -> list[Claimed]:
        """Take unfinished runs whose owners are gone."""
        return self._claim(
            "claiming runs", owner, lambda connection: self._abandoned(connection, owner, limit)
        )

    def take(self, owner: int, limits: QueueLimits, room: int, run_id: str | None) -> list[Claimed]:
        """Take runs of a queue, as its limits allow."""

        def look(connection: Connection) -> dict[int, int]:
            table = PostgresQueue(connection, limits.queue, owner)
            if limits.shared:
                table.lock()
            again, new = choose(table, limits, room, run_id)
            found = table.locked([*again, *new]) if again or new else {}
            begun = [run for run in new if run in found]
            if limits.rate is not None and begun:
                table.begin(begun, limits.rate_s)
            return found

        return self._claim("taking runs of a queue", owner, look)

    def _claim(
        self, doing: str, owner: int, look: Callable[[Connection], dict[int, int]]
    ) -> list[Claimed]:
        """Take the runs that *look* finds, with the fencing tokens that it says, in one transaction."""
        asked: dict[int, int] = {}

        def attempt(connection: Connection, again: bool) -> list[Claimed]:
            if again and asked:
                # An attempt before this one may have been committed: what it took is known by its
                # fencing token. Nothing else would ever look for runs of an engine that lives.
                taken = connection.execute(
                    f"SELECT {_CLAIMED} FROM runs WHERE run = ANY(%s) AND owner = %s",
                    ([*asked], owner),
                ).fetchall()
                mine = [each for each in cast("list[Claimed]", taken) if each[2] == asked[each[1]]]
                if mine:
                    return mine
            with connection.transaction():
                asked.clear()
                asked.update(look(connection))
                if not asked:
                    return []
                found = connection.execute(TAKE, (owner, [*asked])).fetchall()
            return cast("list[Claimed]", found)

        claimed = self._reading.run(doing, attempt)
        return sorted(claimed, key=lambda each: each[1])

    def _abandoned(self, connection: Connection, owner: int, limit: int) -> dict[int, int]:
        """Return runs to take, locked, and the fencing tokens that they will have."""
        found: dict[int, int] = {}
        dead = connection.execute(DEAD, (owner,)).fetchall()
        looks: list[tuple[LiteralString, tuple[object, ...]]] = [(RELEASED, ())]
        looks.extend((ABANDONED, holder) for holder in dead)
        for query, holder in looks:
            # The oldest first, of all holders: nothing above what has been found already.
            below = max(found) if len(found) == limit else _ALL
            some = connection.execute(query, (*holder, below, limit)).fetchall()
            for run, fence in cast("list[tuple[int, int]]", some):
                found[run] = fence + 1
            for run in sorted(found)[limit:]:
                del found[run]
        return found

    def purge_runs(self, keys: Sequence[int]) -> int:
        """Forget those of the runs that are still finished, and definitions without runs."""

        def attempt(connection: Connection, again: bool) -> int:
            with connection.transaction():
                doomed = connection.execute(DOOMED, (list(keys),)).fetchall()
                runs = [key for key, _ in doomed]
                connection.execute("DELETE FROM journal WHERE run = ANY(%s)", (runs,))
                connection.execute("DELETE FROM labels WHERE run = ANY(%s)", (runs,))
                connection.execute("DELETE FROM blobs WHERE run = ANY(%s)", (runs,))
                connection.execute("DELETE FROM notices WHERE run = ANY(%s)", (runs,))
                connection.execute(
                    "DELETE FROM definitions WHERE hash = ANY(%s) "
                    "AND NOT EXISTS (SELECT 1 FROM runs WHERE definition_hash = hash)",
                    (list({definition_hash for _, definition_hash in doomed}),),
                )
            return len(doomed)

        return self._reading.run("purging", attempt)
