"""What a cluster publishes: `system.subscribe(fn, NodeDown)`."""

from __future__ import annotations

from dataclasses import dataclass

from .transport import NodeInfo


@dataclass(frozen=True, slots=True)
class NodeUp:
    """A node has joined the cluster. One that comes back after a loss is a new node."""

    node: NodeInfo


@dataclass(frozen=True, slots=True)
class NodeDown:
    """A node is lost, and everything that ran on it.

    *never_sent* messages to it had not left, of *maybe_delivered* is not known whether they arrived:
    each of them is a dead letter, or the failure of its asker.
    """

    node: NodeInfo
    never_sent: int = 0
    maybe_delivered: int = 0


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node as another one sees it: `ClusterNode.states`.

    *actors* are those that this node knows there, of itself all; *waiting* entries have not been taken
    by it, *sent* have been. *lost* is how it was lost, None for a member.
    """

    node: NodeInfo
    is_head: bool = False
    is_here: bool = False
    actors: int = 0
    waiting: int = 0
    sent: int = 0
    lost: NodeDown | None = None
    lost_at: float | None = None
    """When it was lost, on the system's clock."""


__all__ = ["NodeDown", "NodeState", "NodeUp"]
