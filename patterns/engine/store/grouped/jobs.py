"""What waits for a commit: appends as flat rows, and calls.

Every backend takes appends as rows of the same seven columns, `(op, run, fence, at, seq, body,
extra)`, so that a whole batch is one statement and no Python runs between its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..contract import Acknowledge, Lease
from ..errors import FencedOut, StoreError, StoreUnavailable
from ..records import Durability

__all__ = ["COLUMNS", "Call", "Job", "Op", "Write", "fail", "follows_failure", "forgive", "pack"]

COLUMNS = 7
FULL = Durability.FULL


class Op:
    """What a row does. *run* is the store's number of the run, *seq* the row's last record.

    Plain integers, no enum: SQLite's module looks for an adapter for every other type.
    """

    CREATE: Final = 1
    """A new run, `extra`: JSON of its fields, `body`: its input."""
    APPEND: Final = 2
    """One row of the journal, in `body`."""
    APPEND_UPDATE: Final = 3
    """The same with a RunUpdate as JSON in `extra`; without a body only the update."""
    BLOB: Final = 4
    """A spilled value in `body`, its digest in `extra`."""
    CONSUME: Final = 5
    """The signal numbered `extra` is used up by record `seq`."""
    DEFINE: Final = 6
    """A definition in `body`, its hash in `extra`; kept when it is there already."""


class Write:
    """Rows of one run that are written together or not at all.

    Made on the loop; the writer sets `error`; the loop then calls `done`, unless the append was
    acknowledged when it was handed over.
    """

    __slots__ = (
        "done",
        "error",
        "first_seq",
        "full",
        "generation",
        "lease",
        "rows",
        "size",
        "store",
    )

    def __init__(
        self,
        lease: Lease,
        rows: list[Any],
        first_seq: int,
        size: int,
        done: Acknowledge | None,
        store: object = None,
    ) -> None:
        self.lease = lease
        self.rows = rows
        self.first_seq = first_seq
        self.size = size
        self.done = done
        # Kept alive until this is reported, even if nothing else refers to it.
        self.store = store
        self.generation = lease.generation
        self.full = lease.durability is FULL
        self.error: StoreError | None = None


class Call:
    """A function to run in the writer, inside a transaction."""

    __slots__ = ("done", "error", "function", "result")

    def __init__(
        self, function: Callable[[], Any], done: Callable[[Any, BaseException | None], None]
    ) -> None:
        self.function = function
        self.done = done
        self.result: Any = None
        self.error: StoreError | None = None


Job = Write | Call


def follows_failure(job: Write, label: str) -> bool:
    """Fail *job* if an append before it has failed, and say so.

    Without this, an append that was queued before its predecessor failed would leave a gap.
    """
    if job.lease.failed_generation != job.generation:
        return False
    lease = job.lease
    if isinstance(lease.failure, FencedOut):
        job.error = FencedOut(lease.run_id, lease.fence)
    else:
        doing = f"appending to run {lease.run_id!r}"
        job.error = StoreUnavailable(label, doing, "the append before this one failed")
        job.error.__cause__ = lease.failure
    return True


def fail(job: Job, error: StoreError) -> None:
    """Set the job's error; what was queued behind an append of the same run will fail too."""
    job.error = error
    if isinstance(job, Write):
        job.lease.failed_generation = job.generation
        job.lease.failure = error


def forgive(job: Job) -> None:
    """Undo `fail`, before the job is tried again."""
    job.error = None
    if isinstance(job, Write) and job.lease.failed_generation == job.generation:
        job.lease.failed_generation = -1


def pack(jobs: list[Job], label: str) -> tuple[list[Any], list[Job], bool, bool]:
    """Return the rows of all appends, the jobs to carry out, and whether there are calls among
    them, and any that must be on disk.

    A definition that several new runs bring is in the rows once.
    """
    rows: list[Any] = []
    full = calls = False
    behind: list[Job] = []
    defined: set[str] = set()
    for job in jobs:
        if isinstance(job, Write):
            if job.lease.failed_generation == job.generation:
                follows_failure(job, label)
                behind.append(job)
                continue
            some = job.rows
            if some[0] == Op.DEFINE:
                definition_hash: str = some[COLUMNS - 1]
                if definition_hash in defined:
                    some = some[COLUMNS:]
                else:
                    defined.add(definition_hash)
            rows += some
            if job.full:
                full = True
        else:
            calls = full = True
    if behind:
        jobs = [job for job in jobs if job not in behind]
    return rows, jobs, calls, full
