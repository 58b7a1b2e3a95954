"""What an actor's own timers and pipes send it: it concerns this incarnation, and no later one."""

from __future__ import annotations

from typing import Any, Final

from .request import KINDS

OWN: Final = 8
"""The kind of an `SelfSent` in a mailbox (see `request.KINDS`)."""


class SelfSent:
    """A message to an actor whose mailbox goes to its next incarnation; this one does not."""

    __slots__ = ("message",)

    def __init__(self, message: Any) -> None:
        self.message = message

    def __repr__(self) -> str:
        return f"SelfSent({self.message!r})"


KINDS[SelfSent] = OWN


def self_sent(ext: Any, message: Any) -> Any:
    """Return what goes into the mailbox of the actor with *ext* for *message* of its own."""
    if ext is None or ext.mailbox_to is None:
        return message
    return SelfSent(message)
