# pyright: reportPrivateUsage=false
"""How an actor's coroutine is run: a step at a time, as what asyncio sees as the current task.

The ready queue of the system drives coroutines itself, which costs a fifth of an asyncio task. But
`asyncio.timeout`, `TaskGroup`, anyio's cancel scopes and many libraries ask for the current task
and call it. asyncio documents hooks for tasks of third parties (``_enter_task``, ``_leave_task``,
"Extending asyncio"); `ActorTask` is what we enter: an object with a task's interface.

One `ActorTask` stands for the handling of one message, as a task would. It serves for the actor's
next message too if nobody has kept it, which only a count of its references can tell; so ``done()``
and callbacks mean what they say to those who did.

A coroutine that is driven by hand tells its result by raising StopIteration, which costs as much as
running it. Below a ``yield from`` nothing is raised: so a handler's coroutine is sent into a driver,
a generator that yields `DONE` where the coroutine returns; whatever the coroutine yields comes
through as if the driver were not there. A driver runs one coroutine after another.

`step` is one step off the fast path. `Scheduler.run` has the same few lines twice, for a handler's
first step and for its next ones, because there every message would pay for the call.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Final, Protocol

from .home import FENCED, Home
from .phase import DOOMED, PARKED, RUNNING, ZOMBIE

if sys.version_info >= (3, 12):
    from asyncio.tasks import _swap_current_task as swap_task
else:
    _current_tasks: dict[Any, Any] = vars(asyncio.tasks)["_current_tasks"]

    def swap_task(loop: asyncio.AbstractEventLoop, task: Any) -> Any:
        """Make *task* the loop's current task (None: no task) and return the one before.

        In asyncio's own table: by its functions for entering and leaving it takes four calls.
        """
        before = _current_tasks.pop(loop, None)
        if task is not None:
            _current_tasks[loop] = task
        return before


class Driven(Protocol):
    """Whose handler it is: a `Cell`, or a `Zombie`."""

    _sched: Any
    _coro: Any
    _awaits: Any
    _context: Context | None

    @property
    def label(self) -> str: ...
    def _resume(self) -> None: ...
    def _resume_now(self) -> None: ...
    def _reply_ready(self, request: Any, /) -> None: ...


class ActorTask:
    """The handling of one message by an actor, with the interface of an `asyncio.Task`.

    Owned by the loop thread of the actor's system.
    """

    # Class attributes as defaults, not slots: one is made for each message to an asynchronous
    # handler, and most of them are never touched.
    _asyncio_future_blocking = False
    _fut_waiter: Any = None
    _must_cancel = False
    _num_cancels = 0
    _cancel_message: Any = None
    _wrong_await: Exception | None = None
    _callbacks: list[tuple[Callable[[Any], object], Context | None]] | None = None
    _done = False
    work_cancelled = False
    """Whether the asker has withdrawn the message that is being handled."""

    _cell: Driven
    """Set right after the making: a constructor call would double the price."""

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = self._cell._sched.loop
        return loop

    def __repr__(self) -> str:
        return f"<ActorTask {self.get_name()} {'done' if self._done else 'pending'}>"

    # -- cancellation --------------------------------------------------------------------------

    def cancel(self, msg: Any | None = None) -> bool:
        """Raise CancelledError in the handler at its await, as `asyncio.Task.cancel` does."""
        if self._done:
            return False
        self._num_cancels += 1
        waiter = self._fut_waiter
        if waiter is not None and waiter.cancel(msg=msg):
            return True
        self._must_cancel = True
        self._cancel_message = msg
        self._cell._resume()
        return True

    def cancelling(self) -> int:
        """Return the number of cancellations requested and not taken back."""
        return self._num_cancels

    def uncancel(self) -> int:
        """Take one cancellation back, as `asyncio.Task.uncancel` does."""
        if self._num_cancels > 0:
            self._num_cancels -= 1
            if self._num_cancels == 0 and sys.version_info >= (3, 13):
                self._must_cancel = False
        return self._num_cancels

    def _cancelled_error(self) -> BaseException:
        self._must_cancel = False
        if self._wrong_await is not None:
            error, self._wrong_await = self._wrong_await, None
            return error
        message, self._cancel_message = self._cancel_message, None
        return asyncio.CancelledError() if message is None else asyncio.CancelledError(message)

    # -- the rest of a task's interface --------------------------------------------------------

    def done(self) -> bool:
        """Whether the handler has finished."""
        return self._done

    def cancelled(self) -> bool:
        """Return False: a cancelled handler ends its actor or its message, and is then `done`."""
        return False

    def get_coro(self) -> Any:
        """Return the coroutine of the handler that is running."""
        return self._cell._coro

    def get_context(self) -> Context | None:
        """Return the context that the actor's handlers run in."""
        return self._cell._context

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the actor's system."""
        return self._loop

    def get_name(self) -> str:
        """Return the actor's name."""
        return self._cell.label

    def get_stack(self, *, limit: int | None = None) -> list[Any]:
        """Return the frame of the suspended handler, if any."""
        frame = getattr(self._cell._coro, "cr_frame", None)
        return [] if frame is None else [frame]

    def add_done_callback(
        self, fn: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Call ``fn(task)`` soon after the handler has finished."""
        if self._done:
            self._loop.call_soon(fn, self, context=context)
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append((fn, context))

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        """Forget *fn* and return how often it was there."""
        before = self._callbacks or []
        self._callbacks = [entry for entry in before if entry[0] != fn]
        return len(before) - len(self._callbacks)

    # -- the kernel's side ---------------------------------------------------------------------

    def _wakeup(self, _future: Any) -> None:
        """Called by the loop when the future that the handler awaits is done."""
        self._fut_waiter = None
        cell = self._cell
        cell._sched.outside.pop(cell, None)
        cell._resume_now()

    def _finish(self) -> None:
        """The handler has ended. This task may be held by others: it stays done."""
        self._done = True
        callbacks = self._callbacks
        if callbacks:
            self._callbacks = None
            for fn, context in callbacks:
                self._loop.call_soon(fn, self, context=context)


# -- steps -----------------------------------------------------------------------------------------

OWN_AWAITABLES: Final[set[type]] = set()
"""What parks a handler without asyncio, by exact class; each class enters itself."""

DONE: Final = object()
"""What a driver yields when the coroutine in it has returned."""


@types.coroutine
def _drive(home: Home) -> Generator[Any, Any, None]:
    coro = yield
    while True:
        home.result = yield from coro
        coro = yield DONE


def new_driver(home: Home) -> Any:
    """Return a driver that waits for its first coroutine."""
    driver: Any = _drive(home)
    driver.send(None)
    return driver


def new_task(cell: Any) -> ActorTask:
    """Return the task that asyncio sees while *cell* handles a message."""
    task = ActorTask()
    task._cell = cell
    return task


def step(home: Home, cell: Any) -> tuple[Any, BaseException | None] | None:
    """Resume the coroutine of *cell* once. Return its result and its error, or None if it is parked."""
    cell._state = RUNNING
    coro = cell._driver or cell._coro
    task = cell._task
    before, home.current = home.current, cell
    task_before = swap_task(home.loop, task)
    thread = home.thread
    if cell._phase & ZOMBIE:
        # Sends from here take the slow path, which drops and counts what a fenced handler sends.
        home.thread = FENCED
    error: BaseException | None = None
    value = yielded = None
    parked = False
    try:
        if task._must_cancel:
            yielded = cell._context.run(coro.throw, task._cancelled_error())
        else:
            yielded = cell._context.run(coro.send, None)
        parked = True
    except StopIteration as stop:
        value = stop.value
    except BaseException as caught:
        error = caught
    finally:
        home.thread = thread
        swap_task(home.loop, task_before)
        home.current = before
    if parked:
        if yielded is not DONE:
            park(home, cell, task, yielded)
            return None
        value, home.result = home.result, None
        home.drivers.append(coro)
    cell._coro = cell._driver = None
    task._finish()
    return value, error


def park(home: Home, cell: Any, task: ActorTask, yielded: Any) -> None:
    """Suspend the handler on what it yielded: a request, a bare yield, or asyncio's future."""
    cell._state = PARKED
    if type(yielded) in OWN_AWAITABLES:
        if task._must_cancel or cell._phase & DOOMED:
            home.enqueue(cell)
        return
    if yielded is None:
        home.enqueue(cell)
        return
    blocking = getattr(yielded, "_asyncio_future_blocking", None)
    if not blocking:
        refuse_await(
            home,
            cell,
            TypeError(
                f"A handler of {cell.label} awaited {yielded!r}, which is not an asyncio "
                "awaitable. Await coroutines, asyncio futures and tasks, or requests."
            ),
        )
        return
    yielded._asyncio_future_blocking = False
    get_loop = getattr(yielded, "get_loop", None)
    if get_loop is not None and get_loop() is not home.loop:
        # That loop's thread would call the handler back.
        refuse_await(
            home,
            cell,
            RuntimeError(
                f"A handler of {cell.label} awaited {yielded!r}, which belongs to another event "
                "loop. Let that loop tell it: "
                "asyncio.wrap_future(asyncio.run_coroutine_threadsafe(..., loop))."
            ),
        )
        return
    # In a context of its own: the wake-up runs handlers, each in theirs, and none can be entered twice.
    yielded.add_done_callback(task._wakeup, context=home.context)
    task._fut_waiter = yielded
    home.outside[cell] = None
    if home.on_outside is not None:
        home.on_outside()
    if task._must_cancel and yielded.cancel(msg=task._cancel_message):
        task._must_cancel = False
    if cell._phase & DOOMED:
        home.enqueue(cell)


def refuse_await(home: Home, cell: Any, error: Exception) -> None:
    """Raise *error* in the handler of *cell*, at the await that cannot be."""
    task = cell._task
    task._must_cancel = True
    task._wrong_await = error
    home.enqueue(cell)
