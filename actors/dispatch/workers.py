"""Threads for handlers that block: a bounded pool of a system, or one thread for one actor.

The loop hands a worker a `Job`: some messages of one actor, or one hook. The worker runs the handler
on each and posts the outcome back; the mailbox and everything else stays with the loop. A thread
cannot be killed: one that is stuck is fenced off (what it sends or answers is dropped and counted),
leaves the pool, and ends by itself when its handler returns. Threads are daemons, because a stuck
handler must not keep the interpreter from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import get_ident
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from pykka.messages import _ActorStop

from ..kernel import lifecycle, running
from ..kernel.phase import DOOMED, UNWINDING

if TYPE_CHECKING:
    from ..actor import Actor
    from ..kernel.scheduler import Scheduler

JOB_MESSAGES = 16
"""Messages handed over at once: a hand-over costs as much as forty messages."""

IDLE_S = 10.0
"""How long an idle thread of a pool is kept."""


class JobRunner(Protocol):
    """Where jobs run: a pool of threads, or of processes."""

    def submit(self, job: Job, /) -> None: ...

    settle_s: float
    """How long its threads may take to end at least, when the system stops."""

    def stop(self, wait_s: float, /) -> list[str]: ...


class CallElsewhere(Protocol):
    """Handles one message of a job: ``(job, handle it here, the message, its request)``."""

    def __call__(
        self, job: Job, local: Callable[[], Any], message: Any, request: Any, /
    ) -> Any: ...


class Job:
    """Work of one actor that leaves the loop.

    A worker takes up each message, and is done with it, in one step with the look whether the job was
    abandoned (`_turn`). So the loop, which abandons it, knows which message was in hand: that one is
    lost, those before it are answered, and those after it are given back.
    """

    __slots__ = (
        "_turn",
        "abandoned",
        "actor",
        "call",
        "error",
        "hook",
        "item",
        "items",
        "over",
        "scheduler",
        "thread",
        "value",
    )

    def __init__(
        self,
        actor: Actor,
        scheduler: Scheduler,
        items: deque[Any],
        hook: tuple[Callable[..., Any], tuple[Any, ...]] | None = None,
    ) -> None:
        self.actor = actor
        self.scheduler = scheduler
        self.items: deque[Any] = items
        self.hook = hook
        self.item: Any = None
        """The message in hand."""
        self.value: Any = None
        self.error: BaseException | None = None
        self.abandoned = False
        self.call: CallElsewhere | None = None
        """Has a message handled somewhere else than in the worker itself."""
        self.over = False
        """Whether its worker has let go of it. Owned by the lock of the pool."""
        self.thread: Worker | None = None
        self._turn = threading.Lock()

    def withdraw(self) -> bool:
        """Take back a job that no worker has begun; return False if one has."""
        ext = self.actor._ext
        withdraw = getattr(None if ext is None else ext.pool, "withdraw", None)
        if withdraw is None or not withdraw(self):
            return False
        self.abandoned = True
        self.recall()
        return True

    def fence(self, item: Any = None) -> bool:
        """Let the worker take up no further message, and drop the outcome of the one in hand.

        With *item*, only if that is in hand; return whether it was done.
        """
        with self._turn:
            if item is not None and self.item is not item:
                return False
            self.abandoned = True
            return True

    def abandon(self) -> bool:
        """Fence the worker off, and tell whether it is left behind; called on the loop's thread."""
        if self.withdraw():
            return False
        self.fence()
        thread = self.thread
        stays = thread is None or thread.leave_behind(self)
        self.recall()
        return stays

    def recall(self) -> None:
        """Put what was handed over and not begun back into the mailbox; on the loop's thread."""
        items: list[Any] = []
        try:
            while True:
                items.append(self.items.popleft())
        except IndexError:
            if items:
                self.actor._mailbox.extendleft(reversed(items))

    def run(self) -> None:
        """Do the work; on the worker's thread."""
        before = running.enter(self.actor._ref)
        try:
            self._work()
        finally:
            running.enter(before)

    def _work(self) -> None:
        actor = self.actor
        context = actor._context
        if context is None:
            context = actor._context = self.scheduler.context.copy()
        if self.hook is not None:
            hook, args = self.hook
            try:
                self.value = context.run(_complete, self.scheduler.loop, hook, *args)
            except BaseException as error:
                self.error = error
            return
        from ..kernel.scheduler import ASKED, KINDS

        leaving = DOOMED | UNWINDING
        while True:
            with self._turn:
                if self._left_behind() or actor._phase & leaving or not self.items:
                    return
                item = message = self.items.popleft()
                request = None
                receive: Callable[[Any], Any] = actor._behavior or actor.on_receive
                kind = KINDS.get(item.__class__)
                if kind is not None:
                    if kind == ASKED:
                        request = item
                        message = item.message
                        kind = KINDS.get(message.__class__)
                    if kind is not None:
                        if isinstance(message, _ActorStop):
                            # Stopping is the loop's business: hand everything back to it.
                            self.items.appendleft(item)
                            return
                        receive = actor._receive_special
                self.item = actor._message = item
                if request is not None:
                    actor._current = request
            actor._ref._since = self.scheduler.loop.time()
            observer = self.scheduler.observer
            if observer is not None:
                receive = observer.on_deliver(actor, message, request, receive)
            try:
                if self.call is None:
                    result = context.run(_complete, self.scheduler.loop, receive, message)
                else:
                    local = partial(context.run, _complete, self.scheduler.loop, receive, message)
                    result = self.call(self, local, message, request)
            except BaseException as error:
                self.error = error
                return
            with self._turn:
                if self._left_behind():
                    self.scheduler.late_replies += 1
                    return
                self.item = None
                if actor._current is not request:
                    request = None  # deferred, or stashed
                actor._current = None
            actor._handled += 1
            if request is not None:
                request.reply(result)

    def _left_behind(self) -> bool:
        return self.abandoned

    def finished(self) -> None:
        """Take the actor back; on the loop's thread."""
        if self.abandoned:
            return
        actor = self.actor
        ext = actor._ext
        if ext is None or ext.job is not self:
            return
        ext.job = None
        if self.items:
            actor._mailbox.extendleft(reversed(self.items))
        if self.hook is None and self.error is None and not actor._phase & UNWINDING:
            lifecycle.settle_offloaded(self.scheduler, actor)
        else:
            lifecycle.job_done(self.scheduler, actor, self.value, self.error)


def _complete(home: asyncio.AbstractEventLoop, handler: Callable[..., Any], *args: Any) -> Any:
    """Return the result of *handler*; a coroutine is run to its end on a loop of this thread."""
    result = handler(*args)
    if result.__class__ is CoroutineType:
        return getattr(home, "run_apart", asyncio.run)(result)
    return result


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
        return self._pool._retire(self, job) and self.stays_behind

    def retire(self) -> None:
        """End after the handler that runs; called by the pool, which gives the place to another."""
        self.retired = True

    def run(self) -> None:
        pool = self._pool
        while (job := pool._next(self)) is not None:
            self.name = f"{self._idle_name}: {job.actor.actor_ref.label}"
            job.run()
            self.name = self._idle_name
            pool._let_go(self, job)
            job.scheduler.post(job.finished)
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

    def _next(self, worker: Worker) -> Job | None:
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

    def _let_go(self, worker: Worker, job: Job) -> None:
        """The handlers of *job* have returned."""
        with self._changed:
            job.over = True
            if worker.retired:
                # Before the thread ends: the next one may be given its number.
                job.scheduler.fenced_threads.discard(get_ident())

    def _retire(self, worker: Worker, job: Job) -> bool:
        """Fence *worker* off, unless it is done with *job* and may be at another's by now."""
        with self._changed:
            if job.over:
                return False
            worker.retire()
            if worker.ident is not None:
                job.scheduler.fenced_threads.add(worker.ident)
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
