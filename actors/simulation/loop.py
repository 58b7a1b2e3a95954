"""An asyncio event loop whose time is virtual and whose order is chosen by a seed.

Ready callbacks run until none is left, then the clock jumps to the earliest timer; nothing ever
sleeps. Without a seed callbacks run in the order in which they became ready, as on a real loop.
With one, a chooser picks among what asyncio leaves open: which task takes its next step, which of
several due timers fires first, which piece of blocking work ends first. What asyncio promises is
kept: callbacks of `call_soon` run in the order of their calls, and steps of one task in sequence.

Subclassing `asyncio.BaseEventLoop` was tried on paper and dropped: it makes a selector-shaped loop
whose one interesting method would be replaced anyway, and costs a lock and a weak set per loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import inspect
import itertools
import sys
import threading
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

from agenticaiframework.actors.kernel.task import number_tasks

from . import guard
from .asyncgens import OpenAsyncGenerators
from .blocking import VirtualSleep, run_blocking, slept_inline
from .blocking_pool import InlinePool
from .candidates import CallbackLane, Candidate
from .choosers import Chooser, RandomChooser
from .errors import (
    MachineStopped,
    SimulationLivelock,
    SimulationStalled,
    SimulationTimeLimit,
)
from .refusals import NoRealIO
from .reporting import ReportsErrors
from .tasks import SimTask, describe_task

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


ASIDES = 8
"""Looks that a run has in which nothing else can happen."""


class SimLoop(NoRealIO, ReportsErrors):
    """An event loop in virtual time, for `asyncio.Runner(loop_factory=SimLoop)` and for tests.

    seed: `None` runs callbacks in the order in which they became ready; a number lets
        `random.Random(seed)` choose.
    chooser: decides instead of a seed.
    start_s: what the clock shows at first.
    tick_s: how far each callback moves the clock; 0 because then deadlines are exact.
    max_steps: callbacks allowed without the clock moving, before `SimulationLivelock`.
    allow_threads: let code start real threads, whose timing no seed decides.
    limit_s: the time beyond which the clock does not go: then `SimulationTimeLimit`.

    Everything runs in the thread that runs the loop; `call_soon_threadsafe` may be called from
    any. Blocking work (`run_in_executor`, `asyncio.to_thread`) runs inline as a step of its own.
    """

    slow_callback_duration = 0.1

    #: Handlers' tasks have hashes that repeat here.
    numbers_tasks = True

    #: The simulation whose loop it is, if it is that of one.
    simulation: Any = None

    def __init__(
        self,
        *,
        seed: int | None = None,
        chooser: Chooser | None = None,
        start_s: float = 0.0,
        tick_s: float = 0.0,
        max_steps: int = 1_000_000,
        limit_s: float = float("inf"),
        allow_threads: bool = False,
    ) -> None:
        if seed is not None and chooser is not None:
            raise ValueError("Give SimLoop a seed or a chooser, not both: SimLoop(seed=1)")
        self.seed = seed
        self.chooser: Chooser | None = RandomChooser(seed) if seed is not None else chooser
        self.max_steps = max_steps
        self.limit_s = limit_s
        #: Callbacks run so far.
        self.steps: int = 0
        #: Raise `MachineStopped` instead of running this one.
        self.halt_at_step: int | None = None
        self._halted = False
        # An explorer wants to see every step, others only those where there is a choice.
        self._ask_from = 1 if getattr(self.chooser, "every_step", False) else 2
        super().__init__()
        self._now = start_s
        self._tick_s = tick_s
        self._ready: deque[Candidate] = deque()
        self._lanes: list[Candidate] = []
        self._callbacks = CallbackLane(self._lanes)
        self._foreign: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_serials = itertools.count()
        self._cancelled_timers = 0
        self._asides: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._asides_left = ASIDES
        #: Numbers the tasks of this loop, so that their names and hashes repeat.
        self.next_task_serial = itertools.count(1).__next__
        self._task_factory: Any = None
        self._asyncgens = OpenAsyncGenerators()
        self._sleeps = VirtualSleep(self, allow_threads=allow_threads)
        guard.install()
        number_tasks()
        self._running = False
        self._stopping = False
        self._closed = False
        self._debug = False
        self._thread_id = 0
        self._steps_here = 0
        self._stall = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running" if self._running else "idle"
        return f"<SimLoop t={self._now:g} seed={self.seed} {state}>"

    # -- time -------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def advance_to(self, when_s: float) -> None:
        """Move the clock to *when_s*, if it is not past that; nothing runs.

        Timers that became due fire at the next `settle` or run, late.
        """
        self._now = max(self._now, when_s)

    def block(self, duration_s: float) -> None:
        """Let *duration_s* pass while nothing else runs, as a handler does that blocks."""
        self._now += max(duration_s, 0.0)

    def next_timer(self) -> float | None:
        """Return when the earliest pending timer is due, or None."""
        self._drop_cancelled_timers()
        return self._timers[0][0] if self._timers else None

    # -- scheduling -------------------------------------------------------------------------

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if self._debug:
            self._check_call(callback, "call_soon")
        elif self._closed:
            raise RuntimeError("Event loop is closed")
        handle = asyncio.Handle(callback, args, self, context)
        if self.chooser is None:
            self._ready.append(handle)
        elif isinstance(getattr(callback, "__self__", None), asyncio.Task):
            self._lanes.append(handle)
        else:
            self._callbacks.add(handle)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        self._check_closed()
        if not self._running or threading.get_ident() == self._thread_id:
            return self.call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        self._foreign.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if self._debug:
            self._check_call(callback, "call_at")
        elif self._closed:
            raise RuntimeError("Event loop is closed")
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._timer_serials), timer))
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if not handle._scheduled:  # type: ignore[attr-defined]
            return  # it is ready already, and no longer in the heap
        # Timeouts are cancelled far more often than they fire: without this the heap would
        # hold the timers of every request ever made until their time comes.
        self._cancelled_timers += 1
        if self._cancelled_timers > 64 and self._cancelled_timers * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    def call_aside(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts
    ) -> asyncio.TimerHandle:
        """Call *callback* in *delay* seconds, beside the run, which does not count it as a step.

        For looks at what happens. They do not keep a run alive: one in which nothing else can happen
        has a few of them, which may find something, and is stalled then.
        """
        timer = asyncio.TimerHandle(self._now + delay, callback, args, self)
        heapq.heappush(self._asides, (timer.when(), next(self._timer_serials), timer))
        return timer

    def _run_asides(self, until: float, *, stall: bool) -> bool:
        """Nothing is ready: make the looks that come before anything else; return whether one did something."""
        self._drop_cancelled_timers()
        following = self._timers[0][0] if self._timers else None
        if following is None or following > until:
            following = min(until, self.limit_s)
            if until == float("inf") and not stall:
                return False
        else:
            self._asides_left = ASIDES
        now = self._now
        while self._asides and self._asides[0][0] <= following and self._asides_left:
            when_s, _, timer = heapq.heappop(self._asides)
            if timer.cancelled():
                continue
            self._now = max(self._now, when_s)
            self._asides_left -= following == float("inf")
            timer._run()  # pyright: ignore[reportPrivateUsage]
            if self._ready or self._lanes or self._foreign:
                self._asides_left = ASIDES
                return True
        self._now = now
        return False

    def add_candidate(self, candidate: Candidate) -> None:
        """Let the chooser choose *candidate* too; without a chooser it runs in its turn."""
        (self._ready if self.chooser is None else self._lanes).append(candidate)

    # -- tasks, futures, blocking work ------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], **kwargs: Any
    ) -> asyncio.Task[T]:
        self._check_closed()
        if self._task_factory is not None:
            task: asyncio.Task[T] = self._task_factory(self, coro, **kwargs)
            return task
        made = SimTask(coro, loop=self, **kwargs)  # type: ignore[arg-type]
        if kwargs.get("name") is None:
            # asyncio numbers unnamed tasks through the whole process, which would give the
            # second run of a seed other names than the first.
            made.set_name(f"Task-{made.serial}")
        return made

    def set_task_factory(self, factory: Any) -> None:
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        return self._task_factory

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run *func* inline as a step of its own; `time.sleep` in it delays only its result.

        *executor* is ignored: a pool's threads or processes would bring real time back.
        """
        self._check_closed()
        future: asyncio.Future[T] = self.create_future()
        # A thread has a context and no running loop; inline work must not see more.
        handle = asyncio.Handle(
            run_blocking, (self, future, func, args), self, contextvars.Context()
        )
        self.add_candidate(handle)
        return future

    def inline_pool(self) -> InlinePool:
        """Return what takes the place of a pool of threads for blocking handlers."""
        return InlinePool(self)

    def run_apart(self, main: Coroutine[Any, Any, T]) -> T:
        """Run *main* to its end as a thread's own loop would; its time counts as slept there."""
        inner = SimLoop(start_s=self._now, max_steps=self.max_steps)
        try:
            return inner.run_until_complete(main)
        finally:
            slept_inline(inner.time() - self._now)
            inner.close()

    def set_default_executor(self, executor: Any) -> None:
        """Ignore *executor*: blocking work runs inline."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Do nothing: no thread was started."""

    # -- running ----------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Run until `stop`; raise `SimulationStalled` when nothing can happen any more."""
        self._run(stall=True)

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        self._check_closed()
        self._check_not_running()
        is_new = not asyncio.isfuture(future)
        made = asyncio.ensure_future(cast("Awaitable[T]", future), loop=self)
        waited = cast("asyncio.Future[T]", made)
        waited.add_done_callback(self._stop_when_done)
        try:
            self.run_forever()
        except BaseException:
            if is_new and waited.done() and not waited.cancelled():
                waited.exception()  # the one raised now is the one to see
            raise
        finally:
            waited.remove_done_callback(self._stop_when_done)
        if not waited.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return waited.result()

    def settle(self, *, until: float | None = None) -> None:
        """Run until nothing is runnable and no timer is left (or none due before *until*).

        For driving a system step by step from outside; the clock stops at the last timer fired.
        """
        self._run(until=float("inf") if until is None else until)

    def settle_ready(self) -> None:
        """Run until nothing is runnable; no timer fires and the clock stands still."""
        self._run(until=float("-inf"))

    def stop(self) -> None:
        self._stopping = True

    def _stop_when_done(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled():
            error = future.exception()
            if isinstance(error, (SystemExit, KeyboardInterrupt)):
                return  # it is on its way up through the run already
        self._stopping = True

    def _run(self, *, stall: bool = False, until: float = float("inf")) -> None:
        self._check_closed()
        self._check_not_running()
        self._running = True
        self._thread_id = threading.get_ident()
        self._steps_here = 0
        self._stall = stall
        self._asides_left = ASIDES
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._asyncgens.add, finalizer=self._asyncgen_ends)
        events._set_running_loop(self)
        self._sleeps.begin()
        try:
            while self._run_once(until):
                if self._steps_here > self.max_steps:
                    raise SimulationLivelock(self._now, self._steps_here, self._next_ready())
            if stall and not self._stopping:
                raise SimulationStalled(self._now, self._waiting())
        finally:
            self._sleeps.end()
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            self._running = self._stopping = False
            self._thread_id = 0

    def _run_once(self, until: float) -> bool:
        """Run one batch and fire what is due; return whether there is more to do."""
        if self._foreign:
            self._take_foreign()
        if self._halted or self.halt_at_step is not None:
            self._halt_if_due()
        if self.chooser is None:
            self._run_batch()
            idle = not self._ready
        else:
            self._run_chosen_batch(self.chooser)
            idle = not self._lanes
        if self._halted:
            return True
        if self._stopping:
            return False
        if (
            idle
            and self._asides
            and not self._foreign
            and self._run_asides(until, stall=self._stall)
        ):
            return True
        if self._timers and (idle or self._timers[0][0] <= self._now <= until):
            # Time may only move when nothing is ready, whatever stands first in the heap: it may
            # be a timer that was cancelled.
            idle = not self._fire_timers(until if idle else self._now) and idle
        return not idle or bool(self._foreign)

    def _run_batch(self) -> None:
        """Run what is ready now; what that makes ready waits for the next batch, as ever."""
        ready = self._ready
        popleft = ready.popleft
        count = self._count_steps(len(ready))
        for _ in range(count):
            if self._halted:
                return
            handle = popleft()
            # As asyncio runs its own handles, which candidates are or stand for.
            if not handle._cancelled:  # pyright: ignore[reportPrivateUsage]
                handle._run()  # pyright: ignore[reportPrivateUsage]

    def _run_chosen_batch(self, chooser: Chooser) -> None:
        lanes = self._lanes
        ask_from = self._ask_from
        count = self._count_steps(len(lanes))
        for _ in range(count):
            if not lanes or self._halted:
                return
            candidate = lanes.pop(chooser.choose(lanes) if len(lanes) >= ask_from else 0)
            if not candidate._cancelled:  # pyright: ignore[reportPrivateUsage]
                candidate._run()  # pyright: ignore[reportPrivateUsage]

    def _count_steps(self, count: int) -> int:
        """Return how many of *count* ready callbacks this batch may run, and count them."""
        if self.halt_at_step is not None:
            count = min(count, self.halt_at_step - self.steps)
        self.steps += count
        self._steps_here += count
        if self._tick_s:
            self._now += self._tick_s * count
        return count

    def halt(self) -> None:
        """Let nothing run after the callback that runs now: the run ends with `MachineStopped`."""
        self._halted = True

    def revive(self) -> None:
        """Let a halted loop run again, so that what it left can be buried."""
        self._halted = False
        self.halt_at_step = None

    def _halt_if_due(self) -> None:
        at_step = self.halt_at_step
        if self._halted or (
            at_step is not None and self.steps >= at_step and (self._ready or self._lanes)
        ):
            raise MachineStopped(self.steps, self._now)

    def _fire_timers(self, until: float) -> bool:
        """Jump to the earliest timer and make all that are due then ready."""
        self._drop_cancelled_timers()
        timers = self._timers
        if not timers or timers[0][0] > until:
            return False
        if timers[0][0] > self._now:
            if timers[0][0] > self.limit_s:
                raise SimulationTimeLimit(self.limit_s, self._waiting())
            self._now = timers[0][0]
            self._steps_here = 0
        add = (self._ready if self.chooser is None else self._lanes).append
        while timers and timers[0][0] <= self._now:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False  # type: ignore[attr-defined]
            if not timer.cancelled():
                add(timer)
        return True

    def _drop_cancelled_timers(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
            self._cancelled_timers -= 1

    def _take_foreign(self) -> None:
        while self._foreign:
            handle = self._foreign.popleft()
            if self.chooser is None:
                self._ready.append(handle)
            else:
                self._callbacks.add(handle)

    # -- state ------------------------------------------------------------------------------

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        if self._running:
            raise RuntimeError("Cannot close a running event loop")
        self._closed = True
        self._ready.clear()
        self._lanes.clear()
        self._callbacks.queue.clear()
        self._foreign.clear()
        self._timers.clear()
        self._asides.clear()

    def get_debug(self) -> bool:
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        self._debug = enabled

    def _check_closed(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")

    def _check_not_running(self) -> None:
        if self._running:
            raise RuntimeError("This event loop is already running")
        if events._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")

    def _check_call(self, callback: object, method: str) -> None:
        self._check_closed()
        if self._running and threading.get_ident() != self._thread_id:
            raise RuntimeError(
                "Non-thread-safe operation invoked on an event loop other than the current one"
            )
        if asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError(f"coroutines cannot be used with {method}()")
        if not callable(callback):
            raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")

    def _next_ready(self) -> str:
        waiting = self._ready if self.chooser is None else self._lanes
        return repr(waiting[0]) if waiting else "unknown"

    def _waiting(self) -> list[str]:
        tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
        return [describe_task(task) for task in sorted(tasks, key=hash)]

    # -- async generators -------------------------------------------------------------------

    def _asyncgen_ends(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens.discard(agen)
        if not self._closed:
            self.call_soon_threadsafe(self.create_task, agen.aclose())

    async def shutdown_asyncgens(self) -> None:
        for agen in self._asyncgens.take():
            try:
                await agen.aclose()
            except Exception as error:
                self.call_exception_handler(
                    {
                        "message": f"an error occurred during closing of {agen!r}",
                        "exception": error,
                        "asyncgen": agen,
                    }
                )
