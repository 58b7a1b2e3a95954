"""What a system wants of a cluster that it is to be a node of: a Protocol, for the packages above."""

from __future__ import annotations

from typing import Any, Protocol

from ..errors import WrongUse


class Joinable(Protocol):
    """A cluster, as `ActorSystem(cluster=...)` takes it; `RayCluster` is one."""

    async def join(self, system: Any, /) -> Any:
        """Make *system*, which has just started, the head of this cluster; return what it is in it."""
        ...

    async def leave(self) -> None:
        """The actors of the system have ended: end the other nodes, and what this has started."""
        ...


def checked_cluster(given: Any) -> Any:
    """Return *given*; raise `WrongUse` unless it is a cluster, or None."""
    if given is not None and not (hasattr(given, "join") and hasattr(given, "leave")):
        raise WrongUse(
            f"cluster={given!r} is not a cluster. Give one that is made for this system alone: "
            "ActorSystem(cluster=RayCluster(local_nodes=2))"
        )
    return given


__all__ = ["Joinable", "checked_cluster"]
