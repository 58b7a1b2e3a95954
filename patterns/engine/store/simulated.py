"""A store for simulated runs: no thread, virtual time, faults as the run's plan says.

    def scenario(sim):
        store = simulated_store(sim)
        ...

Its disk survives a stop of the machine (`StopMachine`, `TornWrite`, `PowerCut`): at the next boot
`simulated_store` finds what had been committed. Operations are named after the methods of Store;
`submit` counts as `append`, `submit_run` as `create_run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from agenticaiframework.actors.simulation import (
    FailStore,
    FillDisk,
    PowerCut,
    Simulation,
    SlowStore,
    TornWrite,
)

from .contract import Acknowledge, Lease
from .errors import StoreError, StoreFull, StoreUnavailable
from .grouped.encoding import ValueLimits
from .grouped.jobs import Job, Write
from .grouped.outcome import settle
from .grouped.store import GroupedStore
from .memory import MemoryBackend, MemoryDisk
from .records import (
    Inbox,
    JournalEntry,
    NewRun,
    Owner,
    Progress,
    Record,
    Retention,
    RunFilter,
    RunPage,
    RunRow,
    RunUpdate,
    Signal,
    StoreStats,
)
from .simulated_queues import SimulatedQueues
from .simulated_schedules import SimulatedSchedules
from .simulated_sessions import SimulatedSessions

__all__ = ["SimulatedStore", "simulated_store"]

T = TypeVar("T")

EPOCH_S = 1_700_000_000.0
"""When simulated time begins, for the dates in the store."""
WRITES = frozenset(
    [
        *("register", "renew", "retire", "create_run", "append", "claim", "claim_abandoned"),
        *("release", "take", "serve", "request_cancel", "put_signal", "purge", "forget"),
        *("append_turn", "forget_sessions", "purge_sessions"),
        *("put_schedule", "drop_schedule"),
    ]
)


def simulated_store(
    sim: Simulation, name: str = "store", *, limits: ValueLimits | None = None
) -> SimulatedStore:
    """Return a store of this boot over the disk called *name*."""
    return SimulatedStore(sim, name, limits)


class _Backend(MemoryBackend):
    """A disk that takes nothing more once its machine has stopped."""

    def __init__(self, sim: Simulation, name: str, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock, disk=sim.disk.setdefault(name, MemoryDisk()))
        self.label = f"simulated://{name}"
        self._sim = sim
        self._boot = (sim.boot, sim.steps_before)
        self.stopped = False
        self.refusals: dict[tuple[str, int], StoreError] = {}
        """Appends that fail when their turn comes, by run and first sequence number: so what is
        queued behind them fails too, as it does in the other stores."""

    def commit(self, jobs: list[Job]) -> None:
        # The rest of a boot is cancelled after its machine has stopped, and may want to write.
        if self.stopped or (self._sim.boot, self._sim.steps_before) != self._boot:
            raise StoreUnavailable(self.label, "committing", "the machine has stopped")
        super().commit(jobs)

    def _write(self, job: Write) -> None:
        refusal = self.refusals.pop((job.lease.run_id, job.first_seq), None)
        if refusal is not None:
            raise refusal
        super()._write(job)


class _Armed:
    """A fault of the plan and how often its operation has come."""

    __slots__ = ("count", "fault", "index")

    def __init__(self, index: int, fault: Any) -> None:
        self.index = index
        self.fault = fault
        self.count = 0

    def due(self, operation: str) -> bool:
        fault = self.fault
        if fault.operation not in ("*", operation):
            return False
        if isinstance(fault, FillDisk | TornWrite | PowerCut) and operation not in WRITES:
            return False
        self.count += 1
        due: bool = fault.at_operation <= self.count < fault.at_operation + fault.times
        return due


class SimulatedStore(SimulatedQueues, SimulatedSessions, SimulatedSchedules):
    """A Store in memory with the store faults of a simulation's plan. Owned by its loop."""

    def __init__(self, sim: Simulation, name: str, limits: ValueLimits | None) -> None:
        self._sim = sim
        self._name = name

        def clock() -> float:
            return EPOCH_S + sim.time()

        self._backend = _Backend(sim, name, clock)
        self._inner = GroupedStore(self._backend, clock=clock, limits=limits, inline=True)
        self._sessions = self._schedules = self._inner
        # How often an operation came is counted over all boots.
        self._armed: list[_Armed] = sim.data.setdefault(
            (SimulatedStore, name),
            [
                _Armed(index, fault)
                for index, fault in enumerate(sim.plan.faults)
                if isinstance(fault, FailStore | SlowStore | FillDisk | TornWrite | PowerCut)
            ],
        )

    # Faults

    def _count(self, operation: str) -> Any:
        """Count an operation; return the fault that hits it, noted as landed, or None."""
        sim = self._sim
        sim.store_operations += 1
        sim.touch(("store", self._name))
        hit: _Armed | None = None
        for armed in self._armed:
            if armed.due(operation) and hit is None:
                hit = armed
        if hit is None:
            return None
        fault = hit.fault
        if isinstance(fault, TornWrite | PowerCut):
            # A transaction that is not whole on disk does not count: the next boot finds nothing of it.
            self._backend.stopped = True
            sim.injector.stop_machine(hit.index, fault)
        else:
            sim.injector.land(hit.index, fault, f"store {self._name}, {operation}")
        return fault

    def _refusal(self, fault: Any, operation: str) -> StoreError | None:
        if isinstance(fault, FailStore):
            return StoreUnavailable(self.url, operation, fault.error)
        if isinstance(fault, FillDisk):
            return StoreFull(self.url, operation, "no space left on device")
        return None

    async def _operate(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        fault = self._count(operation)
        refusal = self._refusal(fault, operation)
        if refusal is not None:
            raise refusal
        if isinstance(fault, TornWrite | PowerCut):
            await asyncio.get_running_loop().create_future()
        result = await call()
        if isinstance(fault, SlowStore):
            # Done, but not acknowledged yet: the longer this lasts, the more can go wrong.
            await asyncio.sleep(fault.delay_s)
        return result

    def _acknowledge(
        self, operation: str, run_id: str, first_seq: int, done: Acknowledge
    ) -> Acknowledge | None:
        """Count a write; return what shall be told of it, or None if it must not happen."""
        fault = self._count(operation)
        if fault is None:
            return done
        loop = self._sim.loop
        refusal = self._refusal(fault, operation)
        if refusal is not None:
            refusals = self._backend.refusals
            refusals[run_id, first_seq] = refusal

            def refused(error: StoreError | None) -> None:
                refusals.pop((run_id, first_seq), None)
                done(error)

            return refused
        if isinstance(fault, SlowStore):
            delay_s = fault.delay_s

            def later(error: StoreError | None) -> None:
                loop.call_later(delay_s, done, error)

            return later
        return None

    # The store

    @property
    def url(self) -> str:
        """Where it is."""
        return self._inner.url

    async def open(self) -> None:
        """Make it ready."""
        await self._operate("open", self._inner.open)

    async def close(self) -> None:
        """Write what is queued and let go."""
        await self._inner.close()

    async def register(self, engine_id: str, lease_s: float, replace: bool = False) -> Owner:
        """Return a new owner."""
        return await self._operate(
            "register", lambda: self._inner.register(engine_id, lease_s, replace)
        )

    async def renew(self, owner: Owner) -> bool:
        """Extend the lease; False when it had ended meanwhile."""
        return await self._operate("renew", lambda: self._inner.renew(owner))

    async def retire(self, owner: Owner) -> None:
        """End the owner's lease at once."""
        await self._operate("retire", lambda: self._inner.retire(owner))

    def create_run(
        self, owner: Owner, run: NewRun, records: Sequence[Record] = ()
    ) -> Awaitable[Lease]:
        """Store a run and its first records, durably."""
        written: asyncio.Future[None] = self._sim.loop.create_future()
        lease = self.submit_run(owner, run, partial(settle, written, None), records)

        async def created() -> Lease:
            await written
            return lease

        return created()

    def submit_run(
        self, owner: Owner, run: NewRun, done: Acknowledge, records: Sequence[Record] = ()
    ) -> Lease:
        """Store a run and its first records, and call *done*."""
        told = self._acknowledge("create_run", run.run_id, 1, done)
        if told is None:
            return Lease(run.run_id, 0, 0, 1, run.durability)
        return self._inner.submit_run(owner, run, told, records)

    def append(
        self,
        lease: Lease,
        records: Sequence[Record],
        update: RunUpdate | None = None,
        consumes: Iterable[int] = (),
    ) -> Awaitable[int]:
        """Write *records* in order, atomically with *update*; return the last number."""
        future: asyncio.Future[int] = self._sim.loop.create_future()
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
        told = self._acknowledge("append", lease.run_id, lease.next_seq, done)
        if told is not None:
            self._inner.submit(lease, records, told, update, consumes)

    def stored_form(self, value: Any, what: Callable[[], str]) -> Any:
        """Return *value* as it is read back once it is stored."""
        return self._inner.stored_form(value, what)

    async def flush(self) -> None:
        """Return when what was handed over until now has been written, or refused."""
        await self._operate("flush", self._inner.flush)

    async def claim(self, owner: Owner, run_id: str) -> Lease:
        """Take a run that no living engine holds."""
        return await self._operate("claim", lambda: self._inner.claim(owner, run_id))

    async def claim_abandoned(self, owner: Owner, limit: int = 1000) -> list[Lease]:
        """Take unfinished runs whose owners are gone."""
        return await self._operate(
            "claim_abandoned", lambda: self._inner.claim_abandoned(owner, limit)
        )

    async def release(self, lease: Lease) -> None:
        """Give the run up."""
        await self._operate("release", lambda: self._inner.release(lease))

    async def load_run(self, run_id: str) -> RunRow:
        """Return the run's row."""
        return await self._operate("load_run", lambda: self._inner.load_run(run_id))

    async def load_runs(self, run_ids: Iterable[str]) -> dict[str, RunRow]:
        """Return the rows of those runs that exist, by id."""
        return await self._operate("load_runs", lambda: self._inner.load_runs(run_ids))

    async def load_definitions(self, definition_hashes: Iterable[str]) -> dict[str, str]:
        """Return the JSON of those definitions that exist, by hash."""
        hashes = tuple(definition_hashes)
        return await self._operate("load_definitions", lambda: self._inner.load_definitions(hashes))

    async def load_definition(self, definition_hash: str) -> str:
        """Return the definition's JSON."""
        return await self._operate(
            "load_definition", lambda: self._inner.load_definition(definition_hash)
        )

    async def read_journal(
        self, run_id: str, after: int = 0, limit: int | None = None
    ) -> list[JournalEntry]:
        """Return the entries numbered above *after*, in order."""
        return await self._operate(
            "read_journal", lambda: self._inner.read_journal(run_id, after, limit)
        )

    async def read_journals(self, run_ids: Iterable[str]) -> dict[str, list[JournalEntry]]:
        """Return whole journals by run id."""
        return await self._operate("read_journals", lambda: self._inner.read_journals(run_ids))

    async def list_runs(
        self, where: RunFilter | None = None, page: str | None = None, limit: int = 100
    ) -> RunPage:
        """Return runs, newest first."""
        return await self._operate("list_runs", lambda: self._inner.list_runs(where, page, limit))

    async def progress(self, run_ids: Iterable[str]) -> dict[str, Progress]:
        """Return how far those of the runs that exist have got, by id."""
        return await self._operate("progress", lambda: self._inner.progress(run_ids))

    async def request_cancel(
        self, run_id: str, reason: str, options: Mapping[str, Any] | None = None
    ) -> bool:
        """Note durably that the run shall be cancelled."""
        return await self._operate(
            "request_cancel", lambda: self._inner.request_cancel(run_id, reason, options)
        )

    async def put_signal(
        self, run_id: str, name: str, payload: Any = None, late: bool = False
    ) -> int:
        """Keep a signal for the run, durably; return its number."""
        return await self._operate(
            "put_signal", lambda: self._inner.put_signal(run_id, name, payload, late)
        )

    async def pending_signals(self, run_id: str, after: int = 0) -> list[Signal]:
        """Return the run's signals above *after* that no record has consumed, oldest first."""
        return await self._operate(
            "pending_signals", lambda: self._inner.pending_signals(run_id, after)
        )

    async def pending_signals_of(self, run_ids: Iterable[str]) -> dict[str, list[Signal]]:
        """Return the pending signals of several runs."""
        return await self._operate(
            "pending_signals", lambda: self._inner.pending_signals_of(run_ids)
        )

    def listen(self, heard: Callable[[str], None]) -> None:
        """Do nothing: what happens elsewhere is seen by asking."""

    async def poll(self, owner: Owner, after: int = 0) -> Inbox:
        """Return what was said since cursor *after* to runs that *owner* holds."""
        return await self._operate("poll", lambda: self._inner.poll(owner, after))

    async def purge(self, retention: Retention, at_most: int | None = None) -> int:
        """Forget finished runs by policy; return how many."""
        return await self._operate("purge", lambda: self._inner.purge(retention, at_most))

    async def forget(self, run_ids: Iterable[str]) -> int:
        """Forget those of the runs that have finished, with their parts; return how many."""
        return await self._operate("forget", lambda: self._inner.forget(run_ids))

    def stats(self) -> StoreStats:
        """Return the counters since the store was made."""
        return self._inner.stats()
