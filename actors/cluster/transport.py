"""What carries batches between nodes: a small protocol, implemented over Ray and by a fake in simulation.

A transport may lose an acknowledgement, deliver late, or deliver twice. Numbers in the batches make
of that: in order, and at most once (`peer`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

Entry = tuple[Any, ...]
"""A kind (`entries`), and what belongs to it: numbers, words, and bytes."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One node of a cluster: *id* is new for every start, *name* is what people call it.

    *labels* are what ``node="..."`` may ask for, beside the name.
    """

    id: str
    name: str
    labels: frozenset[str] = frozenset()

    def answers_to(self, label: str) -> bool:
        """Tell whether ``node=label`` may mean this node."""
        return label in (self.name, self.id) or label in self.labels


class Batch(NamedTuple):
    """What one node sends to another at once. *number* rises by one from batch to batch of a pair."""

    sender: str
    number: int
    entries: tuple[Entry, ...]


class NodeUnavailable(Exception):
    """The batch may or may not have arrived: the same one is sent again."""


class NodeLost(Exception):
    """The node is gone for good: its process has ended, or it has left this cluster."""


class Transport(Protocol):
    """Carries the batches of one node. On the loop's thread of its system."""

    async def deliver(self, node: str, batch: Batch, /) -> None:
        """Return once *node* has taken *batch*.

        Raises `NodeUnavailable` if that is not known, and `NodeLost`. Any other error counts as the
        first of these.
        """
        ...


__all__ = ["Batch", "Entry", "NodeInfo", "NodeLost", "NodeUnavailable", "Transport"]
