"""The messages of supervisors that are no part of their public protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import ActorRef

if TYPE_CHECKING:
    from ..supervisors.supervised_child import SupervisedChild
    from .child import Child


class TryAgain:
    """To itself: a restart failed; try it again, after whatever waits in the mailbox now.

    *key* is the child's id where children have ids; *child* its record where they have none.
    """

    __slots__ = ("child", "key")

    def __init__(self, key: Any, child: Child | None = None) -> None:
        self.key = key
        self.child = child


class BackoffOver:
    """To itself: the delay before a restart, which has been counted and allowed, is over."""

    __slots__ = ("child",)

    def __init__(self, child: Child) -> None:
        self.child = child


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
class AddChild:
    """Start a child that has been added to a running `AgentSupervisor`."""

    child: SupervisedChild


@dataclass(frozen=True, slots=True)
class RemoveChild:
    """Stop and forget a child of an `AgentSupervisor`."""

    child: SupervisedChild


class Decision:
    """A failed child's fate while its failure handler thinks; `cancel` makes it void."""

    __slots__ = ("child", "void")

    def __init__(self, child: Child) -> None:
        self.child = child
        self.void = False

    def cancel(self) -> None:
        self.void = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """To itself, from the actor that ran a failure handler: whether the child may be restarted.

    *error* is what the handler raised, if it did.
    """

    decision: Decision
    allowed: bool
    error: BaseException | None = None
