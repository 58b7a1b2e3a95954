"""A message whose handling began inside another actor's turn, and goes on in its actor's own."""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import Context
from typing import Any


class Raised:
    """What a handler raised inside another actor's turn; to be raised again in its own."""

    __slots__ = ("_error", "message")

    def __init__(self, message: Any, error: BaseException) -> None:
        self.message = message
        self._error: BaseException | None = error

    def take(self) -> BaseException:
        """Return the error, once: a frame that raises it must not hold it through this."""
        error, self._error = self._error, None
        assert error is not None, "it is raised once"
        return error

    def drop(self) -> None:
        """Forget the error: its actor has ended before its turn came."""
        self._error = None


class Returned:
    """The coroutine that a handler returned inside another actor's turn; it runs in its own turns,
    and in *variables*, the context that it was made in."""

    __slots__ = ("message", "variables", "work")

    def __init__(self, message: Any, work: Coroutine[Any, Any, Any], variables: Context) -> None:
        self.message = message
        self.work = work
        self.variables = variables

    def drop(self) -> None:
        """End the coroutine, which has not begun."""
        self.work.close()


IN_HAND = (Raised, Returned)
