"""The messages that the kernel itself puts into mailboxes, and those it keeps for others to read.

A *ref* in them is the `ActorRef` of an actor of ours, or that of a plain pykka actor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Monitor:
    """One watch of *watcher* over *target*; `Actor.demonitor` takes it."""

    __slots__ = ("request", "target", "watcher")

    def __init__(self, watcher: Any, target: Any, request: Any = None) -> None:
        self.watcher = watcher
        self.target = target
        self.request = request
        """Answered with the reason instead of a `Down` message (`Actor.wait_down`)."""

    def __repr__(self) -> str:
        return f"<Monitor of {self.target} by {self.watcher}>"


@dataclass(slots=True)
class Exit:
    """An exit signal that reached an actor which traps exits: *ref* ended with *reason*."""

    ref: Any
    reason: Any


@dataclass(slots=True)
class Down:
    """A monitored actor is gone: *ref* ended with *reason* (``noproc``: it was dead already)."""

    ref: Any
    reason: Any
    monitor: Monitor | None = None


@dataclass(slots=True)
class ReceiveTimeout:
    """No message came for *after_s* seconds (see `Actor.set_receive_timeout`)."""

    after_s: float


class OwnMessage:
    """The base of messages that concern only the incarnation that they were sent to."""

    __slots__ = ()


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

    ref: Any
    reason: Any
