"""What a medium has to offer; everything else about a store is the same for all of them.

A backend knows nothing of event loops. Its writing half is called by one writer (a thread, or the
loop itself under simulation), its reading half by one reader; where `reads_apart` is false, the
writer calls both.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..queues import QueueDepth, QueueLimits, QueuePlace
from ..records import Notice, Retention, RunFilter
from ..schedules import ScheduleRow
from ..sessions import NewTurn, Revision, SessionRow, StoredSession
from .jobs import Job
from .lane_writer import Lane

__all__ = [
    "Backend",
    "Claimed",
    "Clock",
    "Ears",
    "InThread",
    "JournalRow",
    "Json",
    "QueueBackend",
    "RawProgress",
    "RawRun",
    "RawSignal",
    "RunKey",
    "ScheduleBackend",
    "SessionBackend",
]

RunKey = int
Claimed = tuple[str, int, int, int, str]
"""Run id, key, fencing token, next sequence number, durability."""
Json = bytes | str
JournalRow = tuple[int, int, int, Json]
"""Last sequence number, fencing token, microseconds since the epoch, body."""
RawSignal = tuple[int, str, Json, int]
"""Number, name, payload, microseconds since the epoch."""
RawProgress = tuple[str, int, str, bool, int]
"""Run id, last sequence number, state, whether it has finished, fencing token."""
RawRun = tuple[
    int,  # key
    str,  # run id
    str,  # name
    str,  # definition hash
    Json | None,  # input
    str | None,  # the input's blob
    str,  # state
    str,  # durability
    int,  # created, and all times: microseconds since the epoch
    int,  # updated
    int | None,  # finished
    int | None,  # wake at
    str | None,  # error
    str | None,  # cancel reason
    int | None,  # cancel requested
    str | None,  # parent
    str | None,  # labels as JSON
    str | None,  # the owner's engine id
    int,  # fence
    str | None,  # context as JSON
    str | None,  # the root's id
    str | None,  # how it is to be cancelled, as JSON
    int | None,  # the owner's last sign of life
    str | None,  # queue
    str | None,  # key in it
    int | None,  # priority in it
]


InThread = Callable[[Callable[[], Any], Callable[[Any, BaseException | None], None]], None]
"""Runs a function in a thread, then another on the loop with what came of it."""


class Ears(Protocol):
    """Hears from other processes which runs something happened to. On the loop."""

    def open(
        self,
        loop: AbstractEventLoop,
        in_thread: InThread,
        heard: Callable[[list[str]], None],
    ) -> None:
        """Listen until `close`; *heard* is called on the loop with run ids."""
        ...

    def close(self) -> None:
        """Listen no more. Idempotent."""
        ...


class SessionBackend(Protocol):
    """The sessions of one medium. Times are microseconds since the epoch."""

    # Calls: inside `commit`.

    def append_turn(
        self, agent: str, session: str, turn: NewTurn, after: Revision | None
    ) -> Revision: ...

    def forget(self, agent: str, sessions: Sequence[str] | None) -> int: ...

    def purge(self, unused_since: int | None, agent: str | None, limit: int) -> int: ...

    # Reads.

    def load(self, agent: str, session: str, key: str | None) -> StoredSession | None: ...

    def rows(
        self, agent: str | None, session: str | None, limit: int, before: int | None
    ) -> list[SessionRow]: ...


class ScheduleBackend(Protocol):
    """The schedules of one medium. Times are microseconds since the epoch."""

    # Calls: inside `commit`.

    def put(self, name: str, body: bytes, due_at: int | None, after: int | None) -> int: ...

    def drop(self, name: str) -> bool: ...

    # Reads.

    def load(self, names: Sequence[str] | None, due_by: int | None) -> list[ScheduleRow]: ...


class QueueBackend(Protocol):
    """The queues of one medium."""

    # Calls: inside `commit`, but for `take` where upkeep is apart.

    def take(
        self, owner: int, limits: QueueLimits, room: int, run_id: str | None
    ) -> list[Claimed]: ...

    def serve(self, owner: int, queues: Sequence[str]) -> None: ...

    # Reads.

    def queue_depths(self) -> list[QueueDepth]: ...

    def queue_place(self, run_id: str, rate_s: float) -> QueuePlace | None: ...


class Backend(QueueBackend, Protocol):
    """One medium. Raises StoreErrors only, apart from defects."""

    label: str
    """Its name in errors and threads, without secrets."""
    reads_apart: bool
    """Whether reads may run beside a commit, in another thread."""
    upkeep_apart: bool
    """Whether `renew` has a thread of its own, and `claim_abandoned`, `take` and `purge_runs` run where
    reads run, each with its own transaction; else they are calls inside `commit`."""

    @property
    def sessions(self) -> SessionBackend:
        """The conversations that it keeps."""
        ...

    @property
    def schedules(self) -> ScheduleBackend:
        """The schedules that it keeps."""
        ...

    @property
    def lane(self) -> Lane | None:
        """The way of appends that needs no thread, if there is one."""
        ...

    @property
    def ears(self) -> Ears | None:
        """What hears of other processes' signals and cancellations, if anything does."""
        ...

    def open(self) -> None:
        """Connect, create or migrate the schema."""
        ...

    def hurry(self) -> None:
        """Do not wait long for anything from now on: the store is being closed. On any thread."""
        ...

    def close(self) -> None:
        """Let go of everything the writer uses. Idempotent."""
        ...

    def close_reader(self) -> None:
        """Let go of what the reader uses; called where it was used. Idempotent."""
        ...

    def close_lease(self) -> None:
        """Let go of what `renew` uses apart; called where it was used. Idempotent."""
        ...

    def commit(self, jobs: list[Job]) -> None:
        """Carry out *jobs* in one transaction and make it as durable as the strictest asks.

        Sets the `error` of a job that is refused alone, the `result` of a call, and a failed
        lease's `failed_generation`. Raises when the transaction failed as a whole.
        """
        ...

    # Calls: inside `commit`.

    def register(self, engine_id: str, lease_s: float, replace: bool) -> int: ...

    def renew(self, owner: int, engine_id: str, lease_s: float) -> bool: ...

    def retire(self, owner: int) -> None: ...

    def claim(self, owner: int, run_id: str) -> Claimed: ...

    def claim_abandoned(self, owner: int, limit: int) -> list[Claimed]: ...

    def release(self, key: RunKey, fence: int) -> None: ...

    def request_cancel(self, run_id: str, reason: str, options: str | None) -> bool: ...

    def put_signal(self, run_id: str, name: str, payload: bytes, late: bool) -> int: ...

    def purge_runs(self, keys: Sequence[RunKey]) -> int:
        """Forget those of the runs that are (still) finished, with their parts; return how many.

        Left alone are parts whose parent is there, unless that goes too, and runs with a part that has
        not finished.
        """
        ...

    # Reads.

    def runs(self, run_ids: Sequence[str]) -> list[RawRun]: ...

    def progress(self, run_ids: Sequence[str]) -> list[RawProgress]: ...

    def list_runs(self, where: RunFilter, before: RunKey | None, limit: int) -> list[RawRun]:
        """Return rows by key, the largest (the newest run) first, all below *before*."""
        ...

    def journal(self, key: RunKey, after: int, limit: int | None) -> list[JournalRow]:
        """Return the rows whose last record is above *after*, at most *limit*, in order."""
        ...

    def journals(self, keys: Sequence[RunKey]) -> dict[RunKey, list[JournalRow]]: ...

    def blobs(self, key: RunKey, digests: Sequence[str]) -> dict[str, Json]: ...

    def definition(self, definition_hash: str) -> Json | None: ...

    def signals(self, key: RunKey, after: int) -> list[RawSignal]: ...

    def signals_of(self, run_ids: Sequence[str]) -> list[tuple[str, RawSignal]]: ...

    def notices(self, owner: int, after: int) -> tuple[list[Notice], int]: ...

    def purgeable(self, retention: Retention, now: int, limit: int) -> list[RunKey]:
        """Return finished runs that the policy gives up and `purge_runs` forgets; at most *limit*."""
        ...


Clock = Callable[[], float]
"""Seconds since the epoch."""
