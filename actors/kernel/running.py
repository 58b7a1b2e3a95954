# pyright: reportPrivateUsage=false
"""Whose handler runs here: what gives a signal its sender, in a loop's thread and in a worker's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import partial
from threading import get_ident
from typing import Any, ParamSpec, TypeVar

from ..errors import ActorDied, SystemStopped
from .cell import Cell
from .current import host_here
from .here import HERE
from .home import NOT_STARTED, Home

P = ParamSpec("P")
T = TypeVar("T")


def running_here() -> Any:
    """Return the ref of the actor whose handler makes this call, in any system; None outside of one."""
    if HERE.cell is not None:
        return HERE.cell
    host = host_here()
    if host is None:
        return None
    home: Home = host.scheduler
    return home.current if home.thread == get_ident() else None


def refuse_abandoned(cell: Cell) -> None:
    """Raise `ActorDied` in a handler that was left behind: *cell* has ended, or runs another."""
    if cell._sched.fenced():
        raise ActorDied(cell, cell._reason or "abandoned")


def on_loop(cell: Cell, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return ``fn(*args)``, called in the thread that owns the state of *cell*.

    From a handler in a worker's thread that is a trip to the loop and back, in the order of what that
    handler sends. Raises `ActorDied` in a handler that was left behind, and `SystemStopped` if the
    loop is gone.
    """
    home = cell._sched
    if get_ident() == home.thread or home is NOT_STARTED:
        return fn(*args, **kwargs)
    refuse_abandoned(cell)
    return in_home(home, fn, *args, **kwargs)


def in_home(home: Home, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return ``fn(*args)``, called in the thread of *home* from another one."""
    if home.is_here():
        return home.from_inside(partial(fn, *args, **kwargs))
    result: Future[T] = Future()

    def call() -> None:
        try:
            result.set_result(fn(*args, **kwargs))
        except BaseException as error:
            result.set_exception(error)

    # In a copy of this context: what is started there (a task of `pipe_to`) inherits it as it does here.
    if not home.post(copy_context().run, call):
        raise SystemStopped(home.host.name)
    while not wait([result], 1.0).done:
        if home.closed or home.loop.is_closed():
            raise SystemStopped(home.host.name)
    return result.result()
