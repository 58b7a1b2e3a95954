"""How an answer reaches the one who waits for it."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

__all__ = ["Outcome", "own"]

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


class Outcome(Generic[T]):
    """A future, and the callback that settles it. A waiter that has gone is left alone."""

    __slots__ = ("future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[T] = loop.create_future()

    def set(self, result: T, error: BaseException | None) -> None:
        """Settle the future. On the loop."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(own(error))


def own(error: E) -> E:
    """Return a copy of *error* for one waiter: one object raised in many tasks would mix their
    tracebacks."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy
