"""The nodes of the cluster that a system belongs to, and on which of them an actor runs."""

from __future__ import annotations

from typing import Any

from agenticaiframework.actors import ActorRef, ActorSystem, attribute_of

from .texts import text

Row = dict[str, Any]


def list_nodes(system: ActorSystem) -> list[Row]:
    """Return the nodes as this system sees them, the lost ones last; nothing without a cluster."""
    cluster = system.cluster
    if cluster is None:
        return []
    now = system.clock()
    return [
        {
            "id": text(state.node.id),
            "name": text(state.node.name),
            "labels": sorted(text(label) for label in state.node.labels),
            "state": "down" if state.lost is not None else "up",
            "head": state.is_head,
            "here": state.is_here,
            "actors": state.actors,
            "waiting": state.waiting,
            "sent": state.sent,
            "never_sent": 0 if state.lost is None else state.lost.never_sent,
            "maybe_delivered": 0 if state.lost is None else state.lost.maybe_delivered,
            "lost_s": None if state.lost_at is None else now - state.lost_at,
        }
        for state in cluster.states()
    ]


def node_name(system: ActorSystem, ref: ActorRef[Any] | None) -> str | None:
    """Return the name of the other node that the actor of *ref* runs on; None: it runs on this one."""
    cluster = system.cluster
    if cluster is None or ref is None:
        return None
    if not attribute_of(attribute_of(ref, "actor_class"), "stands_for_remote", False):
        return None
    return text(cluster.node_of(ref).name)


__all__ = ["list_nodes", "node_name"]
