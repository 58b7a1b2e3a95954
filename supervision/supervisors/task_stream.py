"""The tasks of one `TaskSupervisor.stream`: items come in, outcomes go out, so many at a time.

A feeder, one asyncio task from the first item to the last, takes the items from their source and
starts the tasks; the generator that the caller iterates gives the outcomes. A source may be fed by
the outcomes, so the feeder takes an item only when the caller has come for the next outcome and has
been given all that there are; or, once each time that it comes, so that a caller who is slow does not
keep the tasks waiting.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from agenticaiframework.actors import KILL, SHUTDOWN, ActorDied, ActorSystem, shown

from ..machine.results import Error, Ok
from ..vocabulary.errors import WaitTimeout
from .caller import Caller
from .task import TIMEOUT, Task, took_too_long

OnTimeout = Literal["kill_task", "exit"]

_END: Any = object()


class InSystem(Protocol):
    """The supervisor of the tasks, which says in which system it runs when the stream begins."""

    @property
    def system(self) -> ActorSystem: ...


@dataclass(eq=False, slots=True)
class _Entry:
    """One item, its task, and the outcome once it is known."""

    item: Any
    task: Task[Any]
    outcome: Ok[Any] | Error[Any] | None = None
    timer: TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream runs its tasks. *in_threads*: they block, and cannot be interrupted."""

    max_concurrency: int
    ordered: bool
    timeout_s: float | None
    on_timeout: OnTimeout
    in_threads: bool


class TaskStream:
    """The tasks of one stream. It owns their order, and the feeder that starts them."""

    def __init__(
        self,
        launch: Callable[[Any], Awaitable[Task[Any]]],
        items: Iterable[Any] | AsyncIterable[Any],
        options: StreamOptions,
        caller: Caller,
        context: Context,
    ) -> None:
        self._launch = launch
        self._source = items.__aiter__() if isinstance(items, AsyncIterable) else iter(items)
        self._options = options
        self._caller = caller
        self._context = context
        self._running: dict[_Entry, None] = {}
        self._order: deque[_Entry] = deque()
        """What is to be given, in this order: all tasks, or (unordered) those that are done."""
        self._wanted = False
        """Whether the caller waits for an outcome."""
        self._credit = False
        """Whether the caller has come since the last item was taken."""
        self._over = False
        """Whether no further item comes."""
        self._error: BaseException | None = None
        self._leaving = False
        self._feed_on = asyncio.Event()
        self._news = asyncio.Event()

    # -- the caller's side ---------------------------------------------------------------------

    async def outcomes(self, tasks: InSystem) -> AsyncGenerator[Ok[Any] | Error[Any], None]:
        """Yield the outcomes; when the caller leaves, end the tasks and close the source."""
        system = tasks.system
        # One task for all that is done with the source: a cancel scope or a context variable that
        # it enters for one item can be left at another.
        # On the caller's loop, which its source belongs to: in a thread that is not the system's.
        loop = asyncio.get_running_loop()
        feeder = loop.create_task(self._feed(loop), context=self._context)
        unwatch = self._caller.when_gone(system, lambda: self._caller_gone(feeder))
        try:
            while (entry := await self._next()) is not None:
                yield cast("Ok[Any] | Error[Any]", entry.outcome)
        finally:
            unwatch()
            await self._end(feeder, system)

    async def _next(self) -> _Entry | None:
        """Return what is to be given next, None after the last. Raises what the source raised."""
        self._wanted = self._credit = True
        self._feed_on.set()
        try:
            while not self._ready():
                if self._error is not None:
                    raise self._error
                if self._over and not self._running and not self._order:
                    return None
                self._news.clear()
                await self._news.wait()
        finally:
            self._wanted = False
        return self._order.popleft()

    def _ready(self) -> bool:
        return bool(self._order) and self._order[0].outcome is not None

    # -- the feeder ----------------------------------------------------------------------------

    async def _feed(self, loop: AbstractEventLoop) -> None:
        try:
            while not self._leaving:
                while not self._may_take():
                    self._feed_on.clear()
                    await self._feed_on.wait()
                self._credit = False
                item = await self._take()
                if item is _END:
                    break
                if not self._leaving:
                    self._began(item, await self._launch(item), loop)
        except (Exception, asyncio.CancelledError) as error:
            if not self._leaving:
                self._error = error
        finally:
            self._over = True
            self._news.set()
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()

    def _may_take(self) -> bool:
        most = self._options.max_concurrency
        untaken = len(self._order) + (0 if self._options.ordered else len(self._running))
        if len(self._running) >= most or untaken >= 2 * most:
            return False
        return self._credit or (self._wanted and not self._ready())

    async def _take(self) -> Any:
        source = self._source
        if isinstance(source, Iterator):
            return next(source, _END)
        try:
            return await anext(source)
        except StopAsyncIteration:
            return _END

    def _began(self, item: Any, task: Task[Any], loop: AbstractEventLoop) -> None:
        entry = _Entry(item, task)
        self._running[entry] = None
        if self._options.ordered:
            self._order.append(entry)
        if self._options.timeout_s is not None:
            entry.timer = loop.call_later(self._options.timeout_s, self._late, entry)
        task.when_done(lambda: self._done(entry, task.outcome_now(item)))

    def _done(self, entry: _Entry, outcome: Ok[Any] | Error[Any]) -> None:
        if entry.outcome is not None:
            return
        entry.outcome = outcome
        if entry.timer is not None:
            entry.timer.cancel()
        del self._running[entry]
        if not self._options.ordered:
            self._order.append(entry)
        self._feed_on.set()
        self._news.set()

    def _late(self, entry: _Entry) -> None:
        limit_s = self._options.timeout_s or 0.0
        if self._options.on_timeout == "exit":
            waited_for = f"The task for {shown(entry.item)} did not finish"
            self._error = self._error or WaitTimeout(waited_for, limit_s, "running")
            self._news.set()
            return
        self._done(entry, Error(TIMEOUT, took_too_long(limit_s), entry.item))
        entry.task.cancel(KILL)

    # -- the end -------------------------------------------------------------------------------

    def _caller_gone(self, feeder: asyncio.Task[None]) -> None:
        """End all if the caller has ended before it was through; nothing else takes the outcomes."""
        if self._caller.has_failed and not self._leaving:
            self._leaving = True
            self._error = ActorDied(self._caller.label, "gone")
            self._news.set()
            self._end_tasks()
            self._stop(feeder)

    async def _end(self, feeder: asyncio.Task[None], system: ActorSystem) -> None:
        """End the tasks, and have the source closed; return when both are done."""
        self._leaving = True
        told = self._end_tasks()
        self._stop(feeder)
        await asyncio.wait({feeder})
        told += self._end_tasks()  # one may have been started meanwhile
        for task in told:
            await system.wait_ended(task.ref, system.cancel_grace_s + 1.0)
            await task.outcome(timeout=1.0)
        if not feeder.cancelled():
            feeder.result()

    def _stop(self, feeder: asyncio.Task[None]) -> None:
        # Not while it closes the source, which would then be cut off in its clean-up.
        if not self._over:
            feeder.cancel()

    def _end_tasks(self) -> list[Task[Any]]:
        # A cancelled function cleans up before we return; one that blocks a thread is left behind.
        reason = KILL if self._options.in_threads else SHUTDOWN
        tasks = [entry.task for entry in self._running]
        for task in tasks:
            task.cancel(reason)
        return tasks
