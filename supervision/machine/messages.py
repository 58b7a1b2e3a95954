"""The messages of supervisors that are not part of their public protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agenticaiframework.actors import ActorRef

from .child import Child, CoolDown, Decision


class TryAgain:
    """To itself: a restart failed; try it again, after whatever waits in the mailbox now."""

    __slots__ = ("child",)

    def __init__(self, child: Child) -> None:
        self.child = child


class BackoffOver:
    """To itself: the delay before a restart, which has been counted and allowed, is over."""

    __slots__ = ("child",)

    def __init__(self, child: Child) -> None:
        self.child = child


class CoolDownOver:
    """To itself: the time of *cool_down* has come, unless it has been put away."""

    __slots__ = ("cool_down",)

    def __init__(self, cool_down: CoolDown) -> None:
        self.cool_down = cool_down


@dataclass(frozen=True, slots=True)
class Ready:
    """Answered once the supervisor has started; fails if it does not."""


@dataclass(frozen=True, slots=True)
class StopSupervisor:
    """Stop the children, and end with *reason*."""

    reason: Any


@dataclass(frozen=True, slots=True)
class StopChild:
    """Stop the child whose process is *ref*, whatever its id."""

    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """To itself, from the actor that ran a failure handler: whether the child may be restarted.

    *error* is what the handler raised, if it did.
    """

    decision: Decision
    allowed: bool
    error: BaseException | None = None
