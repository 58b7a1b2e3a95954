"""An error that waits for the turn of the actor whose handler raised it."""

from __future__ import annotations

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
