"""What an actor is doing, as data: for people, metrics and the observer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import check_ref
from ..kernel.look import look
from ..ref import ActorRef


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """One look at an actor. *state* is ``starting``, ``idle``, ``ready``, ``running``, ``waiting``
    (its handler awaits something), ``suspended``, ``cancelling``, ``stopping`` or ``dead``.

    *busy_s* is the time in the current message or hook, to about a millisecond; None if there is none.
    Of an agent that handles several messages at once, *busy* is how many it handles now, at most
    *concurrency*, and *mailbox_length* what waits beside them; None of other actors.
    """

    ref: ActorRef[Any]
    name: str | None
    state: str
    dispatcher: str
    incarnation: int
    mailbox_length: int
    handled: int
    current_message: Any
    busy_s: float | None
    parent: ActorRef[Any] | None
    links: tuple[Any, ...]
    monitors: tuple[Any, ...]
    monitored_by: tuple[Any, ...]
    trap_exit: bool
    timers: int
    exit_reason: Any
    busy: int | None = None
    concurrency: int | None = None


def inspect_actor(ref: ActorRef[Any]) -> ActorInfo:
    """Return what the actor of *ref* is doing now; a dead one has the state ``dead``."""
    check_ref("system.info", ref)
    return ActorInfo(**look(ref))
