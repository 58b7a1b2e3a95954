"""The store itself: leases, encoding and acknowledgements over any backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Thread
from typing import Any, Final, TypeVar

from agenticaiframework.actors import Log

from ..contract import Acknowledge, Lease
from ..errors import StoreClosed, StoreCorrupt, StoreError, StoreUnavailable
from ..records import (
    Durability,
    Inbox,
    JournalEntry,
    NewRun,
    Owner,
    Record,
    Retention,
    RunFilter,
    RunPage,
    RunRow,
    RunUpdate,
    Signal,
    StoreStats,
)
from .backend import Backend, Claimed, Clock
from .encoding import ValueLimits, encode_payload
from .jobs import Call, Job, Write
from .outcome import Outcome, own, settle
from .reader import ReaderThread
from .reading import RunReader
from .rows import check_text, rows_of_append, rows_of_run
from .writer import GroupWriter, InlineWriter, ThreadWriter

__all__ = ["GroupedStore"]

T = TypeVar("T")

_NONE: Final = Durability.NONE

OWNER_SLOTS = 1 << 12
"""A run's key is its moment of creation in microseconds and, below, its owner's number.

Keys so grow with time: recent runs are neighbours on disk, and their order is that of creation.
"""
PURGE_CHUNK = 200
"""Runs forgotten in one transaction, so that purging delays appends by milliseconds only."""
READ_CHUNK = 500


class GroupedStore:
    """A Store over a backend, with one writer that commits in groups.

    Its state and its leases belong to the loop that opened it; the backend belongs to the
    writer, its reading half to the reader thread.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        clock: Clock,
        limits: ValueLimits | None = None,
        inline: bool = False,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._limits = limits or ValueLimits()
        self._inline = inline
        self._log = Log(store=self.url)
        self._runs = RunReader(backend)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: GroupWriter | None = None
        self._reader: ReaderThread | None = None
        self._changing = asyncio.Lock()
        self._leaving: tuple[Thread, ...] = ()
        """Threads that were left behind, and may not have closed the backend yet."""
        # The moment of each owner's latest run, in microseconds: the first part of its key.
        self._last_run: dict[int, int] = {}
        self._batches = 0
        self._appends = 0
        self._records = 0
        self._largest_batch = 0
        self._failed_appends = 0

    def __repr__(self) -> str:
        return f"<{self._backend.label}{'' if self._writer else ', closed'}>"

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        return self._backend.label

    # Opening and closing

    async def open(self) -> None:
        """Start the writer and make the medium ready."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._move_to(loop)
        async with self._changing:
            if self._writer is not None:
                return
            backend = self._backend
            kind = InlineWriter if self._inline else ThreadWriter
            enter = partial(_enter, backend, self._leaving)
            writer = kind(loop, backend.label, enter, backend.commit, backend.close, self._deliver)
            opened: Outcome[None] = Outcome(loop)
            try:
                writer.start(lambda error: opened.set(None, error))
                await opened.future
            except BaseException:
                self._leave(writer, None)
                raise
            self._writer = writer
            self._leaving = ()
            if backend.reads_apart and not self._inline:
                self._reader = ReaderThread(loop, backend.label, backend.close_reader)

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to *loop*, if the one before has ended (without closing the store, perhaps)."""
        if self._writer is not None:
            if self._loop is not None and not self._loop.is_closed():
                raise StoreUnavailable(self.url, "opening", "it is open on another event loop")
            self._leave(self._writer, self._reader)
            self._writer = self._reader = None
            self._last_run.clear()
        self._loop = loop
        self._changing = asyncio.Lock()

    def _leave(self, writer: GroupWriter, reader: ReaderThread | None) -> None:
        """Let both threads end; the next opening waits until they have closed the backend."""
        threads = (writer.abandon(), None if reader is None else reader.abandon())
        self._leaving += tuple(thread for thread in threads if thread is not None)

    async def close(self) -> None:
        """Write the queue, then let go of threads, files and connections."""
        # In a task of its own: a cancelled caller must not leave it half closed.
        await asyncio.shield(asyncio.ensure_future(self._shut()))

    async def _shut(self) -> None:
        async with self._changing:
            writer, reader = self._writer, self._reader
            if writer is None:
                return
            for number in self._last_run:
                # Whether it works or not, nothing more is written for these owners.
                writer.put(Call(partial(self._backend.retire, number), _ignore))
            # From here on new calls are rejected; queued ones are drained.
            self._writer = self._reader = None
            self._last_run.clear()
            try:
                if reader is not None:
                    await reader.stop()
                await writer.stop()
            except BaseException:
                self._leave(writer, reader)
                raise
            if reader is None:
                self._backend.close_reader()

    def stats(self) -> StoreStats:
        """Return the counters since the store was made."""
        return StoreStats(
            commits=self._batches,
            appends=self._appends,
            records=self._records,
            largest_batch=self._largest_batch,
            failed_appends=self._failed_appends,
        )

    # Owners

    async def register(self, engine_id: str, lease_s: float, replace: bool = False) -> Owner:
        """Return a new owner."""
        check_text("the engine id", engine_id)
        if not lease_s > 0:
            raise ValueError(f"lease_s={lease_s!r}: give the lease's length in seconds, above 0")
        number = await self._call(lambda: self._backend.register(engine_id, lease_s, replace))
        self._last_run[number] = 0
        return Owner(engine_id, number, lease_s)

    async def renew(self, owner: Owner) -> bool:
        """Extend the lease; False when it had ended meanwhile."""
        return await self._call(
            lambda: self._backend.renew(owner.number, owner.engine_id, owner.lease_s)
        )

    async def retire(self, owner: Owner) -> None:
        """End the owner's lease at once."""
        await self._call(lambda: self._backend.retire(owner.number))
        self._last_run.pop(owner.number, None)

    # Writing

    def create_run(
        self, owner: Owner, run: NewRun, records: Sequence[Record] = ()
    ) -> asyncio.Future[Lease]:
        """Store a run and its first records, durably."""
        future: asyncio.Future[Lease] = self._open_loop().create_future()
        job = self._creation(owner, run, records)
        job.done = partial(settle, future, job.lease)
        self._put(self._open_writer(), job)
        return future

    def submit_run(
        self, owner: Owner, run: NewRun, done: Acknowledge, records: Sequence[Record] = ()
    ) -> Lease:
        """Store a run and its first records, and call *done*."""
        writer = self._open_writer()
        job = self._creation(owner, run, records)
        job.done = done
        self._put(writer, job)
        return job.lease

    def _creation(self, owner: Owner, run: NewRun, records: Sequence[Record]) -> Write:
        earlier = self._last_run.get(owner.number)
        if earlier is None:
            raise ValueError(
                f"{owner} was not registered with {self.url} since it was opened: "
                "owner = await store.register(engine_id, lease_s)"
            )
        at = int(self._clock() * 1e6)
        moment = at if at > earlier else earlier + 1
        key = moment * OWNER_SLOTS + owner.number % OWNER_SLOTS
        rows, size = rows_of_run(run, owner.number, key, at, records, self._limits)
        self._last_run[owner.number] = moment
        self._records += len(records)
        lease = Lease(run.run_id, key, 1, len(records) + 1, run.durability)
        return Write(lease, rows, 1, size, None, self)

    def append(
        self,
        lease: Lease,
        records: Sequence[Record],
        update: RunUpdate | None = None,
        consumes: Iterable[int] = (),
    ) -> asyncio.Future[int]:
        """Write *records* in order, atomically with *update*; return the last number."""
        future: asyncio.Future[int] = self._open_loop().create_future()
        last = lease.next_seq + len(records) - 1
        self.submit(lease, records, partial(settle, future, last), update, consumes)
        return future

    def submit(
        self,
        lease: Lease,
        records: Sequence[Record],
        done: Acknowledge,
        update: RunUpdate | None = None,
        consumes: Iterable[int] = (),
    ) -> None:
        """Write *records* in order, atomically with *update*, and call *done*."""
        writer = self._writer
        if writer is None:
            raise StoreClosed(self.url)
        at = int(self._clock() * 1e6)
        rows, size = rows_of_append(lease, records, update, consumes, at, self._limits)
        first = lease.next_seq
        count = len(records)
        lease.next_seq = first + count
        self._records += count
        self._put(writer, Write(lease, rows, first, size, done, self))

    def _put(self, writer: GroupWriter, job: Write) -> None:
        lease = job.lease
        if lease.durability is not _NONE:
            writer.put(job)
            return
        if lease.lost is not None:
            # An earlier append was lost after its acknowledgement: this one is refused for it.
            job.error, lease.lost = lease.lost, None
            lease.next_seq = job.first_seq
        else:
            writer.put(job)
        done, job.done = job.done, None
        if done is not None:
            done(job.error)

    def _deliver(self, batch: list[Job]) -> None:
        """Report finished jobs to their callers. On the loop."""
        self._batches += 1
        self._appends += len(batch)
        if len(batch) > self._largest_batch:
            self._largest_batch = len(batch)
        for job in batch:
            try:
                if isinstance(job, Call):
                    job.done(job.result, job.error)
                    continue
                if job.error is not None:
                    self._withdraw(job, job.error)
                if job.done is not None:
                    job.done(job.error)
            except Exception as error:
                # One caller's mistake must not keep the others waiting for ever.
                self._log.error("{}: an acknowledgement's callback failed", self.url, error=error)

    def _withdraw(self, job: Write, error: StoreError) -> None:
        """Free the sequence numbers of a failed append, and of what was queued behind it."""
        self._failed_appends += 1
        job.error = own(error)
        lease = job.lease
        if lease.generation == job.generation:
            # The first of them to fail.
            lease.generation += 1
            lease.next_seq = job.first_seq
        if lease.durability is _NONE:
            lease.lost = job.error
            self._log.error(
                "{}: records of run {!r} with durability 'none' are lost: {}",
                self.url,
                lease.run_id,
                error,
            )

    async def flush(self) -> None:
        """Return when what was handed over until now has been written, or refused."""
        await self._call(lambda: None)

    # Claims

    async def claim(self, owner: Owner, run_id: str) -> Lease:
        """Take a run that no living engine holds."""
        return _lease(await self._call(lambda: self._backend.claim(owner.number, run_id)))

    async def claim_abandoned(self, owner: Owner, limit: int = 1000) -> list[Lease]:
        """Take unfinished runs whose owners are gone."""
        claimed = await self._call(lambda: self._backend.claim_abandoned(owner.number, limit))
        return [_lease(each) for each in claimed]

    async def release(self, lease: Lease) -> None:
        """Give the run up."""
        await self._call(lambda: self._backend.release(lease.key, lease.fence))

    # Reading

    async def load_run(self, run_id: str) -> RunRow:
        """Return the run's row."""
        return await self._read(lambda: self._runs.row(run_id))

    async def load_runs(self, run_ids: Iterable[str]) -> dict[str, RunRow]:
        """Return the rows of those runs that exist, by id."""
        found: dict[str, RunRow] = {}
        for some in _chunks(tuple(run_ids)):
            rows = await self._read(partial(self._runs.rows, some))
            found.update((row.run_id, row) for row in rows)
        return found

    async def load_definition(self, definition_hash: str) -> str:
        """Return the definition's JSON."""
        data = await self._read(lambda: self._backend.definition(definition_hash))
        if data is None:
            raise StoreCorrupt(self.url, f"there is no definition {definition_hash!r}")
        return data if isinstance(data, str) else data.decode()

    async def load_definitions(self, definition_hashes: Iterable[str]) -> dict[str, str]:
        """Return the JSON of those definitions that exist, by hash."""
        found: dict[str, str] = {}
        for some in _chunks(tuple(definition_hashes)):
            found.update(await self._read(partial(self._definitions, some)))
        return found

    def _definitions(self, hashes: Iterable[str]) -> list[tuple[str, str]]:
        stored = ((each, self._backend.definition(each)) for each in hashes)
        return [
            (each, data if isinstance(data, str) else data.decode())
            for each, data in stored
            if data is not None
        ]

    async def read_journal(
        self, run_id: str, after: int = 0, limit: int | None = None
    ) -> list[JournalEntry]:
        """Return the entries numbered above *after*, in order."""
        return await self._read(lambda: self._runs.journal(run_id, after, limit))

    async def read_journals(self, run_ids: Iterable[str]) -> dict[str, list[JournalEntry]]:
        """Return whole journals by run id."""
        found: dict[str, list[JournalEntry]] = {}
        for some in _chunks(tuple(run_ids)):
            found |= await self._read(partial(self._runs.journals, some))
        return found

    async def list_runs(
        self, where: RunFilter | None = None, page: str | None = None, limit: int = 100
    ) -> RunPage:
        """Return runs, newest first."""
        before = _parse_page(page)
        if limit < 1:
            raise ValueError(f"limit={limit}: give the number of rows wanted, 1 or more")
        return await self._read(lambda: self._runs.page(where or RunFilter(), before, limit))

    # From outside

    async def request_cancel(self, run_id: str, reason: str) -> bool:
        """Note durably that the run shall be cancelled."""
        check_text("the reason", reason, allow_empty=True)
        return await self._call(lambda: self._backend.request_cancel(run_id, reason))

    async def put_signal(self, run_id: str, name: str, payload: Any = None) -> int:
        """Keep a signal for the run, durably; return its number."""
        check_text("the signal's name", name)
        data = encode_payload(run_id, name, payload, self._limits)
        return await self._call(lambda: self._backend.put_signal(run_id, name, data))

    async def pending_signals(self, run_id: str) -> list[Signal]:
        """Return the run's signals that no record has consumed, oldest first."""
        return await self._read(lambda: self._runs.signals(run_id))

    async def poll(self, owner: Owner, after: int = 0) -> Inbox:
        """Return what was said since cursor *after* to runs that *owner* holds."""
        notices, cursor = await self._read(lambda: self._backend.notices(owner.number, after))
        return Inbox(tuple(notices), cursor)

    # Keeping house

    async def purge(self, retention: Retention) -> int:
        """Forget finished runs by policy; return how many."""
        purged = 0
        now = int(self._clock() * 1e6)
        while True:
            keys = await self._read(lambda: self._backend.purgeable(retention, now, PURGE_CHUNK))
            some = await self._call(partial(self._backend.purge_runs, keys)) if keys else 0
            purged += some
            if not some:
                return purged

    # Inside

    def _open_writer(self) -> GroupWriter:
        if self._writer is None:
            raise StoreClosed(self.url)
        return self._writer

    def _open_loop(self) -> asyncio.AbstractEventLoop:
        if self._writer is None or self._loop is None:
            raise StoreClosed(self.url)
        return self._loop

    async def _call(self, function: Callable[[], T]) -> T:
        """Run *function* in the writer, in a transaction."""
        outcome: Outcome[T] = Outcome(self._open_loop())
        self._open_writer().put(Call(function, outcome.set))
        return await outcome.future

    async def _read(self, function: Callable[[], T]) -> T:
        """Run *function* where reads are run."""
        reader = self._reader
        if reader is None:
            return await self._call(function)
        outcome: Outcome[T] = Outcome(self._open_loop())
        reader.run(function, outcome.set)
        return await outcome.future


def _enter(backend: Backend, before: Sequence[Thread]) -> None:
    """Open *backend* once those before have let go of it. In the writer."""
    for thread in before:
        thread.join()
    backend.open()


def _ignore(result: object, error: BaseException | None) -> None:
    pass


def _lease(claimed: Claimed) -> Lease:
    run_id, key, fence, next_seq, durability = claimed
    return Lease(run_id, key, fence, next_seq, Durability(durability))


def _parse_page(page: str | None) -> int | None:
    if page is None:
        return None
    try:
        return int(page)
    except ValueError:
        raise ValueError(f"page={page!r}: give the `next` of the RunPage before, or None") from None


def _chunks(run_ids: Sequence[str]) -> Iterable[Sequence[str]]:
    unique = tuple(dict.fromkeys(run_ids))
    return (unique[at : at + READ_CHUNK] for at in range(0, len(unique), READ_CHUNK))
