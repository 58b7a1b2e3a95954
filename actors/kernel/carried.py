"""Messages that carry the context variables of their sender, where that is asked for.

An actor's handlers run in the actor's own context, because its senders are many. A trace, a
request's identity or a deadline that lives in context variables stays behind then, unless the sender
says ``ref.tell(with_context(message))``. Other messages pay nothing for it: a carried one is told
apart by its class, as pykka's own messages are.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import CoroutineType
from typing import Any

from .current import enter_host, host_here


class Carried:
    """A message and the context that its handler is to see; made by `with_context`."""

    __slots__ = ("context", "message")

    def __init__(self, message: Any, context: Context) -> None:
        self.message = message
        self.context = context

    def __repr__(self) -> str:
        return f"with_context({self.message!r})"


def with_context(message: Any, context: Context | None = None) -> Any:
    """Return *message* to be sent such that its handler sees the context variables of this place.

    ``ref.tell(with_context(message))``, and the same for `request`, `ask` and `send`. The handler
    gets *message* itself. What it sets stays in a copy: neither the sender nor the actor's next
    message sees it. *context* stands in the place of the current one.
    """
    return Carried(message, copy_context() if context is None else context)


def receive_carried(carried: Carried, receive: Callable[[Any], Any]) -> Any:
    """Return what *receive* makes of the message, run in a copy of its context."""
    host = host_here()
    context = carried.context.copy()
    # The handler belongs to its actor's system, whichever its sender belonged to.
    context.run(enter_host, host)
    result = context.run(receive, carried.message)
    return _in_context(context, result) if result.__class__ is CoroutineType else result


async def _in_context(context: Context, coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await _steps(context, coroutine)


@types.coroutine
def _steps(context: Context, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run *coroutine* with each of its steps in *context*."""
    error: BaseException | None = None
    value: Any = None
    while True:
        try:
            if error is None:
                yielded = context.run(coroutine.send, value)
            else:
                thrown, error = error, None
                yielded = context.run(coroutine.throw, thrown)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield yielded
        except GeneratorExit:
            context.run(coroutine.close)
            raise
        except BaseException as caught:
            error = caught
