# pyright: reportPrivateUsage=false
"""How a coroutine is run a step at a time, and how it is parked on what it awaits.

A coroutine that is driven by hand tells its result by raising StopIteration, which costs as much as
running it. Below a ``yield from`` nothing is raised: so a handler's coroutine is sent into a driver,
a generator that yields `DONE` where the coroutine returns; whatever the coroutine yields comes
through as if the driver were not there. A driver runs one coroutine after another.

`step` is one step off the fast path. `Scheduler.run` has the same few lines twice, for a handler's
first step and for its next ones, because there a call for each costs 70 ns of a message's 600.
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Any, Final

from .home import FENCED, Home
from .phase import DOOMED, PARKED, RUNNING, ZOMBIE
from .request import Gathering, Request
from .task import ActorTask, swap_task

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
    if isinstance(yielded, Request | Gathering):
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


__all__ = ["DONE", "new_driver", "new_task", "park", "step"]
