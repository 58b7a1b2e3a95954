"""Threads for handlers that block: a bounded pool of a system, or one thread for one actor.

A thread whose handler waits for an answer of the system does not count against the bound, or it would
keep what it waits for from running: others are started beside it, up to another bound, and end when
they are not needed any more.

A thread takes up a `Job`, and what it makes of it is posted back to the loop. One that is stuck is
fenced off (what it sends or answers is dropped and counted), leaves the pool, and ends by itself when
its handler returns. Another takes its place as long as there are fewer threads than the other bound,
those that are stuck included. Threads are daemons, because a stuck handler must not keep the interpreter from
ending.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from threading import get_ident
from typing import Any, Final, NamedTuple

from ..errors import PoolExhausted
from ..kernel.circle import is_held_up
from ..kernel.job import Job, is_awaited_in_thread
from ..kernel.lifecycle import job_finished

IDLE_S = 10.0
"""How long an idle thread of a pool is kept."""

LOOK_EVERY_S: Final = 1.0
"""How often a pool with jobs that no thread takes is looked at."""

NAMED: Final = 8
"""Handlers that a record or an error names."""


class Worker(threading.Thread):
    """One thread of a pool. It ends when the pool says so, or when it was retired while stuck."""

    def __init__(self, pool: ThreadPool, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._pool = pool
        self._idle_name = name
        self.retired = False
        self.waiting = 0
        """How many answers of the system its handler waits for. Owned by the lock of the pool."""
        self.job: Job | None = None
        """What it does. Owned by the lock of the pool."""

    stays_behind = True
    """Whether a handler that was abandoned goes on in it."""

    def leave_behind(self, job: Job) -> bool:
        """Fence this thread off if it is at *job* still; return whether a handler goes on in it."""
        return self._pool.fence_off(self, job) and self.stays_behind

    def waits(self, job: Job, change: int, /) -> None:
        """Its handler waits for one answer of the system more (1), or less (-1)."""
        self._pool.waits(self, job, change)

    def retire(self) -> None:
        """End after the handler that runs; called by the pool, which gives the place to another."""
        self.retired = True

    def run(self) -> None:
        try:
            self.work()
        finally:
            self._pool.leave(self)

    def work(self) -> None:
        """Do jobs until it is to end."""
        pool = self._pool
        while (job := pool.next_job(self)) is not None:
            self.name = f"{self._idle_name}: {job.label}"
            job.run()
            self.name = self._idle_name
            pool.let_go(self, job)
            job.home.post(job_finished, job)
            del job
            if self.retired:
                return


class PoolLoad(NamedTuple):
    """How busy a pool is: its threads, what they do, and the jobs that wait for one."""

    busy: int = 0
    """At a handler that does not wait for an answer of the system."""
    waiting: int = 0
    """At a handler that does."""
    idle: int = 0
    stuck: int = 0
    """Left behind with a handler that did not end in time."""
    queued: int = 0
    most: int = 0
    """How many threads there may be."""


class ThreadPool:
    """Threads that run jobs in the order of their submission: at most *size* that do not wait for answers.

    Beside those that do there are others, *most* in all: at most as many again as *size* for any job,
    and the rest for jobs that a thread waits for. With *starved_s*, a pool whose jobs no thread has
    taken for so long is reported. Safe from any thread.
    """

    settle_s = 0.1

    def __init__(
        self, name: str, size: int, most: int | None = None, starved_s: float | None = None
    ) -> None:
        self.name = name
        self.size = size
        self.most = size if most is None else max(size, most)
        self._starved_s = starved_s
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._workers: set[Worker] = set()
        self._stuck: set[Worker] = set()
        self._threads: set[Worker] = set()
        """All that have not ended: those that are about to as well."""
        self._idle = 0
        self._made = 0
        self._taken = 0
        self._looked: tuple[int, float] | None = None
        """How many jobs had been taken when it was looked at first since then, and when that was."""
        self._look_at: Any = None
        """The timer of the next look, while jobs wait. Owned by the loop's thread."""
        self._reported = False
        self._stopped = False

    def submit(self, job: Job, /) -> None:
        """Have *job* run by the next free thread; on the loop's thread.

        Raises RuntimeError if there is no thread and none can be started.
        """
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
                return
            try:
                self._find_thread()
            except RuntimeError:
                if not self._workers:
                    self._jobs.remove(job)
                    raise
            waits = bool(self._jobs) and self._idle < len(self._jobs)
        if waits and self._look_at is None and self._starved_s is not None:
            self._look_at = job.home.loop.call_later(LOOK_EVERY_S, self._look, job.home)

    @property
    def thread_count(self) -> int:
        """How many threads there are, without those that are stuck."""
        return len(self._workers)

    @property
    def ended(self) -> bool:
        """Whether there is no thread any more, not even one that is stuck."""
        return not self._threads

    @property
    def load(self) -> PoolLoad:
        """How busy it is now."""
        with self._changed:
            threads, idle = len(self._workers), self._idle
            waiting = sum(1 for worker in self._workers if worker.waiting)
            busy = max(0, threads - idle - waiting)
            return PoolLoad(busy, waiting, idle, len(self._stuck), len(self._jobs), self.most)

    def _busy(self) -> int:
        """Return how many threads do not wait for an answer of the system."""
        return sum(1 for worker in self._workers if not worker.waiting)

    def _find_thread(self) -> None:
        """Start another thread for the jobs that wait, if that is right; fail what can get none."""
        workers, room = len(self._workers), self._has_room()
        if workers < self.size:
            if room:
                self._start_worker()
        elif self._busy() >= self.size:
            return
        elif room and workers < 2 * self.size:
            self._start_worker()
        elif any(is_awaited_in_thread(job) for job in self._jobs):
            if room:
                self._start_worker()
            elif not self._busy():
                self._fail_held_up()

    def _has_room(self) -> bool:
        """Tell whether another thread may be started: a stuck one counts until its handler returns.

        Not in the pool of one actor, whose next incarnation would never begin.
        """
        if self.most == self.size == 1:
            return True
        return len(self._workers) + len(self._stuck) < self.most

    def _fail_held_up(self) -> None:
        """Fail the asks of the job that came last, if all threads wait in the end for jobs without one."""
        queued = {job.cell for job in self._jobs}
        jobs = [job for worker in self._workers if (job := worker.job) is not None]
        if not all(is_held_up(job.cell, queued) for job in jobs):
            return  # one will get on
        for job in reversed(self._jobs):
            if is_awaited_in_thread(job):
                error = PoolExhausted(self.name, self.most, [one.label for one in jobs], job.label)
                job.home.host.log.bind(actor=job.label).error("{}", error)
                job.home.post(job.fail_asks, error)
                return

    def waits(self, worker: Worker, job: Job, change: int) -> None:
        """The handler of *job* in *worker* waits for one answer of the system more (1), or less (-1)."""
        with self._changed:
            if job.over or worker.job is not job:
                return
            worker.waiting += change
            if change > 0 and self._jobs and self._idle < len(self._jobs):
                with suppress(RuntimeError):
                    self._find_thread()

    def _look(self, home: Any) -> None:
        """Report jobs that no thread has taken for long; on the loop's thread."""
        with self._changed:
            if not self._jobs or self._stopped or self._starved_s is None:
                self._look_at = self._looked = None
                self._reported = False
                return
            now = home.loop.time()
            if self._looked is None or self._looked[0] != self._taken:
                self._looked = self._taken, now
                self._reported = False
            stood_s = now - self._looked[1]
            if not self._busy() and self._has_room():
                # What they wait for may be among the jobs, in a way that cannot be seen.
                with suppress(RuntimeError):
                    self._start_worker()
            report = stood_s >= self._starved_s and not self._reported
            self._reported = self._reported or report
            threads = (*self._workers, *self._stuck)
            labels = [worker.job.label for worker in threads if worker.job is not None]
            waiting = len(self._jobs)
        self._look_at = home.loop.call_later(LOOK_EVERY_S, self._look, home)
        if report:
            home.host.log.warning(
                "All {} threads of {} have been busy for {:g} s, and {} handlers wait for one. "
                "Busy: {}. Raise ActorSystem(threads=...), give what blocks for long "
                'dispatcher = "pinned", or make it async.',
                len(labels), self.name, stood_s, waiting, _some(labels),
            )  # fmt: skip

    def withdraw(self, job: Job, /) -> bool:
        """Take *job* back if no thread has taken it; return whether that was so."""
        with self._changed:
            try:
                self._jobs.remove(job)
            except ValueError:
                return False
            return True

    def _make_worker(self, name: str) -> Worker:
        return Worker(self, name)

    def _start_worker(self) -> None:
        self._made += 1
        worker = self._make_worker(f"{self.name}-{self._made}" if self.size > 1 else self.name)
        worker.start()  # raises where the operating system gives no more threads
        self._workers.add(worker)
        self._threads.add(worker)

    def next_job(self, worker: Worker) -> Job | None:
        """Return the job that *worker* is to do next, waiting for it; None: it is to end."""
        with self._changed:
            worker.job = None
            while not self._jobs:
                if self._stopped or worker.retired:
                    self._workers.discard(worker)
                    return None
                self._idle += 1
                woken = self._changed.wait(IDLE_S if self.size > 1 else None)
                self._idle -= 1
                if not woken and not self._jobs:
                    self._workers.discard(worker)
                    return None
            if self._busy() > self.size:
                self._workers.discard(worker)
                self._changed.notify()  # it may have been woken for a job
                return None  # it has stood in for one that waited
            job = self._next()
            job.thread, worker.job = worker, job
            self._taken += 1
            return job

    def _next(self) -> Job:
        """Take the job that is to be done next: one that a thread waits for, if most of them wait."""
        if len(self._workers) > self.size:
            for place, job in enumerate(self._jobs):
                if is_awaited_in_thread(job):
                    del self._jobs[place]
                    return job
        return self._jobs.popleft()

    def let_go(self, worker: Worker, job: Job) -> None:
        """The handlers of *job* have returned."""
        with self._changed:
            job.over = True
            worker.waiting = 0
            if worker.retired:
                # Before the thread ends: the next one may be given its number.
                job.home.fenced_threads.discard(get_ident())
                self._stuck.discard(worker)
                if self._jobs and not self._stopped:
                    with suppress(RuntimeError):
                        self._find_thread()

    def leave(self, worker: Worker) -> None:
        """The thread of *worker* has done all that it had to do."""
        with self._changed:
            self._threads.discard(worker)

    def fence_off(self, worker: Worker, job: Job) -> bool:
        """Fence *worker* off, unless it is done with *job* and may be at another's by now."""
        with self._changed:
            if job.over:
                return False
            worker.retire()
            if worker.ident is not None:
                job.home.fenced_threads.add(worker.ident)
            self._workers.discard(worker)
            self._stuck.add(worker)
            if self._jobs:
                with suppress(RuntimeError):
                    self._find_thread()
            return True

    def close(self) -> None:
        """Let the threads end as soon as they are free."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def stop(self, wait_s: float, /) -> list[str]:
        """End the threads; return the names of those that are stuck after *wait_s* seconds.

        Blocks; a thread between two jobs ends at once.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            workers = [(each, 0.0 if each in self._stuck else wait_s) for each in self._threads]
        me = threading.current_thread()
        stuck: list[str] = []
        for worker, its_s in workers:
            if worker is me:
                continue
            worker.join(its_s)
            if worker.is_alive():
                stuck.append(worker.name)
        return stuck


def _some(labels: list[str]) -> str:
    return ", ".join(labels[:NAMED]) + (
        f", and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    )
