"""The state of one event loop's actors, and the ways onto that loop.

A `Home` is what every part of the kernel knows of the scheduler; `Scheduler`, at the kernel's top,
is a home that also runs. So a part that wakes an actor does not depend on the file that gives the
actor its turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ..errors import ForkedSystem
from .phase import QUEUED

if TYPE_CHECKING:
    from .host import Host

T = TypeVar("T")

CHECK_EVERY: Final = 64
"""Messages between two looks at the clock; a look costs as much as a fifth of a message."""

SLICE_S: Final = 0.001
"""How long the queue is drained before the loop gets control back."""

BATCH: Final = 16
"""Messages an actor may handle in a row while others are ready."""

FENCED: Final = -1
"""In the place of the loop's thread while an abandoned handler is stepped: what it sends is dropped."""

OUTSIDE: Final = -3
"""In the place of the loop's thread while a job runs in it as if in a thread of its own."""

NO_THREAD: Final = -2
"""The thread of a home whose loop is gone."""


class ReadyQueue(Protocol):
    """What may stand in the place of the deque: a seeded order of ready actors, in simulation."""

    def append(self, cell: Any, /) -> None: ...
    def popleft(self) -> Any: ...
    def __len__(self) -> int: ...


class Callback(Protocol):
    """What asyncio code has called when a request of it is done (`request.Callback`)."""

    def call(self) -> None: ...


class Observer(Protocol):
    """What simulation, or a watch over handlers, hangs into a system; else None, at the price of one test.

    Messages are seen where they are sent by the mailboxes that `on_spawn` may put in
    (`mailbox.replace`), and where they are handled by `on_deliver`, which returns what handles the
    message in fact; `on_call` makes the *call* that has one handled in a child process.
    """

    def on_spawn(self, cell: Any, parent: Any) -> None: ...
    def on_deliver(
        self, cell: Any, message: Any, request: Any, receive: Callable[[Any], Any]
    ) -> Callable[[Any], Any]: ...
    def on_call(
        self, cell: Any, message: Any, context: Context, call: Callable[[], Any], /
    ) -> Any: ...
    def may_handle_now(self) -> bool: ...
    def on_signal(self, target: Any, sender: Any, reason: Any) -> None: ...
    def on_end(self, cell: Any, reason: Any) -> None: ...


class Home:
    """The actors of one system on one loop. Owned by the loop's thread, but for `post`."""

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
        "end_waiters",
        "ending",
        "fenced_sends",
        "fenced_threads",
        "forked",
        "hashes",
        "home_thread",
        "host",
        "late_replies",
        "live",
        "loop",
        "on_outside",
        "outside",
        "observer",
        "ready",
        "result",
        "runs",
        "thread",
        "zombies",
    )

    def __init__(
        self,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        ready: ReadyQueue | None,
        context: Context,
    ) -> None:
        self.host = host
        self.loop = loop
        self.thread = self.home_thread = get_ident()
        self.ready: ReadyQueue = deque() if ready is None else ready
        self.callbacks: deque[Callback] = getattr(ready, "callbacks", deque[Callback]())
        """What asyncio code has called when its requests are done: after the actors' turns."""
        self.batch: int = getattr(ready, "batch", BATCH)
        self.context = context
        """Every actor's own context begins as a copy of this one."""
        self.current: Any = None
        """The cell whose handler is on the stack of the loop's thread."""
        self.observer: Observer | None = None
        self.drivers: list[Any] = []
        """Drivers that wait for a coroutine (see `task`)."""
        self.result: Any = None
        """What the coroutine returned whose driver has just said DONE."""
        self.live: dict[Any, None] = {}
        """The cells that take messages, in the order of their start. Written by `starting` and
        `lifecycle`; each write is one step, so that another thread may copy it."""
        self.ending: dict[Any, None] = {}
        """Cells that take no more messages, and whose `on_stop` or `on_failure` still runs.
        Written by `lifecycle`."""
        self.zombies: dict[Any, None] = {}
        """What is left of handlers that did not end when told to. Written by `Zombie`."""
        self.end_waiters: dict[Any, list[asyncio.Future[bool]]] = {}
        """The waits for the end of a cell, by cell (`lifecycle.wait_ended`)."""
        self.outside: dict[Any, None] = {}
        """The cells whose handlers wait for something of asyncio's. Written by `task`, and by requests
        that come from tasks in their threads."""
        self.on_outside: Callable[[], None] | None = None
        """Called when there is such a cell, by the first; set again by what is called."""
        self.awake = False
        """Whether `run` is running or on its way."""
        self.closed = False
        self.forked = False
        self.hashes = 0
        """The tasks of messages that have been put into sets, where the loop numbers them (`number_tasks`)."""
        self.late_replies = 0
        self.fenced_sends = 0
        self.fenced_threads: set[int] = set()
        self.runs = 0
        self._inbox: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._signalled = False

    # -- from anywhere -------------------------------------------------------------------------

    def post(self, fn: Callable[..., Any], *args: Any) -> bool:
        """Have ``fn(*args)`` called on the loop's thread, in the order of the posts of a thread.

        Return False when the loop is closed, so that its caller does not wait for what cannot happen.
        """
        if self.forked:
            raise ForkedSystem(self.host.name)
        if self.closed:
            return False
        self._inbox.append((fn, args))
        if not self._signalled:
            # Set before the call: the loop clears it before it drains, so no post is overlooked.
            self._signalled = True
            try:
                self.loop.call_soon_threadsafe(self._drain, context=self.context)
            except RuntimeError:
                self.closed = True
                return False
        return True

    def fenced(self) -> bool:
        """Tell whether this call is made by a handler that was left behind."""
        me = get_ident()
        return me in self.fenced_threads or (self.thread == FENCED and me == self.home_thread)

    def from_outside(self, job: Callable[[], Any]) -> None:
        """Call *job* in the loop's thread as if in another: what it sends is posted, in its order.

        For a pool without threads, so that its jobs take the ways that those of threads take.
        """
        thread, self.thread = self.thread, OUTSIDE
        try:
            job()
        finally:
            self.thread = thread

    def from_inside(self, call: Callable[[], T]) -> T:
        """Return the result of *call*, made as the loop's thread would after what has been posted.

        For a job that `from_outside` runs: it cannot wait for the loop, whose thread it has.
        """
        thread, self.thread = self.thread, self.home_thread
        try:
            while self._inbox:
                self._drain()
            return call()
        finally:
            self.thread = thread

    def is_here(self) -> bool:
        """Tell whether the calling thread is the loop's, so that blocking it would block the loop."""
        me = get_ident()
        return me == self.thread or (self.thread == OUTSIDE and me == self.home_thread)

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
                self.loop.call_soon(self._drain, context=self.context)

    def close(self) -> None:
        """Do what has been posted, and take nothing more; on the loop's thread."""
        self.closed = True
        while self._inbox:
            self._drain()

    def cut_off(self) -> None:
        """The loop is gone: no thread is this home's any more, whatever number it is given."""
        self.closed = True
        self.thread = self.home_thread = NO_THREAD

    def enter_outside(self, cell: Any) -> None:
        """The handler of *cell*, in a thread, waits for something of its loop's, which may have asked."""
        self.outside[cell] = None
        if self.on_outside is not None:
            self.on_outside()

    # -- on the loop's thread ------------------------------------------------------------------

    def enqueue(self, cell: Any) -> None:
        """Put *cell* into the ready queue, and have the queue drained."""
        cell._state = QUEUED
        self.ready.append(cell)
        if not self.awake:
            self.awake = True
            self.loop.call_soon(self.run, context=self.context)

    def wake(self) -> None:
        """Have the queue drained by the loop."""
        self.awake = True
        self.loop.call_soon(self.run, context=self.context)

    def call_aside(
        self, delay_s: float, fn: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        """Have ``fn(*args)`` called in *delay_s* seconds: a look, which a simulated run does not wait for."""
        later: Callable[..., asyncio.TimerHandle] = getattr(
            self.loop, "call_aside", self.loop.call_later
        )
        return later(delay_s, fn, *args)

    def call_back(self, callback: Callback) -> None:
        """Have *callback* called on the loop's thread, once no actor is ready."""
        self.callbacks.append(callback)
        if not self.awake:
            self.wake()

    def run(self) -> None:
        """Give ready actors their turns: `Scheduler.run`."""
        raise NotImplementedError

    def handle_now(self, cell: Any, message: Any) -> bool:
        """Let an idle actor handle *message* inside another's turn: `Scheduler.handle_now`."""
        raise NotImplementedError

    def announce_end(self, cell: Any, reason: Any, ext: Any, /) -> None:
        """Send what the end of *cell* causes: `exit_signals.announce_end`."""
        raise NotImplementedError


class _NotStarted:
    """The home of an actor that was constructed and never started: nothing runs it."""

    thread = home_thread = NO_THREAD
    host = None
    forked = False

    def post(self, *_: Any) -> bool:
        """Refuse."""
        return False

    post_or_call = post

    def fenced(self) -> bool:
        """Return False: no handler of it can have been left behind."""
        return False


NOT_STARTED: Any = _NotStarted()


__all__ = [
    "BATCH",
    "CHECK_EVERY",
    "FENCED",
    "NOT_STARTED",
    "NO_THREAD",
    "SLICE_S",
    "Callback",
    "Home",
    "Observer",
    "ReadyQueue",
]
