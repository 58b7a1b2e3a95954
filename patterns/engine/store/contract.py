"""The contract of a store: where workflows keep what must outlive a crash.

A run is a row, an append-only journal numbered from 1 without gaps, and the signals sent to it.
It belongs to one owner (an engine incarnation) at a time. Every claim raises the run's fencing
token, and an append carries the token it was claimed with: an engine that was paused, lost its
lease and woke up again is refused (`FencedOut`). Leases belong to owners,
not to runs, so that holding 100,000 parked runs costs one renewal, not 100,000.

Acknowledgement: `append` returns (and `submit` calls back) only when the records are as durable as
the run declared. An append that failed has not happened as far as the caller may assume: the
store takes the same sequence numbers again, and everything of that run that was queued behind
it fails too, so the journal cannot get a gap.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from .errors import StoreError
from .queues import QueueLimits
from .reading import RunReader
from .records import (
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

__all__ = ["Acknowledge", "Lease", "Store"]

Acknowledge = Callable[[StoreError | None], None]
"""Called once on the loop: None when the append is durable, else the StoreError."""


class Lease:
    """The right to write to one run, as handed out by `create_run` and `claim`.

    Owned by the loop that the store was opened on. Its fields are for reading, but for `at`.
    """

    __slots__ = (
        "at",
        "durability",
        "failed_generation",
        "failure",
        "fence",
        "generation",
        "key",
        "lost",
        "next_seq",
        "run_id",
    )

    def __init__(
        self, run_id: str, key: int, fence: int, next_seq: int, durability: Durability
    ) -> None:
        self.run_id = run_id
        self.key = key
        """The store's own number for the run."""
        self.fence = fence
        self.next_seq = next_seq
        """The sequence number that the next record gets."""
        self.durability = durability
        self.at: float | None = None
        """When what is appended next happened, in seconds since the epoch; None: now, by the store's
        clock. Set by the run's owner, so that its journal tells the times that it has acted by."""
        self.generation = 0
        """Raised by every failed append, on the loop."""
        self.failed_generation = -1
        """Set by the writer: appends queued with this generation must fail too."""
        self.failure: StoreError | None = None
        """Set by the writer: why they must."""
        self.lost: StoreError | None = None
        """Why an append of durability `none` was lost after its acknowledgement."""

    def __repr__(self) -> str:
        return f"Lease({self.run_id!r}, fence={self.fence}, next_seq={self.next_seq})"


class Store(RunReader, Protocol):
    """Keeps runs. All methods are called on the event loop that called `open`.

    Every method raises a StoreError: `StoreClosed` when it is not open, `StoreUnavailable` or
    `StoreFull` when the medium fails, `StoreCorrupt` when what it reads cannot be true.
    Cancelling an await does not undo what was handed over; it may still be written.
    """

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    async def open(self) -> None:
        """Make it ready; creates or migrates the schema. Again: harmless.

        Raises StoreVersionTooNew for a store that a newer version has written.
        """
        ...

    async def close(self) -> None:
        """Write what is queued, retire the owners registered here, let go of files, threads and
        connections. Idempotent."""
        ...

    # Owners

    async def register(self, engine_id: str, lease_s: float, replace: bool = False) -> Owner:
        """Return a new owner whose lease ends *lease_s* from now unless renewed.

        *replace* declares earlier owners with the same engine id dead: for ids that are given to
        one process at a time, so that its successor need not wait for the lease to end.
        """
        ...

    async def renew(self, owner: Owner) -> bool:
        """Extend the lease; False when it had ended meanwhile, so that runs may have been taken:
        those whose rows have a larger fencing token than their lease.
        """
        ...

    async def retire(self, owner: Owner) -> None:
        """End the owner's lease at once: any engine can claim its unfinished runs."""
        ...

    # Runs

    def create_run(
        self, owner: Owner, run: NewRun, records: Sequence[Record] = ()
    ) -> Awaitable[Lease]:
        """Store a run and its first records, durably; await the right to write to it.

        Raises RunExists for an id that is taken.
        """
        ...

    def append(
        self,
        lease: Lease,
        records: Sequence[Record],
        update: RunUpdate | None = None,
        consumes: Iterable[int] = (),
    ) -> Awaitable[int]:
        """Write *records* in order, atomically with *update*; await the last sequence number.

        *consumes* are numbers of signals that these records have used up: of the run's own, or of a
        run around it.
        Raises FencedOut when the run has another owner by now, ValueTooLarge and
        ValueNotStorable (before anything is queued) for data that cannot be kept.
        """
        ...

    def submit(
        self,
        lease: Lease,
        records: Sequence[Record],
        done: Acknowledge,
        update: RunUpdate | None = None,
        consumes: Iterable[int] = (),
    ) -> None:
        """Do what `append` does, and call `done(None)` or `done(error)` on the loop.

        The cheap form: no future and no task is made. Data that cannot be kept raises here.
        With durability `none`, `done` is called before this returns.
        """
        ...

    def submit_run(
        self, owner: Owner, run: NewRun, done: Acknowledge, records: Sequence[Record] = ()
    ) -> Lease:
        """Do what `create_run` does, and call `done`; the lease is valid once it was `done(None)`."""
        ...

    def stored_form(self, value: Any, what: Callable[[], str]) -> Any:
        """Return *value* as it is read back once it is stored; mappings and lists are made anew.

        Needs no connection. Raises ValueNotStorable and ValueTooLarge for what could not be: *what*
        says what it is, and is called only then.
        """
        ...

    async def flush(self) -> None:
        """Return when what was handed over until now has been written, or refused."""
        ...

    async def claim(self, owner: Owner, run_id: str) -> Lease:
        """Take a run that no living engine holds (or that *owner* holds), finished or not.

        Raises RunHeld, UnknownRun.
        """
        ...

    async def claim_abandoned(self, owner: Owner, limit: int = 1000) -> list[Lease]:
        """Take up to *limit* unfinished runs whose owners are dead, retired or past their lease.

        Those in the state ``blocked`` are left out: an engine that can go on with one claims it. So are
        those of queues: `take` takes them.
        """
        ...

    async def take(
        self, owner: Owner, limits: QueueLimits, room: int, run_id: str | None = None
    ) -> list[Lease]:
        """Take up to *room* runs of a queue, as its limits allow.

        First those that dead engines had, which keep their places until then; then those that wait: the
        largest priority first, of one priority the oldest. Exact whatever else is taken meanwhile, by the
        limits of the call. With *run_id* that run alone, which may be blocked.
        """
        ...

    async def serve(self, owner: Owner, queues: Iterable[str]) -> None:
        """Have it known, as long as the owner lives, which queues it takes runs of."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the run up: any engine may claim it. Harmless when it was taken already."""
        ...

    # From outside

    async def request_cancel(
        self, run_id: str, reason: str, options: Mapping[str, Any] | None = None
    ) -> bool:
        """Note durably that the run shall be cancelled; False when it has finished.

        *options* say how (anything with a JSON form). The first reason and its options stay, until
        the run has ended and is reopened. Needs no lease: any process may ask. Raises UnknownRun.
        """
        ...

    async def put_signal(
        self, run_id: str, name: str, payload: Any = None, late: bool = False
    ) -> int:
        """Keep a signal for the run, durably; return its number.

        *late*: also for a run that has failed, which takes it once it is reopened. Raises UnknownRun,
        RunOver for a run that has ended, and TooManyPending when as many wait in
        it as may.
        """
        ...

    async def pending_signals(self, run_id: str, after: int = 0) -> list[Signal]:
        """Return the run's signals that no record has consumed, oldest first.

        Only those numbered above *after*: numbers become visible in their order, so there will never
        be another one below the largest that was returned.
        """
        ...

    async def pending_signals_of(self, run_ids: Iterable[str]) -> dict[str, list[Signal]]:
        """Return the pending signals of several runs, by the id of those that have any (recovery reads
        thousands)."""
        ...

    async def poll(self, owner: Owner, after: int = 0) -> Inbox:
        """Return what was said since cursor *after* to runs that *owner* holds.

        Cheap when nothing happened; meant to be called several times a second.
        """
        ...

    # Keeping house

    async def purge(self, retention: Retention, at_most: int | None = None) -> int:
        """Forget finished runs by policy; return how many.

        Parts go with the run that they are a part of, and count with it. *at_most* ends it early, once
        that many have gone: what is left goes the next time.
        """
        ...

    async def forget(self, run_ids: Iterable[str]) -> int:
        """Forget those of the runs that have finished, with their parts; return how many.

        A part is never forgotten before the run that it is a part of, and neither is a run whose
        parts have not finished.
        """
        ...

    def stats(self) -> StoreStats:
        """Return the counters since the store was made."""
        ...
