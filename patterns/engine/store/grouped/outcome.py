"""The ways of an answer to the code that waits for it, on its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Outcome", "call_on", "own", "settle"]

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


class Outcome(Generic[T]):
    """A future, and the callback that settles it."""

    __slots__ = ("future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[T] = loop.create_future()

    def set(self, result: T, error: BaseException | None) -> None:
        """Settle the future. On the loop."""
        settle(self.future, result, None if error is None else own(error))


def settle(future: asyncio.Future[T], result: T, error: BaseException | None) -> None:
    """Settle *future*, unless its waiter has been cancelled."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def call_on(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
    """Have `function(*args)` called on another thread's loop, if that still runs."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        pass  # The loop is closed: nothing waits there any more.


def own(error: E) -> E:
    """Return a copy of *error* for one waiter: one object raised in many tasks would mix their
    tracebacks."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy
