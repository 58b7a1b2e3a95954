"""PostgreSQL: one store for engines on several machines. Needs the extra `postgres`.

Leases run by the server's clock, so the machines' clocks need not agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, LiteralString, cast

import psycopg
from psycopg import errors

from ..errors import (
    FencedOut,
    RunExists,
    RunHeld,
    RunOver,
    StoreCorrupt,
    StoreError,
    StoreRefused,
    TooManyPending,
    UnknownRun,
)
from ..grouped.backend import Claimed, Clock
from ..grouped.jobs import Call, Job, Write, fail, follows_failure, forgive
from ..records import MAX_SIGNALS
from .address import PostgresAddress
from .batch import Batch
from .connection import Connection, refuse_pooling
from .faults import is_refusal
from .lane import PostgresLane
from .leases import ALIVE, NOW, PostgresLeases
from .listener import PostgresEars, notify
from .schedules import PostgresSchedules
from .session import Session
from .sessions import PostgresSessions
from .setup import NEWEST, prepare
from .upkeep import TAKE, PostgresUpkeep

__all__ = ["PostgresBackend"]

NOTICE_LOCK = 1_040_196_302

SETTINGS: LiteralString = """
SET plan_cache_mode TO force_generic_plan;
SET enable_seqscan TO off;
SET enable_hashjoin TO off;
SET enable_mergejoin TO off;
SET jit TO off
"""
"""Everything that is written finds its rows by an index. A plan that was made while the tables were small
must not be another one."""


class PostgresBackend(PostgresLeases, PostgresUpkeep):
    """A Backend over one schema of a PostgreSQL database.

    A batch of appends is one statement: one round trip, one commit. The writing session belongs to
    the writer: to its lane on the loop while that commits, else to its thread.
    """

    reads_apart = True
    upkeep_apart = True

    def __init__(self, url: str, *, clock: Clock) -> None:
        address = PostgresAddress.parse(url)
        PostgresLeases.__init__(self, address)
        PostgresUpkeep.__init__(self, address)
        self._clock = clock
        self._session = Session(address, self._prepare)
        self.lane = PostgresLane(self._session)
        self.ears = PostgresEars(address)
        self.sessions = PostgresSessions(self._execute, self._select, lambda: self._again)
        self.schedules = PostgresSchedules(self._execute, self._select, lambda: self._again)
        self._moment = 0
        """When the call was made that is being carried out: the same however often it is tried."""
        self._again = False
        self._told: list[str] = []
        """Runs that others are to hear of, once this transaction is committed."""

    # Connections

    def open(self) -> None:
        """Connect, create or migrate the schema."""
        self._session.open()
        try:
            refuse_pooling(self._address, self._session.connection())
        except BaseException:
            self._session.close()
            raise
        self._reading.reopen()
        self._lease_session.reopen()

    def hurry(self) -> None:
        """Try nothing again from now on."""
        for session in (self._session, self._reading, self._lease_session):
            session.hurry()

    def close(self) -> None:
        """Close the writing connection."""
        self._session.close()

    def _prepare(self, connection: Connection) -> None:
        # A driver that deallocates all statements after a rollback would take the lane's with them. It
        # does once it has prepared one of its own: also of those that make the schema.
        connection.prepare_threshold = None
        prepare(connection, self.label, self._address.schema)
        connection.execute(SETTINGS)
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
        self.lane.forget()

    # Batches

    def commit(self, jobs: list[Job]) -> None:
        """Carry out *jobs* in one transaction."""
        jobs = [
            job for job in jobs if not (isinstance(job, Write) and follows_failure(job, self.label))
        ]
        if not jobs:
            return
        relaxed = not any(isinstance(job, Call) or job.full for job in jobs)
        moments = self._moments(jobs)

        def attempt(connection: Connection, again: bool) -> None:
            self._again = again
            if not again and not moments:
                batch = Batch.of(job.rows for job in jobs if isinstance(job, Write))
                if batch is not None:
                    try:
                        self.lane.execute(connection, batch, relaxed=relaxed)
                    except psycopg.Error as error:
                        if not is_refusal(error):
                            raise
                    else:
                        return
            self._commit_in_steps(connection, jobs, moments, relaxed)

        self._session.run("committing", attempt)

    def _moments(self, jobs: list[Job]) -> dict[int, int]:
        """Return a moment for each call among *jobs*, by which it is known again."""
        moments: dict[int, int] = {}
        for job in jobs:
            if isinstance(job, Call):
                self._moment = max(int(self._clock() * 1e6), self._moment + 1)
                moments[id(job)] = self._moment
        return moments

    def _commit_in_steps(
        self, connection: Connection, jobs: list[Job], moments: dict[int, int], relaxed: bool
    ) -> None:
        """Carry out jobs in one transaction such that one's refusal harms no other."""
        for job in jobs:
            forgive(job)  # What an attempt before this one may have found.
        self._told.clear()
        connection.execute("BEGIN")
        try:
            if relaxed:
                connection.execute("SET LOCAL synchronous_commit TO off")
            for sort, some in groupby(jobs, type):
                if sort is Call:
                    for job in some:
                        self._call(connection, cast("Call", job), moments[id(job)])
                else:
                    self._write(connection, cast("list[Write]", list(some)))
            if self._told:
                notify(connection, self._told)
            connection.execute("COMMIT")
        except BaseException:
            if not connection.broken:
                connection.execute("ROLLBACK")
            raise

    def _call(self, connection: Connection, job: Call, moment: int) -> None:
        self._moment = moment
        told = len(self._told)
        try:
            with connection.transaction():
                job.result = job.function()
        except StoreError as error:
            if connection.broken:
                raise
            del self._told[told:]
            fail(job, error)

    def _write(self, connection: Connection, jobs: list[Write]) -> None:
        """Write appends: all at once if that works, else one after the other."""
        if len(jobs) > 1 and not self._again:
            batch = Batch.of(job.rows for job in jobs)
            if batch is not None:
                try:
                    with connection.transaction():
                        self.lane.execute(connection, batch, relaxed=False)
                except psycopg.Error as error:
                    if not is_refusal(error):
                        raise
                else:
                    return
        for job in jobs:
            if follows_failure(job, self.label):
                continue
            try:
                with connection.transaction():
                    self._write_one(connection, job)
            except StoreError as error:
                if connection.broken:
                    raise
                fail(job, error)
            except psycopg.Error as error:
                if not is_refusal(error):
                    raise
                fail(job, self._refusal(job, error))

    def _write_one(self, connection: Connection, job: Write) -> None:
        """Write one append, and find out what is wrong with it.

        A row that is there already with the same content was written by this very lease, in a batch
        whose acknowledgement a broken connection swallowed: it counts as written.
        """
        batch = Batch.of([job.rows])
        if batch is None:
            # A run's row that changes twice: row by row.
            raise StoreCorrupt(self.label, f"run {job.lease.run_id!r} changes twice in one append")
        lease = job.lease
        told = self.lane.execute(connection, batch, relaxed=False, again=True)
        written = told[len(batch.expected)]
        short = batch.short(told)
        if short is None and batch.created:
            held = connection.execute(
                "SELECT 1 FROM runs WHERE run = ANY(%s) AND (fence = 1 OR queue IS NOT NULL) "
                "FOR KEY SHARE",
                ([*batch.created],),
            ).fetchall()
            short = None if len(held) == len(batch.created) else "fenced"
        if short == "fenced":
            raise FencedOut(lease.run_id, lease.fence)
        if short == "signal":
            raise StoreCorrupt(
                self.label, f"a signal that run {lease.run_id!r} consumed is not pending"
            )
        if written < batch.journal and not self._written(connection, batch):
            raise StoreCorrupt(
                self.label,
                f"run {lease.run_id!r} cannot be written: the record is written already",
            )

    def _written(self, connection: Connection, batch: Batch) -> bool:
        """Tell whether all rows that the batch adds to the journal stand there."""
        found = connection.execute(
            "SELECT count(*) FROM unnest(%s::int8[], %s::int8[], %s::int8[], %s::bytea[]) "
            "AS b (run, seq, fence, body) JOIN journal AS j ON j.run = b.run AND j.seq = b.seq "
            "AND j.fence = b.fence AND j.body = b.body",
            batch.journal_keys,
        ).fetchone()
        return found is not None and found[0] == batch.journal

    def _refusal(self, job: Write, error: psycopg.Error) -> StoreError:
        lease = job.lease
        if isinstance(error, errors.UniqueViolation) and error.diag.table_name == "runs":
            return RunExists(lease.run_id)
        if isinstance(error, errors.ProgramLimitExceeded):
            return StoreRefused(self.label, f"writing run {lease.run_id!r}", str(error).strip())
        refused = StoreCorrupt(self.label, f"run {lease.run_id!r} cannot be written: {error}")
        refused.__cause__ = error
        return refused

    def _execute(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement of a call, inside its transaction; return its rows."""
        return self._session.rows(query, parameters)

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
            "INSERT INTO owners (engine_id, version, expires_at, seen_at) "
            f"VALUES (%s, %s, {NOW} + %s, {NOW}) RETURNING number",
            *(engine_id, NEWEST, int(lease_s * 1e6)),
        )[0][0]
        return number

    def retire(self, owner: int) -> None:
        """End the owner's lease."""
        self._execute("UPDATE owners SET retired = true WHERE number = %s", owner)

    def serve(self, owner: int, queues: Sequence[str]) -> None:
        """Have it known which queues an engine takes runs of."""
        self._execute(
            "UPDATE owners SET queues = %s WHERE number = %s", list(queues) or None, owner
        )

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

    def release(self, key: int, fence: int) -> None:
        """Give the run up, if it is still held with this fencing token."""
        self._execute("UPDATE runs SET owner = NULL WHERE run = %s AND fence = %s", key, fence)

    # Calls: from outside

    def request_cancel(self, run_id: str, reason: str, options: str | None) -> bool:
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
                "UPDATE runs SET cancel_reason = %s, cancel_requested_at = %s, cancel_options = %s "
                "WHERE run = %s",
                *(reason, self._moment, options, key),
            )
            self._notice(run_id, key, "cancel", reason, None)
        return True

    def put_signal(self, run_id: str, name: str, payload: bytes, late: bool) -> int:
        """Keep a signal for the run."""
        # Locked against its end, which would be written before this and not be seen here.
        found = self._execute(
            "SELECT run, finished_at, state FROM runs WHERE run_id = %s FOR SHARE", run_id
        )
        if not found:
            raise UnknownRun(run_id, self.label)
        key, finished_at, state = found[0]
        there = self._noticed(key, "signal", name, payload)
        if there is not None:
            return there
        if finished_at is not None and not (late and state == "failed"):
            raise RunOver(run_id, state)
        pending = self._execute(
            "SELECT count(*) FROM notices "
            "WHERE run = %s AND kind = 'signal' AND consumed_by IS NULL",
            key,
        )[0][0]
        if pending >= MAX_SIGNALS:
            raise TooManyPending(run_id, MAX_SIGNALS)
        return self._notice(run_id, key, "signal", name, payload)

    def _noticed(self, key: int, kind: str, name: str, payload: bytes | None) -> int | None:
        """Return the number of a notice that an attempt before this one has committed."""
        if not self._again:
            return None
        there = self._execute(
            "SELECT number FROM notices WHERE run = %s AND kind = %s AND name = %s AND at = %s "
            "AND payload IS NOT DISTINCT FROM %s",
            *(key, kind, name, self._moment, payload),
        )
        return cast("int", there[0][0]) if there else None

    def _notice(self, run_id: str, key: int, kind: str, name: str, payload: bytes | None) -> int:
        # One at a time, so that numbers are committed in order: a reader that has seen number n
        # would never look for a smaller one again.
        self._execute("SELECT pg_advisory_xact_lock(%s, hashtext(current_schema()))", NOTICE_LOCK)
        number: int = self._execute(
            "INSERT INTO notices (run, kind, name, payload, at) VALUES (%s, %s, %s, %s, %s) "
            "RETURNING number",
            *(key, kind, name, payload, self._moment),
        )[0][0]
        self._told.append(run_id)
        return number
