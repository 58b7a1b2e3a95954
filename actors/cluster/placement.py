"""Where an actor is to run: what ``node=`` of an agent, a child or `ClusterNode.start` may be.

A label is text. `near` and `spread` are data as well; which node they mean is decided at each start, by
the node that starts (`placing`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from ..errors import WrongUse
from ..looks import shown

ANYWHERE: Final = "*"
"""As a label: any node but the head, the one with the fewest actors from here."""

_NUMBERED = re.compile(r"[\W_]*\d+\W*$")


@dataclass(frozen=True, slots=True)
class Near:
    """The node that *other* runs on: an agent, a ref, or the name of an actor. Made by `near`."""

    other: Any

    def __str__(self) -> str:
        return f"near({self.name!r})"

    @property
    def name(self) -> str:
        """What *other* is called."""
        other = self.other
        if isinstance(other, str):
            return other
        return str(getattr(other, "label", None) or getattr(other, "name", None) or shown(other))


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the nodes with *label*, the one with the fewest actors of *group*. Made by `spread`."""

    label: str
    group: str | None = None

    def __str__(self) -> str:
        group = "" if self.group is None else f", group={self.group!r}"
        return f"spread({self.label!r}{group})"

    def for_name(self, name: str) -> Spread:
        """Return it with the group that something called *name* belongs to."""
        return self if self.group is not None else replace(self, group=group_of(name))


Placement: TypeAlias = str | Near | Spread
"""What ``node=`` may be."""


def near(other: Any, /) -> Near:
    """Return, for ``node=``, the node that *other* runs on when the start comes.

    *other* is an agent (or a team), the ref of an actor, or the name of one, in the cluster or in the
    system that starts. A restart looks anew, so what is near follows *other*, but does not move while it
    runs. While *other* runs nowhere, the start waits for it, up to 10 seconds, and then raises `NoNode`.

    ``Agent("reader", handler=read, node=near(index))``.

    Raises `WrongUse`.
    """
    is_ref = hasattr(other, "exit_reason") and hasattr(other, "label")
    is_agent = not isinstance(other, type) and callable(getattr(other, "address", None))
    if not (_is_name(other) or is_ref or is_agent):
        raise WrongUse(
            f"near({shown(other)}) is not near an actor: give an agent, a ref, or the name of an actor; "
            'for example node=near(index), or node=near("index")'
        )
    return Near(other)


def spread(label: str = ANYWHERE, /, *, group: str | None = None) -> Spread:
    """Return, for ``node=``, that of the nodes with *label* which has the fewest actors of one group.

    The group is *group*, or the name of the agent or child without the number at its end: ``reader-1``
    and ``reader-2`` are of the group ``reader``. Of nodes with as many of it, the one with the fewest
    actors from here is taken. With a plain label only this last counts, whatever the actors do.

    ``[Agent(f"reader-{n}", handler=read, node=spread("gpu")) for n in range(4)]`` are two on each of two
    nodes with that label, however busy these are otherwise. An agent with a *concurrency* of its own is
    spread itself: its incarnations run on all nodes with the label.

    Raises `WrongUse`.
    """
    given: Any = (label, group)
    if not _is_name(given[0]):
        raise WrongUse(
            f"spread({shown(label)}) has no label of nodes; for example node=spread('gpu'), or "
            "node=spread() for any node but the head"
        )
    if group is not None and not _is_name(given[1]):
        raise WrongUse(
            f"the group of spread({label!r}) must be a name, not {shown(group)}; for example "
            f"node=spread({label!r}, group='readers')"
        )
    return Spread(label, group)


def is_placement(node: object) -> bool:
    """Tell whether *node* may be given as ``node=``."""
    return isinstance(node, Near | Spread) or _is_name(node)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def group_of(name: str) -> str:
    """Return the group that *name* belongs to by default: the name without the number at its end."""
    return _NUMBERED.sub("", name) or name


__all__ = [
    "ANYWHERE",
    "Near",
    "Placement",
    "Spread",
    "group_of",
    "is_placement",
    "near",
    "spread",
]
