"""SQLite: the default store, one file, several processes on one machine."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from ..errors import (
    FencedOut,
    RunExists,
    RunHeld,
    RunOver,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    TooManyPending,
    UnknownRun,
)
from ..grouped.backend import Claimed, Clock
from ..grouped.jobs import COLUMNS, Call, Job, Op, Write, fail, follows_failure, pack
from ..grouped.queue_choice import choose
from ..queues import QueueLimits
from ..records import MAX_SIGNALS
from .connection import LOOK_AGAIN_S, connect, is_busy, patiently, translated
from .liveness import OwnerLocks, host_identity
from .queues import SQLiteQueue
from .reads import OUTERMOST, SQLiteReads
from .schedules import SQLiteSchedules
from .schema import APPEND_ONE, BATCH_VIEW, insert_batch, migrate
from .sessions import SQLiteSessions

__all__ = ["SQLiteBackend"]

LARGEST_STATEMENT = 512
"""Rows in one prepared statement; sizes are powers of two, so that ten statements serve all."""
LAST_WAIT_S = 2.0
"""How long a store that is being closed waits for a lock: other writers hold it for milliseconds."""
LOG_PAGES = 1000
"""Pages in the write-ahead log before they move into the file."""
LOG_BYTES = 4 * 1024 * 1024
"""The log's size from the start, with room for these pages: an fsync of a file that does not grow
takes two thirds of the time."""
OPEN_RUNS = "FROM runs INDEXED BY runs_open WHERE finished_at IS NULL AND"
DOOMED = f"""
WITH RECURSIVE family (top, run, run_id, finished_at) AS (
    SELECT r.run, r.run, r.run_id, r.finished_at FROM runs AS r
    WHERE r.run IN (SELECT value FROM json_each(?)) AND {OUTERMOST}
    UNION
    SELECT f.top, r.run, r.run_id, r.finished_at
    FROM family AS f CROSS JOIN runs AS r ON r.parent = f.run_id
)
SELECT json_group_array(run) FROM family
WHERE top NOT IN (SELECT top FROM family WHERE finished_at IS NULL)
"""
"""Those of the runs that can be forgotten, with their parts."""
FORGET_LABELS = """
DELETE FROM run_labels WHERE (name, value, run) IN (
    SELECT l.key, l.value, r.run FROM runs AS r, json_each(r.labels) AS l
    WHERE r.run IN (SELECT value FROM json_each(?)) AND r.labels IS NOT NULL
)
"""
IDLE_S = 0.005
LOOK_EVERY_S = 0.25
"""A writer that was idle looks whether the file is still there; one that is busy looks so seldom
that it costs nothing."""


class SQLiteBackend(SQLiteReads):
    """A Backend over one SQLite file in WAL mode.

    A batch is one statement (`INSERT INTO batch`), whose triggers spread the rows over the
    tables: it runs from the first row to the fsync without the interpreter lock.
    """

    upkeep_apart = False
    lane = None
    ears = None

    def __init__(
        self,
        path: str,
        *,
        clock: Clock,
        busy_timeout_s: float = 10.0,
        owner_locks: bool = True,
        log_bytes: int = LOG_BYTES,
    ) -> None:
        self._in_memory = path == ":memory:"
        # An absolute path, also for connections that are opened after the process has changed its folder.
        place = path if self._in_memory else os.path.abspath(path)
        super().__init__(place, f"sqlite:///{path}", busy_timeout_s)
        self.reads_apart = not self._in_memory
        self._clock = clock
        self._log_bytes = log_bytes
        self._connection: sqlite3.Connection | None = None
        self._locks = OwnerLocks(place) if owner_locks and not self._in_memory else None
        self._host = host_identity() if self._locks else ""
        self._synchronous = ""
        self._looked_at = 0.0
        self._worked_at = 0.0
        self._statements: dict[int, str] = {}
        kept = (self.label, self._writing, self._select, self._now)
        self.sessions = SQLiteSessions(*kept)
        self.schedules = SQLiteSchedules(*kept)
        self._give_up_at: float | None = None
        """When a lock that another connection holds is not waited for any more."""

    # Opening

    def open(self) -> None:
        """Connect, create or migrate the schema."""
        self._give_up_at = None
        connection = connect(self._path, self.label, LOOK_AGAIN_S)
        try:
            with translated(self.label, "opening"):
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        if self._in_memory:
            self._reader = connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        patiently(connection, "PRAGMA journal_mode = WAL", self._busy_timeout_s)
        connection.execute("PRAGMA synchronous = FULL")
        self._synchronous = "FULL"
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        connection.execute("PRAGMA cache_size = -16000")
        migrate(connection, self.label, self._now(), patience_s=self._busy_timeout_s)
        connection.executescript(BATCH_VIEW)
        if self._log_bytes and not self._in_memory:
            self._extend_log(connection)

    def _extend_log(self, connection: sqlite3.Connection) -> None:
        """Let the write-ahead log grow now: a transaction that spills into it, and is undone."""
        try:
            if os.path.getsize(f"{self._path}-wal") >= self._log_bytes:
                return
        except OSError:
            pass
        connection.execute("PRAGMA cache_spill = 1")
        self._begin(connection)
        try:
            connection.execute("CREATE TABLE padding (bytes BLOB)")
            connection.execute("INSERT INTO padding VALUES (zeroblob(?))", (self._log_bytes,))
        finally:
            connection.execute("ROLLBACK")
        connection.execute("PRAGMA cache_spill = ON")

    def hurry(self) -> None:
        """Wait for another connection's lock for `LAST_WAIT_S` more, over all."""
        self._give_up_at = time.monotonic() + LAST_WAIT_S

    def close(self) -> None:
        """Close the writing connection and let go of the owners' locks."""
        if self._locks is not None:
            self._locks.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._in_memory:
            self._reader = None

    def close_lease(self) -> None:
        """Nothing to do: leases are renewed by the writer."""

    def _now(self) -> int:
        return int(self._clock() * 1e6)

    def _writing(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreClosed(self.label)
        return self._connection

    # Batches

    def commit(self, jobs: list[Job]) -> None:
        """Carry out *jobs* in one transaction."""
        self._look_after_file()
        try:
            self._commit(self._writing(), jobs)
        finally:
            self._worked_at = time.monotonic()

    def _commit(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        rows, jobs, calls, full = pack(jobs, self.label)
        if not jobs:
            return
        with translated(self.label, "committing"):
            self._set_synchronous(connection, "FULL" if full else "NORMAL")
            if not calls and len(rows) <= LARGEST_STATEMENT * COLUMNS:
                # One workflow alone: a tenth less than the way over the view.
                alone = len(rows) == COLUMNS and rows[0] == Op.APPEND
                try:
                    if not alone or not connection.execute(APPEND_ONE, rows[1:6]).rowcount:
                        self._insert(connection, rows)
                except sqlite3.IntegrityError:
                    pass  # One of them is refused; the statement undid itself.
                except sqlite3.OperationalError as error:
                    if not is_busy(error):
                        raise
                else:
                    return
            self._commit_in_steps(connection, jobs)

    def _look_after_file(self) -> None:
        """Raise StoreUnavailable if the file has been deleted.

        SQLite would go on writing into a file that cannot be opened any more.
        """
        now = time.monotonic()
        busy = now - self._worked_at < IDLE_S and now - self._looked_at < LOOK_EVERY_S
        if busy or self._in_memory:
            return
        if not os.path.exists(self._path):
            raise StoreUnavailable(
                self.label,
                "committing",
                "the file was deleted; stop its users and start them again",
            )
        self._looked_at = now

    def _begin(self, connection: sqlite3.Connection) -> None:
        patiently(connection, "BEGIN IMMEDIATE", self._busy_timeout_s, self._out_of_time)

    def _out_of_time(self) -> bool:
        """Tell whether what is still to be written is given up, because the store is being closed."""
        give_up_at = self._give_up_at
        return give_up_at is not None and time.monotonic() >= give_up_at

    def _set_synchronous(self, connection: sqlite3.Connection, level: str) -> None:
        if level != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level

    def _insert(self, connection: sqlite3.Connection, rows: list[Any]) -> None:
        for start in range(0, len(rows), LARGEST_STATEMENT * COLUMNS):
            some = rows[start : start + LARGEST_STATEMENT * COLUMNS] if start else rows
            size = 1
            while size * COLUMNS < len(some):
                size *= 2
            size = min(size, LARGEST_STATEMENT)
            statement = self._statements.get(size)
            if statement is None:
                statement = self._statements[size] = insert_batch(size)
            some = some[: size * COLUMNS]
            connection.execute(statement, some + [None] * (size * COLUMNS - len(some)))

    def _commit_in_steps(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """Carry out each job by itself in one transaction, so that one's refusal harms no other."""
        self._begin(connection)
        try:
            for job in jobs:
                if isinstance(job, Write) and follows_failure(job, self.label):
                    continue
                connection.execute("SAVEPOINT job")
                try:
                    if isinstance(job, Call):
                        job.result = job.function()
                    else:
                        self._insert(connection, job.rows)
                except sqlite3.IntegrityError as error:
                    if not connection.in_transaction or isinstance(job, Call):
                        raise
                    connection.execute("ROLLBACK TO job")
                    fail(job, self._refusal(job, error))
                except StoreError as error:
                    if not connection.in_transaction:
                        raise
                    connection.execute("ROLLBACK TO job")
                    fail(job, error)
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _refusal(self, job: Write, error: sqlite3.IntegrityError) -> StoreError:
        lease = job.lease
        said = str(error)
        if said == "fenced":
            return FencedOut(lease.run_id, lease.fence)
        if said == "signal":
            return StoreCorrupt(
                self.label, f"a signal that run {lease.run_id!r} consumed is not pending"
            )
        if "runs.run_id" in said:
            return RunExists(lease.run_id)
        refused = StoreCorrupt(self.label, f"run {lease.run_id!r} cannot be written: {said}")
        refused.__cause__ = error
        return refused

    # Calls: owners

    def register(self, engine_id: str, lease_s: float, replace: bool) -> int:
        """Return the number of a new owner."""
        connection = self._writing()
        with translated(self.label, "registering an engine"):
            if replace:
                connection.execute(
                    "UPDATE owners SET retired = 1 WHERE engine_id = ?", (engine_id,)
                )
            self._forget_dead_owners(connection)
            now = self._now()
            cursor = connection.execute(
                "INSERT INTO owners (engine_id, host, expires_at, seen_at) VALUES (?, ?, ?, ?)",
                (engine_id, self._host, now + int(lease_s * 1e6), now),
            )
        number = cursor.lastrowid
        assert number is not None
        if self._locks is not None:
            self._locks.take(number)
        return number

    def _forget_dead_owners(self, connection: sqlite3.Connection) -> None:
        for number in self._dead_owners(connection):
            with translated(self.label, "forgetting dead engines"):
                deleted = connection.execute(
                    "DELETE FROM owners WHERE number = ? AND NOT EXISTS "
                    "(SELECT 1 FROM runs WHERE finished_at IS NULL AND owner = ?)",
                    (number, number),
                ).rowcount
            if deleted and self._locks is not None:
                self._locks.drop(number)

    def _dead_owners(self, connection: sqlite3.Connection) -> list[int]:
        with translated(self.label, "looking for dead engines"):
            owners = connection.execute(
                "SELECT number, host, expires_at, retired FROM owners"
            ).fetchall()
        return [owner[0] for owner in owners if not self._alive(*owner)]

    def _alive(self, number: int, host: str, expires_at: int, retired: int) -> bool:
        if retired or expires_at <= self._now():
            return False
        locks = self._locks
        return locks is None or host != self._host or not locks.is_free(number)

    def renew(self, owner: int, engine_id: str, lease_s: float) -> bool:
        """Extend the lease; False when it had ended."""
        connection = self._writing()
        now = self._now()
        expires_at = now + int(lease_s * 1e6)
        with translated(self.label, "renewing a lease"):
            held = connection.execute(
                "UPDATE owners SET expires_at = ?, seen_at = ? WHERE number = ? AND expires_at > ? "
                "AND retired = 0",
                (expires_at, now, owner, now),
            ).rowcount
            if not held:
                connection.execute(
                    "INSERT OR REPLACE INTO owners "
                    "(number, engine_id, host, expires_at, retired, seen_at) "
                    "VALUES (?, ?, ?, ?, 0, ?)",
                    (owner, engine_id, self._host, expires_at, now),
                )
        return held > 0

    def retire(self, owner: int) -> None:
        """End the owner's lease."""
        with translated(self.label, "retiring an engine"):
            self._writing().execute("UPDATE owners SET retired = 1 WHERE number = ?", (owner,))
        if self._locks is not None:
            self._locks.drop(owner)

    # Calls: claims

    def claim(self, owner: int, run_id: str) -> Claimed:
        """Take a run that no living engine holds."""
        connection = self._writing()
        with translated(self.label, "claiming a run"):
            found = connection.execute(
                "SELECT r.run, r.owner, o.engine_id, o.host, o.expires_at, o.retired "
                "FROM runs AS r LEFT JOIN owners AS o ON o.number = r.owner WHERE r.run_id = ?",
                (run_id,),
            ).fetchone()
            if found is None:
                raise UnknownRun(run_id, self.label)
            key, holder, engine_id, *lease = found
            if engine_id is not None and holder != owner and self._alive(holder, *lease):
                raise RunHeld(run_id, engine_id)
            return self._take(connection, owner, (key,))[0]

    def claim_abandoned(self, owner: int, limit: int) -> list[Claimed]:
        """Take unfinished runs whose owners are gone."""
        connection = self._writing()
        dead = [number for number in self._dead_owners(connection) if number != owner]
        with translated(self.label, "claiming runs"):
            (keys,) = connection.execute(
                "SELECT json_group_array(run) FROM (SELECT run FROM ("
                f"SELECT run {OPEN_RUNS} state <> 'blocked' AND queue IS NULL AND owner IS NULL "
                f"UNION ALL SELECT run {OPEN_RUNS} state <> 'blocked' AND queue IS NULL "
                "AND owner IN (SELECT value FROM json_each(?))"
                ") ORDER BY run LIMIT ?)",
                (json.dumps(dead), limit),
            ).fetchone()
            return self._take(connection, owner, json.loads(keys))

    def _take(
        self, connection: sqlite3.Connection, owner: int, keys: Sequence[int]
    ) -> list[Claimed]:
        which = json.dumps(keys)
        connection.execute(
            "UPDATE runs SET owner = ?, fence = fence + 1 "
            "WHERE run IN (SELECT value FROM json_each(?))",
            (owner, which),
        )
        # One row of JSON for all, as in SQLiteReads.
        (text,) = connection.execute(
            "SELECT json_group_array(json_array(run_id, run, fence, next, durability)) FROM "
            "(SELECT run_id, run, fence, durability, "
            "(SELECT coalesce(max(seq), 0) + 1 FROM journal AS j WHERE j.run = r.run) AS next "
            "FROM runs AS r WHERE run IN (SELECT value FROM json_each(?)) ORDER BY run LIMIT -1)",
            (which,),
        ).fetchone()
        return [tuple(each) for each in json.loads(text)]

    def take(self, owner: int, limits: QueueLimits, room: int, run_id: str | None) -> list[Claimed]:
        """Take runs of a queue, as its limits allow."""
        connection = self._writing()
        dead = [number for number in self._dead_owners(connection) if number != owner]
        now = self._now()
        with translated(self.label, "taking runs of a queue"):
            table = SQLiteQueue(connection, limits.queue, owner, dead, now)
            again, new = choose(table, limits, room, run_id)
            if limits.rate is not None:
                table.begin(new, limits.rate_s)
            keys = (*again, *new)
            return self._take(connection, owner, keys) if keys else []

    def serve(self, owner: int, queues: Sequence[str]) -> None:
        """Have it known which queues an engine takes runs of."""
        with translated(self.label, "serving queues"):
            self._writing().execute(
                "UPDATE owners SET queues = ? WHERE number = ?",
                (json.dumps(queues) if queues else None, owner),
            )

    def release(self, key: int, fence: int) -> None:
        """Give the run up, if it is still held with this fencing token."""
        with translated(self.label, "releasing a run"):
            self._writing().execute(
                "UPDATE runs SET owner = NULL WHERE run = ? AND fence = ?", (key, fence)
            )

    # Calls: from outside

    def request_cancel(self, run_id: str, reason: str, options: str | None) -> bool:
        """Note that the run shall be cancelled."""
        connection = self._writing()
        now = self._now()
        with translated(self.label, "asking for a cancellation"):
            found = connection.execute(
                "SELECT run, finished_at, cancel_reason FROM runs WHERE run_id = ?", (run_id,)
            ).fetchone()
            if found is None:
                raise UnknownRun(run_id, self.label)
            key, finished_at, earlier = found
            if finished_at is not None:
                return False
            if earlier is None:
                connection.execute(
                    "UPDATE runs SET cancel_reason = ?, cancel_requested_at = ?, "
                    "cancel_options = ? WHERE run = ?",
                    (reason, now, options, key),
                )
                self._notice(connection, key, "cancel", reason, None, now)
            return True

    def put_signal(self, run_id: str, name: str, payload: bytes, late: bool) -> int:
        """Keep a signal for the run."""
        connection = self._writing()
        with translated(self.label, "keeping a signal"):
            found = connection.execute(
                "SELECT run, finished_at, state FROM runs WHERE run_id = ?", (run_id,)
            ).fetchone()
            if found is None:
                raise UnknownRun(run_id, self.label)
            key, finished_at, state = found
            if finished_at is not None and not (late and state == "failed"):
                raise RunOver(run_id, state)
            (pending,) = connection.execute(
                "SELECT count(*) FROM notices "
                "WHERE run = ? AND kind = 'signal' AND consumed_by IS NULL",
                (key,),
            ).fetchone()
            if pending >= MAX_SIGNALS:
                raise TooManyPending(run_id, MAX_SIGNALS)
            return self._notice(connection, key, "signal", name, payload, self._now())

    def _notice(
        self,
        connection: sqlite3.Connection,
        key: int,
        kind: str,
        name: str,
        payload: bytes | None,
        now: int,
    ) -> int:
        number = connection.execute(
            "INSERT INTO notices (run, kind, name, payload, at) VALUES (?, ?, ?, ?, ?)",
            (key, kind, name, payload, now),
        ).lastrowid
        assert number is not None
        return number

    # Calls: keeping house

    def purge_runs(self, keys: Sequence[int]) -> int:
        """Forget those of the runs that are still finished, and definitions without runs."""
        connection = self._writing()
        with translated(self.label, "purging"):
            (text,) = connection.execute(DOOMED, (json.dumps(keys),)).fetchone()
            definitions = connection.execute(
                "SELECT DISTINCT name, definition_hash FROM runs "
                "WHERE run IN (SELECT value FROM json_each(?))",
                (text,),
            ).fetchall()
            connection.execute(FORGET_LABELS, (text,))
            for table in ("journal", "blobs", "notices", "runs"):
                connection.execute(
                    f"DELETE FROM {table} WHERE run IN (SELECT value FROM json_each(?))", (text,)
                )
            # A definition has the name of its runs, and the index of these leads to them.
            connection.executemany(
                "DELETE FROM definitions WHERE hash = ?2 AND NOT EXISTS "
                "(SELECT 1 FROM runs WHERE name = ?1 AND definition_hash = ?2)",
                definitions,
            )
        return len(json.loads(text))
