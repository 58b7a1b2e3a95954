# pyright: reportPrivateUsage=false
"""How an actor's coroutine is run: a step at a time, as what asyncio sees as the current task.

The ready queue of the system drives coroutines itself, which costs a fifth of an asyncio task. But
`asyncio.timeout`, `TaskGroup`, anyio's cancel scopes and many libraries ask for the current task
and call it. asyncio documents hooks for tasks of third parties (``_enter_task``, ``_leave_task``,
"Extending asyncio"); `ActorTask` is what we enter: an object with a task's interface.

One `ActorTask` stands for the handling of one message, as a task would. It serves for the actor's
next message too if it was neither kept nor changed, which only the counts of its references, the weak
ones too, can tell (`UNSHARED`); so ``done()``, callbacks, and a `WeakKeyDictionary` by task, mean what
they say.

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
from asyncio import InvalidStateError, base_tasks
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from typing import Any, Final, Protocol, cast

from ..looks import frames_of, shown
from .home import FENCED, Home
from .phase import DOOMED, PARKED, RUNNING, YIELDED, ZOMBIE

if sys.version_info >= (3, 13):  # in 3.12 it raises where no task is current
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


UNSHARED: Final = 5 if sys.version_info < (3, 14) else -1
"""References to the task of a message in `Scheduler.run` if it serves for the next message too: two
local variables, the actor's, asyncio's, and the argument of the count. From 3.14 on, counts do not tell
(borrowed)."""


class Driven(Protocol):
    """Whose handler it is: a `Cell`, or a `Zombie`."""

    _sched: Any
    _coro: Any
    _awaits: Any
    _context: Context | None
    _state: int

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
    _callbacks: list[tuple[Callable[[Any], object], Context]] | None = None
    _name: str | None = None
    _hash: int | None = None
    _changed: ActorTask | None = None
    """Itself once it has been cancelled, named, or given a callback: so the count of its references says
    that it cannot serve for another message."""
    _done = False
    _result: Any = None
    _exception: BaseException | None = None
    _traceback: types.TracebackType | None = None
    _ended: tuple[Any, Context | None] = (None, None)
    """The coroutine and the context of the message that is done."""
    work_cancelled = False
    """Whether the asker has withdrawn the message that is being handled."""

    _cell: Driven
    """Set right after the making: a constructor call would double the price."""

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = self._cell._sched.loop
        return loop

    def __repr__(self) -> str:
        state = "pending" if not self._done else "cancelled" if self.cancelled() else "done"
        return f"<ActorTask {self.get_name()} {state}>"

    # By its address, unless `number_tasks` has been called: anyio puts the task into sets and looks it
    # up fifty times for each part of an answer that is streamed.
    __hash__ = object.__hash__

    # -- cancellation --------------------------------------------------------------------------

    def cancel(self, msg: Any | None = None) -> bool:
        """Raise CancelledError in the handler at its await, as `asyncio.Task.cancel` does."""
        if self._done:
            return False
        self._changed = self
        self._num_cancels += 1
        waiter = self._fut_waiter
        if waiter is not None and waiter.cancel(msg=msg):
            return True
        self._must_cancel = True
        self._cancel_message = msg
        if waiter is None:
            self._cell._resume()  # else its future is done, and will
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
        self._fut_waiter = None
        if self._wrong_await is not None:
            error, self._wrong_await = self._wrong_await, None
            return error
        message, self._cancel_message = self._cancel_message, None
        return asyncio.CancelledError() if message is None else asyncio.CancelledError(message)

    # -- its outcome, as that of any future --------------------------------------------------------

    def done(self) -> bool:
        """Whether the handler has finished."""
        return self._done

    def cancelled(self) -> bool:
        """Whether the handler has ended by being cancelled."""
        return isinstance(self._exception, asyncio.CancelledError)

    def result(self) -> Any:
        """Return what the handler has returned, or raise what it raised."""
        if not self._done:
            raise InvalidStateError("Result is not set.")
        if self._exception is not None:
            if self._traceback is None:
                self._traceback = frames_of(self._exception)
            try:
                raise self._exception.with_traceback(self._traceback)
            finally:
                del self  # the error holds this frame
        return self._result

    def exception(self) -> BaseException | None:
        """Return what the handler raised, or None; raise CancelledError if it was cancelled."""
        if not self._done:
            raise InvalidStateError("Exception is not set.")
        if self.cancelled():
            self.result()
        return self._exception

    def _make_cancelled_error(self) -> BaseException:
        """Return what `asyncio.gather` raises of a cancelled task."""
        return self._exception if self._exception is not None else asyncio.CancelledError()

    def add_done_callback(
        self, fn: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Call ``fn(task)`` soon after the handler has finished."""
        if context is None:
            context = copy_context()
        if self._done:
            self._loop.call_soon(fn, self, context=context)
            return
        if self._callbacks is None:
            self._callbacks = []
            self._changed = self
        self._callbacks.append((fn, context))

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        """Forget *fn* and return how often it was there."""
        before = self._callbacks or []
        self._callbacks = [entry for entry in before if entry[0] != fn]
        return len(before) - len(self._callbacks)

    def __await__(self) -> Generator[Any, None, Any]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        if not self._done:
            raise RuntimeError("await wasn't used with future")
        return self.result()

    def set_result(self, _result: Any) -> None:
        """Refuse, as a task does."""
        raise RuntimeError("Task does not support set_result operation")

    def set_exception(self, _exception: BaseException | type[BaseException]) -> None:
        """Refuse, as a task does."""
        raise RuntimeError("Task does not support set_exception operation")

    # -- the rest of a task's interface --------------------------------------------------------

    @property
    def _coro(self) -> Any:
        return self._ended[0] if self._done else self._cell._coro

    def get_coro(self) -> Any:
        """Return the coroutine of the handler."""
        return self._coro

    def get_context(self) -> Context | None:
        """Return the context that the handler runs in."""
        return self._ended[1] if self._done else self._cell._context

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the actor's system."""
        return self._loop

    def get_name(self) -> str:
        """Return the name that was set, or the actor's."""
        return self._name or self._cell.label

    def set_name(self, value: object) -> None:
        """Give it another name than the actor's while it handles this message."""
        self._changed = self
        self._name = str(value)

    def get_stack(self, *, limit: int | None = None) -> list[Any]:
        """Return the frame of the suspended handler, or those of the error that it ended with."""
        frames: list[Any] = base_tasks._task_get_stack(cast(Any, self), limit)
        return frames

    def print_stack(self, *, limit: int | None = None, file: Any = None) -> None:
        """Print what `get_stack` returns, as a traceback."""
        base_tasks._task_print_stack(cast(Any, self), limit, file)

    # -- the kernel's side ---------------------------------------------------------------------

    def _wakeup(self, future: Any) -> None:
        """Called by the loop when the future that the handler awaits is done."""
        if self._fut_waiter is not future:
            # It was cancelled when the future was done already, and went on without this call. By now
            # it, or the handler of the next message, waits for something else.
            return
        self._fut_waiter = None
        cell = self._cell
        del self  # an error of the handler may hold this frame, and the task the error
        cell._sched.outside.pop(cell, None)
        cell._resume_now()

    def _turn_came(self) -> None:
        """Called by the loop in the turn that the handler has given it."""
        cell = self._cell
        del self  # as above
        if cell._state == YIELDED:
            cell._state = PARKED
            cell._resume_now()

    def _finish(self, result: Any = None, error: BaseException | None = None) -> None:
        """The handler has ended. This task may be held by others: it stays done."""
        self._ended = (self._cell._coro, self._cell._context)
        self._result = result
        self._exception = error
        self._done = True
        self._changed = None
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


def number_tasks() -> None:
    """Let the tasks of loops that number theirs (``numbers_tasks``) have hashes that repeat.

    In a simulation the order of a set would be another in every run. The hashes of all others stay what
    they are, so that this may be called while they are in use.
    """
    ActorTask.__hash__ = _numbered  # type: ignore[assignment]


def _numbered(task: ActorTask) -> int:
    number = task._hash
    if number is None:
        home = task._cell._sched
        if not getattr(home.loop, "numbers_tasks", False):
            return object.__hash__(task)
        number = task._hash = home.hashes = home.hashes + 1
    return number


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
        if task._must_cancel:
            error = task._cancelled_error()
    task._finish(value, error)
    cell._coro = cell._driver = None
    try:
        return value, error
    finally:
        del error, task  # the error may hold this frame


def park(home: Home, cell: Any, task: ActorTask, yielded: Any) -> None:
    """Suspend the handler on what it yielded: a request, a turn of the loop, or asyncio's future."""
    cell._state = PARKED
    if type(yielded) in OWN_AWAITABLES:
        if task._must_cancel or cell._phase & DOOMED:
            home.enqueue(cell)
        return
    if yielded is None:
        # A bare yield, such as `asyncio.sleep(0)`: what the loop was given before has its turn first.
        cell._state = YIELDED
        home.loop.call_soon(task._turn_came, context=home.context)
        return
    blocking = getattr(yielded, "_asyncio_future_blocking", None)
    if not blocking:
        refuse_await(
            home,
            cell,
            TypeError(
                f"A handler of {cell.label} awaited {shown(yielded)}, which is not an asyncio "
                "awaitable. Await coroutines, asyncio futures and tasks, or requests."
            ),
        )
        return
    yielded._asyncio_future_blocking = False
    if yielded is task:
        error = RuntimeError(f"A handler of {cell.label} awaited its own task, which ends with it.")
        refuse_await(home, cell, error)
        return
    get_loop = getattr(yielded, "get_loop", None)
    if get_loop is not None and get_loop() is not home.loop:
        # That loop's thread would call the handler back.
        refuse_await(
            home,
            cell,
            RuntimeError(
                f"A handler of {cell.label} awaited {shown(yielded)}, which belongs to another event "
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
