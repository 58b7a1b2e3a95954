"""Messages that carry the context variables of their sender, and the context that each is handled in.

A message of a class that `CARRIES` (see `request.KINDS`) is handled in the context that it has in
``variables``: the scheduler, a worker's job and `handle_now` enter that in the place of the actor's
own, from the handler's first step to its last. What is sent to agents is of such a class (`Work`);
anything else is put into one by `with_context`. Other messages pay nothing for it.

Two contexts lost: one for all handlers of an actor, where its senders are many, so that a trace or a
user's identity stays behind; and the sender's own context instead of a copy, which a second handler
could not enter while the sender is in it, and into which handlers would write.
"""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from .current import current_host
from .in_hand import Returned
from .request import CARRIES, KINDS, WRAPS

if TYPE_CHECKING:
    from .home import Home


class Carrier:
    """Base of the messages that carry the context they are handled in."""

    __slots__ = ("variables",)

    variables: Any
    """A `Context` that nothing else enters; None once the message is handled, or a dead letter."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        KINDS[cls] = CARRIES

    def as_letter(self) -> Any:
        """Return what is kept of this in a dead letter: nothing of the context, for nothing handles it."""
        raise NotImplementedError


class Carried(Carrier):
    """A message and the context that its handler is to see; made by `with_context`."""

    # No constructor: `with_context` sets the slots for half its price.
    __slots__ = ("message",)

    message: Any

    def as_letter(self) -> Any:
        return self.message

    def __repr__(self) -> str:
        return f"with_context({self.message!r})"


def with_context(message: Any, context: Context | None = None) -> Any:
    """Return *message* to be sent such that its handler sees the context variables of this place.

    ``ref.tell(with_context(message))``, and the same for `request`, `ask` and `send`. The handler
    gets *message* itself. What it sets stays in a copy: neither the sender nor the actor's next
    message sees it. *context* stands in the place of the current one. An agent's messages carry the
    sender's context anyway; for them it is of use with a *context*.
    """
    carried = Carried()
    carried.message = message
    carried.variables = copy_context() if context is None else context
    return carried


KINDS[Carried] = WRAPS


def unwrap_carried(message: Any) -> Any:
    """Return the message that was put into `with_context`, or *message* itself."""
    return message.message if type(message) is Carried else message


def take_variables(message: Any) -> Context:
    """Return the context that *message* `CARRIES`, once: an error that is kept may hold the message."""
    context: Context = message.variables
    message.variables = None
    return context


def opened(message: Any, home: Home, own: Context) -> Context:
    """Return the context that *message*, which is `SPECIAL`, is handled in: *own* if it carries none.

    A copy of what it carries, because it may have been sent to several actors. The handler belongs
    to its actor's system, whichever its sender belonged to.
    """
    if type(message) is Carried:
        return handled_in(message.variables, home.host)
    if type(message) is Returned:
        begun: Context = message.variables
        return begun
    return own


def handled_in(context: Context, host: Any) -> Context:
    """Return a copy of *context* in which a handler of an actor of *host* can run."""
    copy = context.copy()
    if current_host not in copy or copy[current_host] is not host:
        copy.run(current_host.set, host)
    return copy


__all__ = [
    "Carried",
    "Carrier",
    "handled_in",
    "opened",
    "take_variables",
    "unwrap_carried",
    "with_context",
]
