"""Which agent an actor stands for, and whether it handles the messages itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .agent_actor import AgentActor
from .agent_pool import AgentPool
from .pooled_actor import PooledActor

if TYPE_CHECKING:
    from ..ref import ActorRef


def agent_name_of(ref: ActorRef[Any]) -> str | None:
    """Return the name of the agent that *ref* is an incarnation of, or the pool; None for other actors."""
    kind = ref.actor_class
    if is_incarnation_in_pool(ref):
        return ref.label.rpartition("[")[0]  # as `AgentPool` calls them
    is_agent = issubclass(kind, (AgentActor, AgentPool)) or getattr(kind, "stands_for_agent", False)
    return ref.label if is_agent else None


def hands_on(ref: ActorRef[Any]) -> bool:
    """Tell whether *ref* is a pool, which handles no message itself."""
    return issubclass(ref.actor_class, AgentPool)


def is_incarnation_in_pool(ref: ActorRef[Any]) -> bool:
    """Tell whether *ref* is one of the incarnations that a pool hands its messages on to."""
    kind = ref.actor_class
    return issubclass(kind, PooledActor) or getattr(kind, "stands_for_incarnation", False)


__all__ = ["agent_name_of", "hands_on", "is_incarnation_in_pool"]
