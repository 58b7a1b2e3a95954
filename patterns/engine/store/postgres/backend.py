"""PostgreSQL: one store for engines on several machines. Needs the extra `postgres`.

Leases run by the server's clock, so the machines' clocks need not agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, LiteralString, cast

import psycopg
from psycopg import errors

from ..errors import (
    FencedOut,
    RunExists,
    RunHeld,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    UnknownRun,
)
from ..grouped.backend import Claimed, Clock
from ..grouped.jobs import COLUMNS, Call, Job, Op, Write, fail, follows_failure, forgive, pack
from .connection import Connection, PostgresAddress, connect, translated
from .reads import PostgresReads
from .schema import APPLY_BATCH, migrate

__all__ = ["PostgresBackend"]

NOW: LiteralString = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
APPLY: LiteralString = (
    "SELECT pg_temp.apply_batch(%b::int4[], %b::int8[], %b::int8[], %b::int8[], %b::int8[], "
    "%b::bytea[], %b::text[], %b)"
)
ALIVE: LiteralString = (
    "EXISTS (SELECT FROM owners AS o WHERE o.number = r.owner AND NOT o.retired "
    f"AND o.expires_at > {NOW})"
)
"""Whether a living engine holds the run *r*. Looked up again for a row that another has changed."""

TAKE: LiteralString = """
UPDATE runs SET owner = %s, fence = fence + 1 WHERE run = ANY(%s)
RETURNING run_id, run, fence,
    (SELECT coalesce(max(seq), 0) + 1 FROM journal AS j WHERE j.run = runs.run), durability
"""
NOTICE_LOCK = 1_040_196_302
ATTEMPTS = 4
"""How often a batch is tried: a deadlock or a cut connection must not fail a step."""


class PostgresBackend(PostgresReads):
    """A Backend over one schema of a PostgreSQL database.

    A batch of appends is one call of a function: one round trip, one commit.
    """

    reads_apart = True

    def __init__(self, url: str, *, clock: Clock) -> None:
        super().__init__(PostgresAddress.parse(url))
        self._clock = clock
        self._connection: Connection | None = None
        self._opened = False
        self._in_doubt = False

    # Connections

    def open(self) -> None:
        """Connect, create or migrate the schema."""
        self._opened = True
        try:
            self._writing()
        except BaseException:
            self._opened = False
            raise

    def close(self) -> None:
        """Close the writing connection."""
        self._opened = False
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _writing(self) -> Connection:
        """Return the writing connection, a new one if the last was cut."""
        if not self._opened:
            raise StoreClosed(self.label)
        connection = self._connection
        if connection is None or connection.broken or connection.closed:
            self._disconnect()
            connection = connect(self._address)
            try:
                with translated(self.label, "opening"):
                    migrate(connection, self.label, self._address.schema)
                    connection.execute(APPLY_BATCH)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return connection

    # Batches

    def commit(self, jobs: list[Job]) -> None:
        """Carry out *jobs* in one transaction."""
        rows, jobs, calls, full = pack(jobs, self.label)
        if not jobs:
            return
        with translated(self.label, "committing"):
            if not calls and not _updates_a_run_twice(rows):
                try:
                    self._persist(lambda: self._apply(self._writing(), rows, full))
                except psycopg.Error as error:
                    if not _is_refusal(error):
                        raise
                else:
                    return
            self._persist(lambda: self._commit_in_steps(jobs, full, calls))

    def _persist(self, transaction: Callable[[], None]) -> None:
        """Run a transaction, again if it was a deadlock's victim or cut off.

        One that was cut off may have been committed. Appends are repeated all the same, because
        a repeated row is recognised; calls only if their COMMIT had not been sent.
        """
        for attempt in range(1, ATTEMPTS + 1):
            self._in_doubt = False
            try:
                transaction()
                return
            except (errors.DeadlockDetected, errors.SerializationFailure):
                if attempt == ATTEMPTS:
                    raise
                # Let the other transaction pass, else both deadlock again.
                self._execute("SELECT pg_sleep(%s)", 0.03 * attempt)
            except psycopg.OperationalError:
                cut = self._connection is not None and self._connection.broken
                if not cut or self._in_doubt or attempt > 1:
                    raise

    def _apply(self, connection: Connection, rows: list[Any], full: bool) -> None:
        columns = [rows[column::COLUMNS] for column in range(COLUMNS)]
        connection.execute(APPLY, (*columns, not full))

    def _commit_in_steps(self, jobs: list[Job], full: bool, calls: bool) -> None:
        """Carry out each job by itself in one transaction, so that one's refusal harms no other."""
        for job in jobs:
            forgive(job)  # What an attempt before this one may have found.
        connection = self._writing()
        connection.execute("BEGIN")
        try:
            if not full:
                connection.execute("SET LOCAL synchronous_commit TO off")
            for job in jobs:
                if isinstance(job, Write) and follows_failure(job, self.label):
                    continue
                try:
                    with connection.transaction():
                        if isinstance(job, Call):
                            job.result = job.function()
                        else:
                            self._apply(connection, job.rows, full)
                except StoreError as error:
                    if connection.broken:
                        raise
                    fail(job, error)
                except psycopg.Error as error:
                    if isinstance(job, Call) or not _is_refusal(error):
                        raise
                    fail(job, self._refusal(job, error))
            self._in_doubt = calls
            connection.execute("COMMIT")
        except BaseException:
            if not connection.broken:
                connection.execute("ROLLBACK")
            raise

    def _refusal(self, job: Write, error: psycopg.Error) -> StoreError:
        lease = job.lease
        if error.sqlstate == "AF001":
            return FencedOut(lease.run_id, lease.fence)
        if error.sqlstate == "AF002":
            return StoreCorrupt(
                self.label, f"a signal that run {lease.run_id!r} consumed is not pending"
            )
        if isinstance(error, errors.UniqueViolation) and Op.CREATE in job.rows[::COLUMNS]:
            return RunExists(lease.run_id)
        refused = StoreCorrupt(self.label, f"run {lease.run_id!r} cannot be written: {error}")
        refused.__cause__ = error
        return refused

    def _execute(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement of a call, inside its transaction; return its rows."""
        cursor = self._writing().execute(query, parameters)
        return cursor.fetchall() if cursor.description else []

    # Calls: owners

    def register(self, engine_id: str, lease_s: float, replace: bool) -> int:
        """Return the number of a new owner."""
        if replace:
            self._execute("UPDATE owners SET retired = true WHERE engine_id = %s", engine_id)
        self._execute(
            f"DELETE FROM owners WHERE (retired OR expires_at <= {NOW}) AND NOT EXISTS "
            "(SELECT 1 FROM runs WHERE finished_at IS NULL AND owner = number)"
        )
        number: int = self._execute(
            f"INSERT INTO owners (engine_id, expires_at) VALUES (%s, {NOW} + %s) RETURNING number",
            *(engine_id, int(lease_s * 1e6)),
        )[0][0]
        return number

    def renew(self, owner: int, engine_id: str, lease_s: float) -> bool:
        """Extend the lease; False when it had ended."""
        lease = int(lease_s * 1e6)
        held = self._execute(
            f"UPDATE owners SET expires_at = {NOW} + %s "
            f"WHERE number = %s AND expires_at > {NOW} AND NOT retired RETURNING number",
            *(lease, owner),
        )
        if not held:
            self._execute(
                "INSERT INTO owners (number, engine_id, expires_at) OVERRIDING SYSTEM VALUE "
                f"VALUES (%s, %s, {NOW} + %s) ON CONFLICT (number) DO UPDATE "
                "SET expires_at = excluded.expires_at, retired = false",
                *(owner, engine_id, lease),
            )
        return bool(held)

    def retire(self, owner: int) -> None:
        """End the owner's lease."""
        self._execute("UPDATE owners SET retired = true WHERE number = %s", owner)

    # Calls: claims

    def claim(self, owner: int, run_id: str) -> Claimed:
        """Take a run that no living engine holds."""
        # No join: PostgreSQL would hold the owner that the run had before against the one that another
        # engine gave it while this waited for the row, and find that it has none.
        found = self._execute(
            "SELECT r.run, r.owner, (SELECT o.engine_id FROM owners AS o WHERE o.number = r.owner), "
            f"{ALIVE} FROM runs AS r WHERE r.run_id = %s FOR UPDATE",
            run_id,
        )
        if not found:
            raise UnknownRun(run_id, self.label)
        key, holder, engine_id, alive = found[0]
        if alive and holder != owner:
            raise RunHeld(run_id, engine_id)
        return cast("Claimed", self._execute(TAKE, owner, [key])[0])

    def claim_abandoned(self, owner: int, limit: int) -> list[Claimed]:
        """Take unfinished runs whose owners are gone."""
        # Runs that another engine is claiming at this moment are skipped, not waited for.
        found = self._execute(
            "SELECT r.run FROM runs AS r "
            f"WHERE r.finished_at IS NULL AND r.owner IS DISTINCT FROM %s AND NOT {ALIVE} "
            "ORDER BY r.run LIMIT %s FOR UPDATE SKIP LOCKED",
            *(owner, limit),
        )
        taken = self._execute(TAKE, owner, [key for (key,) in found])
        return sorted(cast("list[Claimed]", taken), key=lambda claimed: claimed[1])

    def release(self, key: int, fence: int) -> None:
        """Give the run up, if it is still held with this fencing token."""
        self._execute("UPDATE runs SET owner = NULL WHERE run = %s AND fence = %s", key, fence)

    # Calls: from outside

    def request_cancel(self, run_id: str, reason: str) -> bool:
        """Note that the run shall be cancelled."""
        found = self._execute(
            "SELECT run, finished_at, cancel_reason FROM runs WHERE run_id = %s FOR NO KEY UPDATE",
            run_id,
        )
        if not found:
            raise UnknownRun(run_id, self.label)
        key, finished_at, earlier = found[0]
        if finished_at is not None:
            return False
        if earlier is None:
            self._execute(
                "UPDATE runs SET cancel_reason = %s, cancel_requested_at = %s WHERE run = %s",
                *(reason, self._now(), key),
            )
            self._notice(key, "cancel", reason, None)
        return True

    def put_signal(self, run_id: str, name: str, payload: bytes) -> int:
        """Keep a signal for the run."""
        found = self._execute("SELECT run FROM runs WHERE run_id = %s", run_id)
        if not found:
            raise UnknownRun(run_id, self.label)
        return self._notice(found[0][0], "signal", name, payload)

    def _notice(self, key: int, kind: str, name: str, payload: bytes | None) -> int:
        # One at a time, so that numbers are committed in order: a reader that has seen number n
        # would never look for a smaller one again.
        self._execute("SELECT pg_advisory_xact_lock(%s, hashtext(current_schema()))", NOTICE_LOCK)
        number: int = self._execute(
            "INSERT INTO notices (run, kind, name, payload, at) VALUES (%s, %s, %s, %s, %s) "
            "RETURNING number",
            *(key, kind, name, payload, self._now()),
        )[0][0]
        return number

    def _now(self) -> int:
        return int(self._clock() * 1e6)

    # Calls: keeping house

    def purge_runs(self, keys: Sequence[int]) -> int:
        """Forget those of the runs that are still finished, and definitions without runs."""
        doomed = self._execute(
            "DELETE FROM runs WHERE finished_at IS NOT NULL AND run = ANY(%s) "
            "RETURNING run, definition_hash",
            list(keys),
        )
        runs = [key for key, _ in doomed]
        self._execute("DELETE FROM journal WHERE run = ANY(%s)", runs)
        self._execute("DELETE FROM blobs WHERE run = ANY(%s)", runs)
        self._execute("DELETE FROM notices WHERE run = ANY(%s)", runs)
        self._execute(
            "DELETE FROM definitions WHERE hash = ANY(%s) "
            "AND NOT EXISTS (SELECT 1 FROM runs WHERE definition_hash = hash)",
            list({definition_hash for _, definition_hash in doomed}),
        )
        return len(doomed)


def _updates_a_run_twice(rows: list[Any]) -> bool:
    """Whether the batch's function, which sees rows as a set, would not know the later one."""
    updated = [
        key
        for op, key in zip(rows[::COLUMNS], rows[1::COLUMNS], strict=True)
        if op == Op.APPEND_UPDATE
    ]
    return len(set(updated)) < len(updated)


def _is_refusal(error: psycopg.Error) -> bool:
    """Whether the data were refused, and not the server at fault."""
    # AF: raised by the batch's function; 22 and 23: bad data, broken constraint.
    return (error.sqlstate or "")[:2] in ("AF", "22", "23")
