"""The errors of a cluster: who could not be reached, or sent, and the form that works."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import AgenticError


class ClusterError(AgenticError):
    """Base class of the errors of a cluster of nodes."""


class NoNode(ClusterError):
    """No node of the cluster answers to the label that an actor or agent is to run on.

    *why* says it of a start that is to be near something.
    """

    def __init__(self, label: str, nodes: Iterable[str] = (), *, why: str | None = None) -> None:
        known = ", ".join(nodes) or "none"
        super().__init__(
            why
            or f"No node of the cluster answers to {label!r}. Nodes, with their labels: {known}. "
            "Give one of these, or start a node with that label."
        )
        self.label = label


class NotInCluster(ClusterError):
    """The system belongs to no cluster, or has lost the cluster's head."""

    def __init__(self, what: str, why: str = "the system belongs to no cluster") -> None:
        super().__init__(
            f"{what} needs a cluster, and {why}. Start it with "
            'ActorSystem(cluster=RayCluster(address="auto")).'
        )


class CannotTravel(ClusterError, TypeError):
    """Something that would have to go to another node cannot be pickled, or not be imported there."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(
            f"{what} cannot go to another node: {why}. Use functions and classes from the top of a "
            "module that every node can import, and plain data; or send code by value: "
            "RayCluster(by_value=True)."
        )
        self.what = what
        self.why = why


__all__ = ["CannotTravel", "ClusterError", "NoNode", "NotInCluster"]
