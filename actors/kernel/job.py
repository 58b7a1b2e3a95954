# pyright: reportPrivateUsage=false
"""Work of an actor that leaves the loop: some of its messages, or one of its hooks.

The loop hands a `Job` to a `JobRunner`, a pool of threads or of processes. A worker of it runs the
handler on each message and posts the outcome back; the mailbox and everything else stays with the
loop. A thread cannot be killed: a job that is abandoned is fenced, so that what its handler sends or
answers is dropped and counted.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from functools import partial
from types import CoroutineType
from typing import Any, Protocol, TypeVar, cast

from ..looks import is_a
from .base import ActorBase
from .carried import opened, take_variables
from .cell import Cell
from .delivery import is_ask
from .future import ActorFuture
from .here import HERE
from .home import Home
from .phase import DOOMED, UNWINDING
from .pykka_seam import ActorStop
from .request import ASKED, CARRIES, KINDS, Callback, Gathering, Request
from .self_sent import OWN
from .special import receive_special

T = TypeVar("T")

JOB_MESSAGES = 16
"""Messages handed over at once: a hand-over costs as much as forty messages."""


class JobRunner(Protocol):
    """Where jobs run: a pool of threads, or of processes."""

    def submit(self, job: Job, /) -> None: ...

    settle_s: float
    """How long its threads may take to end at least, when the system stops."""

    def stop(self, wait_s: float, /) -> list[str]: ...


class JobWorker(Protocol):
    """The thread that a job was taken up by."""

    def leave_behind(self, job: Job, /) -> bool:
        """Fence this thread off if it is at *job* still; return whether a handler goes on in it."""
        ...

    def waits(self, job: Job, change: int, /) -> None:
        """Its handler waits for one answer of the system more (1), or less (-1)."""
        ...


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
        "call",
        "cell",
        "context",
        "coroutine",
        "error",
        "grace",
        "home",
        "hook",
        "interrupted",
        "item",
        "items",
        "loop",
        "over",
        "thread",
        "value",
        "withdrawn",
    )

    def __init__(
        self,
        cell: Cell,
        items: deque[Any],
        hook: tuple[Callable[..., Any], tuple[Any, ...]] | None = None,
    ) -> None:
        self.cell = cell
        self.home: Home = cell._sched
        self.items: deque[Any] = items
        self.hook = hook
        self.item: Any = None
        """The message in hand."""
        self.value: Any = None
        self.error: BaseException | None = None
        self.abandoned = False
        self.coroutine: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        """The loop and the task of an asynchronous handler or hook that runs. Owned by `_turn`."""
        self.interrupted = False
        """Whether the handler or hook in hand is to end, also if its coroutine begins only later.
        Owned by `_turn`."""
        self.withdrawn: Any = None
        """The message that was in hand when its asker withdrew it. Written on the loop's thread."""
        self.grace: asyncio.TimerHandle | None = None
        """What is done if its worker does not let go of it in time. Owned by the loop's thread."""
        self.call: CallElsewhere | None = None
        """Has a message handled somewhere else than in the worker itself."""
        self.context: Context | None = None
        """The context of the message in hand, where it is handled in a child process."""
        self.loop: Any = None
        """The loop in its thread, once a task there has asked something."""
        self.over = False
        """Whether its worker has let go of it. Owned by the lock of the pool."""
        self.thread: JobWorker | None = None
        self._turn = threading.Lock()

    @property
    def label(self) -> str:
        """The name of its actor."""
        return self.cell.label

    @property
    def actor(self) -> ActorBase:
        """Its actor."""
        actor: ActorBase = self.cell._actor
        return actor

    def work_for_child(self, message: Any) -> bytes | None:
        """Return what a child process needs in order to handle *message*; None: handle it here."""
        work = self.actor._work_for_child
        return work(message) if self.context is None else self.context.run(work, message)

    def waits(self, change: int) -> None:
        """The handler in the worker's thread waits for one answer of the system more (1), or less (-1)."""
        if self.thread is not None and not self.over:
            self.thread.waits(self, change)

    def withdraw(self) -> bool:
        """Take back a job that no worker has begun; return False if one has."""
        ext = self.cell._ext
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

    def interrupt(self, item: Any = None) -> bool:
        """Cancel the asynchronous handler that runs, at its await; return whether one does.

        One whose coroutine has not begun yet does not begin it. With *item*, only if that is what it
        handles.
        """
        with self._turn:
            if item is not None and self.item is not item:
                return False
            self.interrupted = True
            if self.coroutine is None:
                return False
            loop, task = self.coroutine
            loop.call_soon_threadsafe(task.cancel)
            return True

    def abandon(self) -> tuple[bool, bool]:
        """Fence the worker off; called on the loop's thread.

        Return whether a handler goes on in it, and whether that has been told to end only now, and can.
        """
        if self.withdraw():
            return False, False
        self.fence()
        told = not self.interrupted and self.interrupt()
        thread = self.thread
        stays = thread is None or thread.leave_behind(self)
        self.recall()
        return stays, told

    def recall(self) -> None:
        """Put what was handed over and not begun back into the mailbox; on the loop's thread."""
        items: list[Any] = []
        try:
            while True:
                items.append(self.items.popleft())
        except IndexError:
            if items:
                self.cell._mailbox.extendleft(reversed(items))

    def fail_asks(self, error: BaseException) -> None:
        """Fail what is asked and has not begun; on the loop's thread."""
        told: list[Any] = []
        try:
            while True:
                item = self.items.popleft()
                if is_ask(item):
                    item.fail(error)
                else:
                    told.append(item)
        except IndexError:
            self.items.extend(told)

    def run(self) -> None:
        """Do the work; on the worker's thread."""
        before = HERE.cell, HERE.job
        HERE.cell, HERE.job = self.cell, self
        try:
            if self.hook is not None:
                self._run_hook(self.hook)
                return
            own_context = self.cell._make_own_context()
            while (handled := self._handle_next(own_context)) is not None:
                if not self._give_back(*handled):
                    return
        finally:
            HERE.cell, HERE.job = before

    def steps(self) -> Iterator[None]:
        """Do the work in steps: what a handler has made is given back, and answered, by the next step.

        For a pool without threads, in which the time that a handler takes passes between two steps.
        """
        if self.hook is not None:
            self._in_hand(partial(self._run_hook, self.hook))
            return
        own_context = self.cell._make_own_context()
        while (handled := self._in_hand(partial(self._handle_next, own_context))) is not None:
            yield
            if not self._in_hand(partial(self._give_back, *handled)):
                return

    def _in_hand(self, step: Callable[[], T]) -> T:
        before = HERE.cell, HERE.job
        HERE.cell, HERE.job = self.cell, self
        try:
            return step()
        finally:
            HERE.cell, HERE.job = before

    def _run_hook(self, hook: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
        own_context = self.cell._make_own_context()
        try:
            self.value = own_context.run(partial(self._complete, hook[0], *hook[1]))
        except BaseException as error:
            self.error = error

    def _handle_next(self, own_context: Context) -> tuple[Any, Any] | None:
        """Return the request of the next message, if it is one, and what its handler has made of it.

        None: there is no other, or the handler has raised.
        """
        cell = self.cell
        taken = self._take(own_context)
        if taken is None:
            return None
        request, message, receive, context = taken
        observer = self.home.observer
        if observer is not None:
            receive = observer.on_deliver(cell, message, request, receive)
        local: Callable[[], Any] = partial(context.run, partial(self._complete, receive, message))
        try:
            result = local() if self.call is None else self._call(local, message, request, context)
        except BaseException as error:
            self.error = error
            with self._turn:
                if not self.abandoned:
                    cell._context = context  # for the record of a crash, as on the loop
            # An error that is kept holds this frame, and with it what was handled last.
            taken = request = message = receive = context = local = cast(Any, None)
            return None
        return request, result

    def _call(self, local: Callable[[], Any], message: Any, request: Any, context: Context) -> Any:
        """Return the result of handling *message* elsewhere."""
        assert self.call is not None, "it is handled elsewhere"
        self.context = context
        observer = self.home.observer
        if observer is None:
            return self.call(self, local, message, request)
        call = partial(self.call, self, local, message, request)
        return observer.on_call(self.cell, message, context, call)

    def _take(self, context: Context) -> tuple[Any, Any, Callable[[Any], Any], Context] | None:
        """Take up the next message: its request, if it is one, the message, what handles it, and the
        context for it, which is *context* for one that carries none."""
        cell = self.cell
        with self._turn:
            if self.abandoned or cell._phase & (DOOMED | UNWINDING) or not self.items:
                return None
            item = message = self.items.popleft()
            request = None
            receive: Callable[[Any], Any] = cell._behavior or cell._actor.on_receive
            kind = KINDS.get(cast(Any, type(item)))
            if kind is not None:
                if kind == ASKED:
                    request = item
                    message = item.message
                    kind = KINDS.get(cast(Any, type(message)))
                elif kind == OWN:
                    message = item.message
                    kind = KINDS.get(cast(Any, type(message)))
                if kind == CARRIES:
                    context = take_variables(message)
                elif kind is not None:
                    if is_a(message, ActorStop):
                        # Stopping is the loop's business: hand everything back to it.
                        self.items.appendleft(item)
                        return None
                    context = opened(message, self.home, context)
                    receive = partial(receive_special, cell)
            self.item = cell._message = item
            self.interrupted = False
            self.loop = None
            if request is not None:
                cell._current = request
        cell._since = self.home.loop.time()
        return request, message, receive, context

    def _give_back(self, request: Any, result: Any) -> bool:
        """Answer the message in hand; return False if the job was abandoned meanwhile."""
        cell = self.cell
        with self._turn:
            if self.abandoned:
                self.home.late_replies += 1
                return False
            self.item = None
            if cell._current is not request:
                request = None  # deferred, or stashed
            cell._current = None
        cell._handled += 1
        if request is not None:
            request.reply(result)
        return True

    def _complete(self, handler: Callable[..., Any], *args: Any) -> Any:
        """Return the result of *handler*; a coroutine is run to its end on a loop of this thread."""
        result = handler(*args)
        if cast(Any, type(result)) is CoroutineType:
            # An error that is kept holds this frame, and is not to hold what it was to do.
            work, result = self._interruptible(result), None
            return getattr(self.home.loop, "run_apart", asyncio.run)(work)
        return result

    async def _interruptible(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        with self._turn:
            if self.interrupted:
                coroutine.close()
                del coroutine
                raise asyncio.CancelledError("it was to end before it had begun")
            self.coroutine = asyncio.get_running_loop(), task
        try:
            return await coroutine
        finally:
            # While the loop still runs: an interrupt finds it open, or finds nothing.
            with self._turn:
                self.coroutine = None


def is_awaited_in_thread(job: Job) -> bool:
    """Tell whether an answer that *job* has to give is known to hold up the thread of another one."""
    try:
        return any(_is_awaited_in_thread(item) for item in tuple(job.items))
    except RuntimeError:
        return True  # its thread takes them out just now


def _is_awaited_in_thread(item: Any) -> bool:
    for _ in range(64):
        if is_a(item, ActorFuture):
            return True
        if not is_a(item, Request):
            return False
        waiter: Any = item._waiter
        if isinstance(waiter, Gathering):
            waiter = waiter.cell
        if isinstance(waiter, Callback):
            return waiter.in_thread
        if waiter is not None and not hasattr(waiter, "_current"):
            return hasattr(waiter, "in_thread")
        item = None if waiter is None else waiter._current
    return False


def job_of(cell: Cell) -> Job | None:
    """Return the job that *cell* has in a worker's hands."""
    ext = cell._ext
    return None if ext is None else ext.job


__all__ = [
    "JOB_MESSAGES",
    "CallElsewhere",
    "Job",
    "JobRunner",
    "JobWorker",
    "is_awaited_in_thread",
    "job_of",
]
