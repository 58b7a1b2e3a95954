"""The one writer of a store: jobs queued while a commit runs go into the next one.

Threads hand over the interpreter lock slowly (up to 5 ms while the other side computes), so the
writer asks for it as rarely as it can: once to pack a batch, once to report it; the transaction
itself runs without it, beside the event loop, on another core.

Committing half of what waits, instead of all, keeps that overlap: with everything in one batch
the loop would have nothing to do during the commit, and the disk nothing during the loop's turn.
It pays only while a commit takes less time than the loop needs for its share (`_share`).
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..errors import StoreError, StoreUnavailable
from .jobs import COLUMNS, Job, Write, fail
from .outcome import call_on

__all__ = ["Commit", "Deliver", "GroupWriter", "InlineWriter", "ThreadWriter", "carry_out", "take"]

MAX_ROWS = 256
"""Rows in one commit: enough to bury an fsync, few enough to keep the wait of the first small."""
MAX_BYTES = 8 * 1024 * 1024
LOOP_S_PER_JOB = 20e-6
"""About what the event loop spends on a workflow's step between two appends."""
SPLIT_FROM = 48
"""Fewer jobs than this are never split: reporting a batch costs the loop as much as two steps."""

Commit = Callable[[list[Job]], None]
"""Carries jobs out and sets their `error` and `result`; raises a StoreError to fail all."""
Deliver = Callable[[list[Job]], None]
"""Called on the loop with jobs that are done."""


class GroupWriter(Protocol):
    """Takes jobs from the loop and commits them in order, in groups."""

    def start(self, opened: Callable[[BaseException | None], None]) -> None:
        """Open the backend, and say on the loop how that went."""
        ...

    def put(self, job: Job) -> None:
        """Queue a job. On the loop only."""
        ...

    def put_first(self, job: Job) -> None:
        """Queue a job before all others: one that depends on none of them, and must not wait."""
        ...

    async def stop(self) -> None:
        """Commit the queue, close the backend, end."""
        ...

    def abandon(self) -> threading.Thread | None:
        """Let it do the same without waiting; return the thread that then ends."""
        ...


def _share(waiting: int, commit_s: float) -> int:
    """Return how many of *waiting* jobs the next commit takes.

    >>> _share(100, 0.000_3), _share(1000, 0.000_3), _share(100, 0.005), _share(20, 0.000_3)
    (50, 500, 100, 20)
    """
    if waiting <= SPLIT_FROM or waiting * LOOP_S_PER_JOB < 2 * commit_s:
        return waiting
    return max((waiting + 1) // 2, SPLIT_FROM // 2)


def take(pending: deque[Job], limit: int, *, alike: bool = False) -> list[Job]:
    """Take the jobs of the next batch from *pending*.

    *alike*: either appends alone, or what begins with a call.
    """
    batch: list[Job] = []
    cells = size = 0
    while pending and len(batch) < limit:
        job = pending[0]
        if alike and batch and isinstance(batch[0], Write) and not isinstance(job, Write):
            break
        if isinstance(job, Write):
            cells += len(job.rows)
            size += job.size
            if batch and (cells > MAX_ROWS * COLUMNS or size > MAX_BYTES):
                break
        batch.append(pending.popleft())
    return batch


def carry_out(commit: Commit, batch: list[Job], label: str) -> None:
    """Run *commit*; whatever it raises becomes the error of every job that has none."""
    try:
        commit(batch)
    except StoreError as error:
        _fail(batch, error)
    except Exception as error:
        wrapped = StoreUnavailable(label, "committing", repr(error))
        wrapped.__cause__ = error
        _fail(batch, wrapped)


def _fail(batch: list[Job], error: StoreError) -> None:
    for job in batch:
        fail(job, job.error if isinstance(job.error, StoreError) else error)


class _Shared:
    """What the thread and the loop share; it holds no store, so that a store can be collected."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        label: str,
        open_: Callable[[], None],
        commit: Commit,
        close: Callable[[], None],
        deliver: weakref.WeakMethod[Deliver],
    ) -> None:
        self.loop = loop
        self.label = label
        self.open = open_
        self.commit = commit
        self.close = close
        self.deliver = deliver
        # Appended to by the loop, taken from by the thread.
        self.pending: deque[Job] = deque()
        # The bell is released at most once until the thread has heard it: `armed` is set by the
        # loop before it rings and cleared by the thread before it looks.
        self.bell = threading.Lock()
        self.bell.acquire()
        self.armed = False
        self.stopping = False
        self.stopped: Callable[[], None] | None = None

    def stop(self) -> None:
        """End the thread once it has committed the queue. From any thread, any number of times."""
        self.stopping = True
        try:
            self.bell.release()
        except RuntimeError:
            pass  # It has been rung and not yet heard.

    def report(self, batch: list[Job]) -> None:
        """Hand jobs that are done back to the loop. In the thread."""
        deliver = self.deliver()
        if deliver is not None:
            call_on(self.loop, deliver, batch)


def _run(shared: _Shared, opened: Callable[[BaseException | None], None]) -> None:
    """Be the writer thread."""
    try:
        shared.open()
    except BaseException as error:
        call_on(shared.loop, opened, error)
        return
    call_on(shared.loop, opened, None)
    del opened  # It refers to the store.
    commit_s = 0.0
    clock = shared.loop.time
    pending = shared.pending
    while True:
        shared.bell.acquire()
        shared.armed = False
        while pending:
            batch = take(pending, _share(len(pending), commit_s))
            begun = clock()
            carry_out(shared.commit, batch, shared.label)
            # The quickest commit of late: what the disk takes, without waiting for the lock.
            took = clock() - begun
            commit_s = min(took, commit_s * 1.05) if commit_s else took
            shared.report(batch)
            del batch
        if shared.stopping:
            break
    try:
        shared.close()
    finally:
        if shared.stopped is not None:
            call_on(shared.loop, shared.stopped)


class ThreadWriter:
    """A writer in a daemon thread of its own. Owned by the loop that made it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        label: str,
        open_: Callable[[], None],
        commit: Commit,
        close: Callable[[], None],
        deliver: Deliver,
    ) -> None:
        self._shared = _Shared(loop, label, open_, commit, close, weakref.WeakMethod(deliver))
        self._thread: threading.Thread | None = None
        self._finalizer = weakref.finalize(self, self._shared.stop)

    def start(self, opened: Callable[[BaseException | None], None]) -> None:
        """Start the thread."""
        self._thread = threading.Thread(
            target=_run,
            args=(self._shared, opened),
            name=f"store-{self._shared.label}",
            daemon=True,
        )
        self._thread.start()

    def put(self, job: Job) -> None:
        """Queue a job."""
        self._shared.pending.append(job)
        self._ring()

    def put_first(self, job: Job) -> None:
        """Queue a job before all others."""
        self._shared.pending.appendleft(job)
        self._ring()

    def _ring(self) -> None:
        shared = self._shared
        if not shared.armed:
            shared.armed = True
            shared.bell.release()

    async def stop(self) -> None:
        """Wait until the thread has ended; the loop keeps running meanwhile."""
        thread = self._thread
        if self._finalizer.detach() is None or thread is None:
            return
        ended = asyncio.Event()
        self._shared.stopped = ended.set
        self._shared.stop()
        if thread.is_alive():
            await ended.wait()
        thread.join()

    def abandon(self) -> threading.Thread | None:
        """Let the thread end; it takes as long as the commits that are under way."""
        self._finalizer.detach()
        self._shared.stop()
        return self._thread


class InlineWriter:
    """A writer without a thread: each turn of the loop commits what the last one queued.

    For simulation, where a thread would make the order depend on the machine, and for memory.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        label: str,
        open_: Callable[[], None],
        commit: Commit,
        close: Callable[[], None],
        deliver: Deliver,
    ) -> None:
        self._loop = loop
        self._label = label
        self._open = open_
        self._commit = commit
        self._close = close
        self._deliver = deliver
        self._pending: deque[Job] = deque()
        self._wake_planned = False
        self._stopped = False

    def start(self, opened: Callable[[BaseException | None], None]) -> None:
        """Open the backend at once."""
        try:
            self._open()
        except Exception as error:
            opened(error)
        else:
            opened(None)

    def put(self, job: Job) -> None:
        """Queue a job for the loop's next turn."""
        self._pending.append(job)
        self._plan()

    def put_first(self, job: Job) -> None:
        """Queue a job before all others."""
        self._pending.appendleft(job)
        self._plan()

    def _plan(self) -> None:
        if not self._wake_planned:
            self._wake_planned = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._wake_planned = False
        while self._pending:
            batch = take(self._pending, len(self._pending))
            carry_out(self._commit, batch, self._label)
            self._deliver(batch)

    async def stop(self) -> None:
        """Commit the queue and close the backend."""
        self.abandon()

    def abandon(self) -> threading.Thread | None:
        """Do the same."""
        if not self._stopped:
            self._stopped = True
            self._turn()
            self._close()
        return None
