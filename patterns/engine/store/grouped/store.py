"""The store itself: leases, encoding and acknowledgements over any backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import Any, Final, TypeVar

from pydantic_core import to_json

from agenticaiframework.actors import Log

from ..contract import Acknowledge, Lease
from ..errors import StoreClosed, StoreError, StoreUnavailable, UnknownRun
from ..queues import QueueLimits
from ..records import (
    Durability,
    Inbox,
    NewRun,
    Owner,
    Record,
    Retention,
    RunUpdate,
    Signal,
    StoreStats,
)
from .backend import Backend, Claimed, Clock
from .encoding import ValueLimits, encode_payload
from .forms import Known
from .jobs import Call, Job, Write
from .keys import new_key
from .lane_writer import LaneWriter
from .outcome import Outcome, own, settle
from .queries import RunQueries, chunks
from .reader import ReaderThread
from .rows import check_text, may_be_kept, rows_of_append, rows_of_run
from .schedules import ScheduleQueries
from .sessions import SessionQueries
from .stored_form import stored_form
from .writer import GroupWriter, InlineWriter, ThreadWriter

__all__ = ["GroupedStore"]

T = TypeVar("T")

_NONE: Final = Durability.NONE

PURGE_CHUNK = 200
"""Runs forgotten in one transaction, so that purging delays appends by milliseconds only."""


class GroupedStore(RunQueries, SessionQueries, ScheduleQueries):
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
        self._limits = limits or ValueLimits()
        RunQueries.__init__(self, backend)
        SessionQueries.__init__(self, backend.sessions, self._limits)
        ScheduleQueries.__init__(self, backend.schedules, self._limits)
        self._clock = clock
        self._inline = inline
        self._log = Log(store=self.url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: GroupWriter | None = None
        self._reader: ReaderThread | None = None
        self._renewer: ReaderThread | None = None
        """Renews leases, where that is done apart."""
        self._listeners: list[Callable[[str], None]] = []
        self._changing = asyncio.Lock()
        self._leaving: tuple[Thread, ...] = ()
        """Threads that were left behind, and may not have closed the backend yet."""
        # The moment of each owner's latest run, in microseconds: the first part of its key.
        self._last_run: dict[int, int] = {}
        self._known: Known | None = None
        """The last long form, until something is written: most are written at once."""
        self._batches = 0
        self._appends = 0
        self._records = 0
        self._largest_batch = 0
        self._failed_appends = 0

    def __repr__(self) -> str:
        return f"<{self._backend.label}{'' if self._writer else ', closed'}>"

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
            writer = self._new_writer(loop)
            opened: Outcome[None] = Outcome(loop)
            try:
                writer.start(lambda error: opened.set(None, error))
                await opened.future
            except BaseException:
                self._leave(writer)
                raise
            self._writer = writer
            self._leaving = ()
            if backend.reads_apart and not self._inline:
                self._reader = ReaderThread(loop, backend.label, backend.close_reader)
            if backend.upkeep_apart:
                self._renewer = ReaderThread(
                    loop, backend.label, backend.close_lease, role="store-lease"
                )

    def _new_writer(self, loop: asyncio.AbstractEventLoop) -> GroupWriter:
        backend = self._backend
        parts = (
            *(loop, backend.label, partial(_enter, backend, self._leaving)),
            *(backend.commit, backend.close, self._deliver),
        )
        if self._inline:
            return InlineWriter(*parts)
        lane = backend.lane
        return ThreadWriter(*parts) if lane is None else LaneWriter(*parts, lane=lane)

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to *loop*, if the one before has ended (without closing the store, perhaps)."""
        if self._writer is not None:
            if self._loop is not None and not self._loop.is_closed():
                raise StoreUnavailable(self.url, "opening", "it is open on another event loop")
            self._leave(self._writer, self._reader, self._renewer)
            self._writer = self._reader = self._renewer = None
            self._last_run.clear()
        self._hear_no_more()
        self._loop = loop
        self._changing = asyncio.Lock()

    def _leave(self, writer: GroupWriter, *readers: ReaderThread | None) -> None:
        """Let the threads end; the next opening waits until they have closed the backend."""
        threads = (writer.abandon(), *(reader.abandon() for reader in readers if reader))
        self._leaving += tuple(thread for thread in threads if thread is not None)

    async def close(self) -> None:
        """Write the queue, then let go of threads, files and connections."""
        # In a task of its own: a cancelled caller must not leave it half closed.
        await asyncio.shield(asyncio.ensure_future(self._shut()))

    async def _shut(self) -> None:
        async with self._changing:
            writer, reader, renewer = self._writer, self._reader, self._renewer
            if writer is None:
                return
            self._hear_no_more()
            for number in self._last_run:
                # Whether it works or not, nothing more is written for these owners.
                writer.put(Call(partial(self._backend.retire, number), _ignore))
            self._backend.hurry()
            # From here on new calls are rejected; queued ones are drained.
            self._writer = self._reader = self._renewer = None
            self._last_run.clear()
            try:
                for thread in (renewer, reader):
                    if thread is not None:
                        await thread.stop()
                await writer.stop()
            except BaseException:
                self._leave(writer, reader, renewer)
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
        """Extend the lease; False when it had ended meanwhile.

        Before everything that waits to be written, and beside it where the medium can.
        """
        outcome: Outcome[bool] = Outcome(self._open_loop())
        renewal = partial(self._backend.renew, owner.number, owner.engine_id, owner.lease_s)
        if self._renewer is not None:
            self._renewer.run(renewal, outcome.set)
        else:
            self._open_writer().put_first(Call(renewal, outcome.set))
        return await outcome.future

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
        created_at = self._clock() if run.created_at is None else run.created_at
        # Lists by time look for keys, so a key says when its run was created.
        moment = max(round(created_at * 1e6), earlier + 1)
        key = new_key(moment, owner.number)
        at = moment if run.at is None else round(run.at * 1e6)
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
        at = int(self._clock() * 1e6) if lease.at is None else round(lease.at * 1e6)
        known, self._known = self._known, None
        rows, size = rows_of_append(lease, records, update, consumes, at, self._limits, known)
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

    def stored_form(self, value: Any, what: Callable[[], str]) -> Any:
        """Return *value* as it is read back once it is stored."""
        form, known = stored_form(value, what, self._limits)
        if known is not None:
            self._known = known
        return form

    async def flush(self) -> None:
        """Return when what was handed over until now has been written, or refused."""
        await self._call(lambda: None)

    # Claims

    async def claim(self, owner: Owner, run_id: str) -> Lease:
        """Take a run that no living engine holds."""
        self._check_id(run_id)
        return _lease(await self._call(lambda: self._backend.claim(owner.number, run_id)))

    async def claim_abandoned(self, owner: Owner, limit: int = 1000) -> list[Lease]:
        """Take unfinished runs whose owners are gone."""
        claimed = await self._upkeep(lambda: self._backend.claim_abandoned(owner.number, limit))
        return [_lease(each) for each in claimed]

    async def take(
        self, owner: Owner, limits: QueueLimits, room: int, run_id: str | None = None
    ) -> list[Lease]:
        """Take up to *room* runs of a queue, as its limits allow."""
        taken = await self._upkeep(lambda: self._backend.take(owner.number, limits, room, run_id))
        return [_lease(each) for each in taken]

    async def serve(self, owner: Owner, queues: Iterable[str]) -> None:
        """Have it known which queues the owner takes runs of."""
        names = sorted(set(queues))
        await self._call(lambda: self._backend.serve(owner.number, names))

    async def release(self, lease: Lease) -> None:
        """Give the run up."""
        await self._call(lambda: self._backend.release(lease.key, lease.fence))

    # From outside

    async def request_cancel(
        self, run_id: str, reason: str, options: Mapping[str, Any] | None = None
    ) -> bool:
        """Note durably that the run shall be cancelled."""
        self._check_id(run_id)
        check_text("the reason", reason, allow_empty=True, longest=None)
        how = to_json(dict(options)).decode() if options else None
        return await self._call(lambda: self._backend.request_cancel(run_id, reason, how))

    async def put_signal(
        self, run_id: str, name: str, payload: Any = None, late: bool = False
    ) -> int:
        """Keep a signal for the run, durably; return its number."""
        self._check_id(run_id)
        check_text("the signal's name", name)
        data = encode_payload(run_id, name, payload, self._limits)
        return await self._call(lambda: self._backend.put_signal(run_id, name, data, late))

    async def pending_signals(self, run_id: str, after: int = 0) -> list[Signal]:
        """Return the run's signals above *after* that no record has consumed, oldest first."""
        return await self._read(lambda: self._runs.signals(run_id, after))

    async def pending_signals_of(self, run_ids: Iterable[str]) -> dict[str, list[Signal]]:
        """Return the pending signals of several runs, by the id of those that have any."""
        found: dict[str, list[Signal]] = {}
        for some in chunks(tuple(run_ids)):
            found |= await self._read(partial(self._runs.signals_of, some))
        return found

    def listen(self, heard: Callable[[str], None]) -> None:
        """Have *heard* called with the id of each run that something happened to elsewhere."""
        loop = self._open_loop()
        reader, ears = self._reader, self._backend.ears
        if reader is None or ears is None or heard in self._listeners:
            return
        self._listeners.append(heard)
        if len(self._listeners) == 1:
            ears.open(loop, reader.run, self._heard)

    def _heard(self, run_ids: list[str]) -> None:
        for heard in tuple(self._listeners):
            for run_id in run_ids:
                try:
                    heard(run_id)
                except Exception as error:
                    self._log.error("{}: a listener failed", self.url, error=error)

    def _hear_no_more(self) -> None:
        self._listeners.clear()
        ears = self._backend.ears
        if ears is not None:
            ears.close()

    async def poll(self, owner: Owner, after: int = 0) -> Inbox:
        """Return what was said since cursor *after* to runs that *owner* holds."""
        notices, cursor = await self._read(lambda: self._backend.notices(owner.number, after))
        return Inbox(tuple(notices), cursor)

    # Keeping house

    async def purge(self, retention: Retention, at_most: int | None = None) -> int:
        """Forget finished runs by policy; return how many."""
        purged = 0
        now = int(self._clock() * 1e6)
        if retention.max_age_s is not None:
            # Since the epoch nothing can be older than now.
            retention = replace(retention, max_age_s=min(retention.max_age_s, now / 1e6))
        while True:
            keys = await self._read(lambda: self._backend.purgeable(retention, now, PURGE_CHUNK))
            some = await self._upkeep(partial(self._backend.purge_runs, keys)) if keys else 0
            purged += some
            if not some or (at_most is not None and purged >= at_most):
                return purged

    async def forget(self, run_ids: Iterable[str]) -> int:
        """Forget those of the runs that have finished, with their parts; return how many."""
        forgotten = 0
        ids = tuple(dict.fromkeys(run_ids))
        for at in range(0, len(ids), PURGE_CHUNK):
            keys = await self._read(partial(self._keys, ids[at : at + PURGE_CHUNK]))
            forgotten += await self._upkeep(partial(self._backend.purge_runs, keys)) if keys else 0
        return forgotten

    def _keys(self, run_ids: Sequence[str]) -> list[int]:
        possible = [run_id for run_id in run_ids if may_be_kept(run_id)]
        return [raw[0] for raw in self._backend.runs(possible)]

    def _check_id(self, run_id: str) -> None:
        """Raise UnknownRun for what no run can be called: a server's refusal would count as an outage."""
        if not may_be_kept(run_id):
            raise UnknownRun(run_id, self.url)

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

    async def _upkeep(self, function: Callable[[], T]) -> T:
        """Run *function* beside the writer if it brings its own transaction, else in the writer."""
        apart = self._backend.upkeep_apart
        return await (self._read(function) if apart else self._call(function))

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
    try:
        return Lease(run_id, key, fence, next_seq, Durability(durability))
    except ValueError:  # its row is damaged, which is for the run to say
        return Lease(run_id, key, fence, next_seq, Durability.FULL)
