"""One supervisor with some of its children, and not what is below them: a tree may have 100,000."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from agenticaiframework.actors import ActorRef, ActorSystem

from ..machine.dynamic_children import DynamicChildren
from ..machine.supervisor import supervisor_of, supervisors_of
from .tree import SupervisionTree, node_of_child, node_of_ref


@dataclass(frozen=True, slots=True)
class Branch:
    """A running supervisor, and *children*, which are *total*, from *start* on.

    The nodes are those of a `SupervisionTree`, without what is below them.
    """

    node: SupervisionTree
    children: tuple[SupervisionTree, ...]
    refs: tuple[ActorRef[Any] | None, ...]
    """The actors of the children, in their order; None of one that is down, or between incarnations."""
    start: int
    total: int
    dynamic: bool
    """Whether the children have no names of their own."""

    def __iter__(self) -> Iterator[SupervisionTree]:
        return iter(self.children)


def root_supervisors(system: ActorSystem | None = None) -> list[ActorRef[Any]]:
    """Return the running supervisors of *system* (the current one, if not given) that have none above."""
    if system is None:
        system = ActorSystem.current()
    return [one.actor_ref for one in supervisors_of(system) if one.is_root]


def branch_of(
    ref: ActorRef[Any], start: int = 0, limit: int = 100, *, name: str | None = None
) -> Branch | None:
    """Return the supervisor *ref* with up to *limit* children from *start* on; None if it does not run.

    It looks at what it returns, and not at what else there is. On the loop's thread of the system.
    """
    actor = supervisor_of(ref)
    if actor is None:
        return None
    records = list(actor.children)
    dynamic = isinstance(actor.children, DynamicChildren)
    shown = records[start : start + limit]
    return Branch(
        node=replace(node_of_ref(name or ref.label, ref, actor), children=()),
        children=tuple(node_of_child(child, dynamic) for child in shown),
        refs=tuple(child.ref for child in shown),
        start=start,
        total=len(records),
        dynamic=dynamic,
    )


__all__ = ["Branch", "branch_of", "root_supervisors"]
