"""Threads for handlers that block: a bounded pool of a system, or one thread for one actor.

A thread takes up a `Job`, and what it makes of it is posted back to the loop. One that is stuck is
fenced off (what it sends or answers is dropped and counted), leaves the pool, and ends by itself when
its handler returns. Threads are daemons, because a stuck handler must not keep the interpreter from
ending.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from threading import get_ident

from ..kernel.job import Job
from ..kernel.lifecycle import job_finished

IDLE_S = 10.0
"""How long an idle thread of a pool is kept."""


class Worker(threading.Thread):
    """One thread of a pool. It ends when the pool says so, or when it was retired while stuck."""

    def __init__(self, pool: ThreadPool, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._pool = pool
        self._idle_name = name
        self.retired = False

    stays_behind = True
    """Whether a handler that was abandoned goes on in it."""

    def leave_behind(self, job: Job) -> bool:
        """Fence this thread off if it is at *job* still; return whether a handler goes on in it."""
        return self._pool.fence_off(self, job) and self.stays_behind

    def retire(self) -> None:
        """End after the handler that runs; called by the pool, which gives the place to another."""
        self.retired = True

    def run(self) -> None:
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


class ThreadPool:
    """At most *size* threads that run jobs in the order of their submission. Safe from any thread."""

    settle_s = 0.1

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._workers: set[Worker] = set()
        self._stuck: set[Worker] = set()
        self._idle = 0
        self._made = 0
        self._stopped = False

    def submit(self, job: Job, /) -> None:
        """Have *job* run by the next free thread.

        Raises RuntimeError if there is no thread and none can be started.
        """
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif len(self._workers) < self.size:
                try:
                    self._start_worker()
                except RuntimeError:
                    if not self._workers:
                        self._jobs.remove(job)
                        raise

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

    def next_job(self, worker: Worker) -> Job | None:
        """Return the job that *worker* is to do next, waiting for it; None: it is to end."""
        with self._changed:
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
            job = self._jobs.popleft()
            job.thread = worker
            return job

    def let_go(self, worker: Worker, job: Job) -> None:
        """The handlers of *job* have returned."""
        with self._changed:
            job.over = True
            if worker.retired:
                # Before the thread ends: the next one may be given its number.
                job.home.fenced_threads.discard(get_ident())

    def fence_off(self, worker: Worker, job: Job) -> bool:
        """Fence *worker* off, unless it is done with *job* and may be at another's by now."""
        with self._changed:
            if job.over:
                return False
            worker.retire()
            if worker.ident is not None:
                job.home.fenced_threads.add(worker.ident)
            self._workers.discard(worker)
            self._stuck = {w for w in self._stuck if w.is_alive()}
            self._stuck.add(worker)
            if self._jobs and len(self._workers) < self.size:
                with suppress(RuntimeError):
                    self._start_worker()
            return True

    def close(self) -> bool:
        """Let the threads end as soon as they are free; return False if one is stuck."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            return not any(worker.is_alive() for worker in self._stuck)

    def stop(self, wait_s: float, /) -> list[str]:
        """End the threads; return the names of those that are stuck after *wait_s* seconds.

        Blocks; a thread between two jobs ends at once.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            workers = [*self._workers, *self._stuck]
        me = threading.current_thread()
        stuck: list[str] = []
        for worker in workers:
            if worker is me:
                continue
            worker.join(0 if worker.retired else wait_s)
            if worker.is_alive():
                stuck.append(worker.name)
        return stuck
