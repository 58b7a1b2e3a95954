"""What a medium has to offer; everything else about a store is the same for all of them.

A backend knows nothing of event loops. Its writing half is called by one writer (a thread, or the
loop itself under simulation), its reading half by one reader; where `reads_apart` is false, the
writer calls both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..records import Notice, Retention, RunFilter
from .jobs import Job

__all__ = ["Backend", "Claimed", "Clock", "JournalRow", "Json", "RawRun", "RawSignal", "RunKey"]

RunKey = int
Claimed = tuple[str, int, int, int, str]
"""Run id, key, fencing token, next sequence number, durability."""
Json = bytes | str
JournalRow = tuple[int, int, int, Json]
"""Last sequence number, fencing token, microseconds since the epoch, body."""
RawSignal = tuple[int, str, Json, int]
"""Number, name, payload, microseconds since the epoch."""
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
]


class Backend(Protocol):
    """One medium. Raises StoreErrors only, apart from defects."""

    label: str
    """Its name in errors and threads, without secrets."""
    reads_apart: bool
    """Whether reads may run beside a commit, in another thread."""

    def open(self) -> None:
        """Connect, create or migrate the schema."""
        ...

    def close(self) -> None:
        """Let go of everything the writer uses. Idempotent."""
        ...

    def close_reader(self) -> None:
        """Let go of what the reader uses; called where it was used. Idempotent."""
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

    def request_cancel(self, run_id: str, reason: str) -> bool: ...

    def put_signal(self, run_id: str, name: str, payload: bytes) -> int: ...

    def purge_runs(self, keys: Sequence[RunKey]) -> int:
        """Forget those of the runs that are (still) finished; return how many."""
        ...

    # Reads.

    def runs(self, run_ids: Sequence[str]) -> list[RawRun]: ...

    def list_runs(self, where: RunFilter, before: RunKey | None, limit: int) -> list[RawRun]:
        """Return rows by key, the largest (the newest run) first, all below *before*."""
        ...

    def journal(self, key: RunKey, after: int, limit: int | None) -> list[JournalRow]:
        """Return the rows whose last record is above *after*, at most *limit*, in order."""
        ...

    def journals(self, keys: Sequence[RunKey]) -> dict[RunKey, list[JournalRow]]: ...

    def blobs(self, key: RunKey, digests: Sequence[str]) -> dict[str, Json]: ...

    def definition(self, definition_hash: str) -> Json | None: ...

    def signals(self, key: RunKey) -> list[RawSignal]: ...

    def notices(self, owner: int, after: int) -> tuple[list[Notice], int]: ...

    def purgeable(self, retention: Retention, now: int, limit: int) -> list[RunKey]: ...


Clock = Callable[[], float]
"""Seconds since the epoch."""
