"""The messages that the kernel itself puts into mailboxes, and those it keeps for others to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .kernel.links import Monitor
    from .ref import ActorRef


@dataclass(slots=True)
class Exit:
    """An exit signal that reached an actor which traps exits: *ref* ended with *reason*."""

    ref: ActorRef[Any] | None
    reason: Any


@dataclass(slots=True)
class Down:
    """A monitored actor is gone: *ref* ended with *reason* (``noproc``: it was dead already)."""

    ref: ActorRef[Any]
    reason: Any
    monitor: Monitor | None = None


@dataclass(slots=True)
class ReceiveTimeout:
    """No message came for *after_s* seconds (see `Actor.set_receive_timeout`)."""

    after_s: float


@dataclass(slots=True)
class PipedFailure:
    """The awaitable given to `Actor.pipe_to` failed with *error*."""

    error: BaseException


@dataclass(slots=True)
class DeadLetter:
    """A message that no actor handled: what it was, for whom, and why not."""

    message: Any
    recipient: str
    reason: Any


@dataclass(slots=True)
class ActorEnded:
    """An event: the actor *ref* has ended with *reason*."""

    ref: ActorRef[Any]
    reason: Any
