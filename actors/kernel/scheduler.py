"""The ready queue of a system: it decides which actor runs next, and drives its handler.

One `Scheduler` belongs to one event loop thread, and all mutable state of a system's actors belongs
to that thread. An actor with work stands in the ready queue once; its turn handles a bounded batch
of messages. The queue is drained inside a loop callback, for about a millisecond at a time, so that
whatever else lives on the loop keeps its latency. An asynchronous handler is a coroutine that is
stepped here (see `task` for what asyncio sees meanwhile); while it waits, its actor is parked and
others run.

`run` is the path of every message and is written out flat on purpose: a helper call costs as much
as a tenth of a message. Whatever is rare (starting, stopping, exit signals, threads) leaves it at
one test of ``actor._phase`` and continues in `lifecycle`.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections import deque
from collections.abc import Callable, Generator
from contextvars import Context
from sys import getrefcount
from threading import get_ident
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from pykka import messages as pykka_messages

from ..errors import ForkedSystem
from . import lifecycle
from .carried import Carried
from .phase import DOOMED, IDLE, PARKED, QUEUED, RUNNING
from .raised import Raised
from .request import ActorFuture, Callback, Gathering, Promise, Request
from .task import ActorTask, swap_task

if TYPE_CHECKING:
    from ..actor import Actor
    from ..system.system import ActorSystem

ASKED: Final = 1
SPECIAL: Final = 2

KINDS: Final[dict[type, int]] = {
    Request: ASKED,
    ActorFuture: ASKED,
    pykka_messages._ActorStop: SPECIAL,
    pykka_messages.ProxyCall: SPECIAL,
    pykka_messages.ProxyGetAttr: SPECIAL,
    pykka_messages.ProxySetAttr: SPECIAL,
    Carried: SPECIAL,
    Raised: SPECIAL,
}
"""What is not simply a user's message, by exact class: one dictionary look-up tells."""

DONE: Final = object()
"""What a driver yields when the coroutine in it has returned."""

UNSHARED: Final = 5 if sys.version_info < (3, 14) else -1
"""References to the task of a message in `run` if nobody else keeps one: two local variables, the
actor's, asyncio's, and the argument of the count. From 3.14 on, counts do not tell (borrowed)."""

OWN_AWAITABLES: Final[set[type]] = {Request, Promise, Gathering}
"""What parks a handler without asyncio, by exact class."""

BATCH: Final = 16
"""Messages an actor may handle in a row while others are ready."""

CHECK_EVERY: Final = 64
"""Messages between two looks at the clock; a look costs as much as a fifth of a message."""

SLICE_S: Final = 0.001
"""How long the queue is drained before the loop gets control back."""


class ReadyQueue(Protocol):
    """What may stand in the place of the deque: a seeded order of ready actors, in simulation."""

    def append(self, actor: Any, /) -> None: ...
    def popleft(self) -> Any: ...
    def __len__(self) -> int: ...


class Observer(Protocol):
    """What simulation hangs into a system; None in production, at the price of one test.

    Messages are seen where they are sent by the mailboxes that `on_spawn` may put in, and where
    they are handled by `on_deliver`, which returns what handles the message in fact.
    """

    def on_spawn(self, ref: Any, parent: Any) -> None: ...
    def on_deliver(
        self, actor: Any, message: Any, request: Any, receive: Callable[[Any], Any]
    ) -> Callable[[Any], Any]: ...
    def may_handle_now(self) -> bool: ...
    def on_signal(self, target: Any, sender: Any, reason: Any) -> None: ...
    def on_end(self, ref: Any, reason: Any) -> None: ...


@types.coroutine
def _drive(scheduler: Scheduler) -> Generator[Any, Any, None]:
    """Run one coroutine after another; yield `DONE` where one returns.

    A coroutine that is driven by hand tells its result by raising StopIteration, which costs as much
    as running it. Below a ``yield from`` nothing is raised: so a handler's coroutine is sent into one
    of these, and whatever it yields comes through as if this were not there.
    """
    coro = yield
    while True:
        scheduler.result = yield from coro
        coro = yield DONE


def new_driver(scheduler: Scheduler) -> Any:
    """Return a driver that waits for its first coroutine."""
    driver: Any = _drive(scheduler)
    driver.send(None)
    return driver


class Scheduler:
    """Drives the actors of one system on one loop. Owned by the loop's thread, but for `post`."""

    __slots__ = (
        "__weakref__",
        "_inbox",
        "_signalled",
        "awake",
        "batch",
        "callbacks",
        "closed",
        "context",
        "current",
        "drivers",
        "fenced_sends",
        "fenced_threads",
        "home_thread",
        "forked",
        "late_replies",
        "loop",
        "observer",
        "ready",
        "result",
        "runs",
        "system",
        "thread",
    )

    def __init__(
        self,
        system: ActorSystem,
        loop: asyncio.AbstractEventLoop,
        ready: ReadyQueue | None,
        context: Context,
    ) -> None:
        self.system = system
        self.loop = loop
        self.thread = self.home_thread = get_ident()
        self.ready: ReadyQueue = deque() if ready is None else ready
        self.callbacks: deque[Callback] = getattr(ready, "callbacks", deque[Callback]())
        """What asyncio code has called when its requests are done: after the actors' turns."""
        self.batch: int = getattr(ready, "batch", BATCH)
        self.context = context
        """Every actor's handlers start from a copy of this context."""
        self.current: Actor | None = None
        """The actor whose handler is on the stack of the loop's thread."""
        self.observer: Observer | None = None
        self.drivers: list[Any] = []
        """Drivers that wait for a coroutine (see `_drive`)."""
        self.result: Any = None
        """What the coroutine returned whose driver has just said DONE."""
        self.awake = False
        """Whether `run` is running or on its way."""
        self.closed = False
        self.forked = False
        self.late_replies = 0
        self.fenced_sends = 0
        self.fenced_threads: set[int] = set()
        self.runs = 0
        self._inbox: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._signalled = False

    # -- from anywhere -------------------------------------------------------------------------

    def post(self, fn: Callable[..., Any], *args: Any) -> bool:
        """Have ``fn(*args)`` called on the loop's thread, in the order of the posts of a thread.

        Return False when the loop is closed, so that nobody waits for what cannot happen.
        """
        if self.forked:
            raise ForkedSystem(self.system.name)
        if self.closed:
            return False
        self._inbox.append((fn, args))
        if not self._signalled:
            # Set before the call: the loop clears it before it drains, so no post is overlooked.
            self._signalled = True
            try:
                self.loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                self.closed = True
                return False
        return True

    def fenced(self) -> bool:
        """Tell whether this call is made by a handler that was left behind."""
        me = get_ident()
        # While the rest of an abandoned coroutine is stepped, the loop's thread is not `thread`.
        return me in self.fenced_threads or (self.thread == -1 and me == self.home_thread)

    def post_or_call(self, fn: Callable[..., Any], *args: Any) -> bool:
        """Call ``fn(*args)`` now on the loop's thread, or post it from another."""
        if get_ident() == self.thread:
            fn(*args)
            return True
        return self.post(fn, *args)

    def _drain(self) -> None:
        self._signalled = False
        inbox = self._inbox
        clock = self.loop.time
        deadline = clock() + SLICE_S
        credits = CHECK_EVERY
        try:
            while inbox:
                fn, args = inbox.popleft()
                fn(*args)
                credits -= 1
                if credits == 0:
                    # Several threads together may post faster than this takes out.
                    if clock() > deadline:
                        break
                    credits = CHECK_EVERY
        finally:
            if inbox and not self._signalled:
                self._signalled = True
                self.loop.call_soon(self._drain)

    def close(self) -> None:
        """Do what has been posted, and take nothing more; on the loop's thread."""
        self.closed = True
        while self._inbox:
            self._drain()

    # -- on the loop's thread ------------------------------------------------------------------

    def enqueue(self, cell: Any) -> None:
        """Put the actor of the ref *cell* into the ready queue, and have the queue drained."""
        cell._state = QUEUED
        self.ready.append(cell)
        if not self.awake:
            self.awake = True
            self.loop.call_soon(self.run)

    def call_back(self, callback: Callback) -> None:
        """Have *callback* called on the loop's thread, once no actor is ready."""
        self.callbacks.append(callback)
        if not self.awake:
            self.wake()

    def handle_now(self, cell: Any, message: Any) -> bool:
        """Have the idle actor of *cell* handle *message* inside the turn of another (see `ActorRef.handle_now`)."""
        observer = self.observer
        if (
            cell._state != IDLE
            or cell._phase
            or cell._mailbox
            or get_ident() != self.thread
            or (observer is not None and not observer.may_handle_now())
        ):
            return False
        mailbox = cell._mailbox
        if mailbox is None:
            mailbox = cell._make_mailbox()
        actor = cell._actor
        cell._state = RUNNING
        mailbox.append(message)
        if not mailbox:
            cell._state = IDLE
            return True  # it was dropped, by the mailbox's policy or by a planted fault
        message = cell._message = mailbox.popleft()
        receive = cell._behavior or actor.on_receive
        if type(message) in KINDS:
            receive = actor._receive_special
        if observer is not None:
            receive = observer.on_deliver(actor, message, None, receive)
        context = cell._context
        if context is None:
            context = cell._context = self.context.copy()
        before, self.current = self.current, actor
        task = swap_task(self.loop, None)
        try:
            context.run(receive, message)
        except BaseException as error:
            # A handler fails, and an actor ends, in a turn of its own.
            mailbox.appendleft(Raised(message, error))
        finally:
            if task is not None:
                swap_task(self.loop, task)
            self.current = before
        cell._handled += 1
        if cell._state == RUNNING:
            if cell._phase or cell._mailbox:
                self.enqueue(cell)
            else:
                cell._state = IDLE
                cell._message = None
        return True

    def wake(self) -> None:
        """Have the queue drained by the loop."""
        self.awake = True
        self.loop.call_soon(self.run)

    def run(self) -> None:
        """Let ready actors take their turns, for about `SLICE_S`."""
        self.awake = True
        self.runs += 1
        ready = self.ready
        next_ready = ready.popleft
        loop = self.loop
        observer = self.observer
        batch_size = self.batch
        kind_of = KINDS.get
        clock = loop.time
        began = clock()
        deadline = began + SLICE_S
        credits = CHECK_EVERY
        entered: ActorTask | None = None
        task: Any = cast(Any, None)
        driver: Any = None
        coro: Any
        message: Any
        result: Any
        drivers = self.drivers
        callbacks = self.callbacks
        try:
            while ready or callbacks:
                if credits <= 0:
                    now = clock()
                    # A clock that stands still is a simulated one: the loop must get its turn there
                    # too, or two actors that keep each other busy would shut out everything else.
                    if now > deadline or now == began:
                        break
                    credits = CHECK_EVERY
                if not ready:
                    # Tasks that wait for answers go on here, and not by the loop: a trip round it
                    # costs more than the rest of an ask. After the actors, so that what an answer
                    # or a crash has led to among them has happened when its asker sees it.
                    if entered is not None:
                        swap_task(loop, None)
                        entered = None
                    self.current = None
                    credits -= 1
                    callbacks.popleft().call()
                    continue
                cell = next_ready()
                if cell._state != QUEUED:
                    continue
                if cell._phase:
                    if entered is not None:
                        swap_task(loop, None)
                        entered = None
                    credits -= 1
                    lifecycle.special_turn(self, cell._actor)
                    continue
                actor = self.current = cell._actor
                cell._state = RUNNING
                context = cell._context
                if context is None:
                    context = cell._context = self.context.copy()
                run_in_context = context.run
                coro = cell._coro

                if coro is not None:
                    # The handler that was parked goes on.
                    credits -= 1
                    task = cell._task
                    if entered is not task:
                        swap_task(loop, task)
                        entered = task
                    resumed = cell._driver
                    try:
                        if task._must_cancel:
                            yielded = run_in_context(resumed.throw, task._cancelled_error())
                        else:
                            yielded = run_in_context(resumed.send, None)
                    except BaseException as error:
                        cell._coro = cell._driver = None
                        task._finish()
                        lifecycle.handler_failed(self, actor, cell._current, cell._message, error)
                    else:
                        if yielded is DONE:
                            result, self.result = self.result, None
                            drivers.append(resumed)
                            cell._coro = cell._driver = None
                            if getrefcount(task) != UNSHARED or task._num_cancels:
                                task._finish()
                                cell._task = None
                            request = cell._current
                            if request is not None:
                                cell._current = None
                                request.answer(result)
                            cell._handled += 1
                        elif type(yielded) in OWN_AWAITABLES and not task._must_cancel:
                            cell._state = PARKED
                            if cell._phase & DOOMED:
                                self.enqueue(cell)
                        else:
                            park(self, cell, task, yielded)
                else:
                    behavior = cell._behavior
                    on_receive = actor.on_receive if behavior is None else behavior
                    direct: Any = on_receive if actor._is_async and behavior is None else None
                    if direct is None and entered is not None:
                        # A log record of a plain handler must not carry another actor's name.
                        swap_task(loop, None)
                        entered = None
                    mailbox = cell._mailbox
                    batch = batch_size
                    while mailbox:
                        message = cell._message = mailbox.popleft()
                        request = None
                        receive = on_receive
                        kind = kind_of(type(message))  # pyright: ignore
                        if kind is not None:
                            if kind == ASKED:
                                request = cell._current = message
                                message = request.message
                                kind = kind_of(type(message))  # pyright: ignore
                            if kind is not None:
                                receive = actor._receive_special
                        if observer is not None:
                            receive = observer.on_deliver(actor, message, request, receive)
                        try:
                            if direct is receive:
                                result = receive(message)
                            else:
                                result = run_in_context(receive, message)
                            if type(result) is CoroutineType:
                                coro = cell._coro = result  # pyright: ignore
                                task = cell._task
                                if task is None or task._done:
                                    task = cell._task = ActorTask()
                                    task._cell = cell
                                if entered is not task:
                                    swap_task(loop, task)
                                    entered = task
                                if driver is None:
                                    driver = drivers.pop() if drivers else new_driver(self)
                                yielded = run_in_context(driver.send, coro)
                                if yielded is not DONE:
                                    cell._driver = driver
                                    cell._since = began
                                    driver = None
                                    if type(yielded) in OWN_AWAITABLES and not task._must_cancel:
                                        cell._state = PARKED
                                        if cell._phase & DOOMED:
                                            self.enqueue(cell)
                                    else:
                                        park(self, cell, task, yielded)
                                    break
                                result = self.result
                                coro = cell._coro = None
                                if getrefcount(task) != UNSHARED or task._num_cancels:
                                    # Somebody keeps this task: it is done, and the next message
                                    # gets another.
                                    task._finish()
                                    cell._task = None
                        except BaseException as error:
                            if coro is not None:
                                cell._coro = driver = None
                                task._finish()  # pyright: ignore
                            lifecycle.handler_failed(self, actor, request, cell._message, error)
                            break
                        if request is not None and cell._current is request:
                            cell._current = None
                            request.answer(result)
                        batch -= 1
                        if cell._phase or batch == 0:
                            break
                        if cell._behavior is not behavior:
                            behavior = cell._behavior
                            on_receive = actor.on_receive if behavior is None else behavior
                            direct = None
                    handled = batch_size - batch
                    cell._handled += handled
                    credits -= handled or 1
                # Whatever happened above may have stopped the actor, or it may be parked.
                if cell._state == RUNNING:
                    if cell._phase or cell._mailbox:
                        cell._state = QUEUED
                        ready.append(cell)
                    else:
                        cell._state = IDLE
                        cell._message = None
        finally:
            if entered is not None:
                swap_task(loop, None)
            self.current = None
            self.result = None
            # An error that somebody keeps holds this frame, and with it what was handled last.
            request = message = result = yielded = None
            if driver is not None:
                drivers.append(driver)
            # The slice is over, and actors that never rest must not shut tasks out.
            while callbacks:
                loop.call_soon(callbacks.popleft().call)
            if ready:
                loop.call_soon(self.run)
            else:
                self.awake = False


def park(scheduler: Scheduler, cell: Any, task: ActorTask, yielded: Any) -> None:
    """Suspend the handler on what it yielded: a request, a bare yield, or asyncio's future."""
    cell._state = PARKED
    if isinstance(yielded, Request | Gathering):
        if task._must_cancel or cell._phase & DOOMED:
            scheduler.enqueue(cell)
        return
    if yielded is None:
        scheduler.enqueue(cell)
        return
    blocking = getattr(yielded, "_asyncio_future_blocking", None)
    if not blocking:
        task._must_cancel = True
        task._wrong_await = TypeError(
            f"A handler of {cell.label} awaited {yielded!r}, which is no asyncio "
            "awaitable. Await coroutines, asyncio futures and tasks, or requests."
        )
        scheduler.enqueue(cell)
        return
    yielded._asyncio_future_blocking = False
    get_loop = getattr(yielded, "get_loop", None)
    if get_loop is not None and get_loop() is not scheduler.loop:
        # That loop's thread would call the handler back.
        task._must_cancel = True
        task._wrong_await = RuntimeError(
            f"A handler of {cell.label} awaited {yielded!r}, which belongs to another event loop. "
            "Let that loop tell it: asyncio.wrap_future(asyncio.run_coroutine_threadsafe(..., loop))."
        )
        scheduler.enqueue(cell)
        return
    # In a context of its own: the wake-up runs handlers, each in theirs, and none can be entered twice.
    yielded.add_done_callback(task._wakeup, context=scheduler.context)
    task._fut_waiter = yielded
    if task._must_cancel and yielded.cancel(msg=task._cancel_message):
        task._must_cancel = False
    if cell._phase & DOOMED:
        scheduler.enqueue(cell)


__all__ = ["KINDS", "Observer", "ReadyQueue", "Scheduler", "park"]
