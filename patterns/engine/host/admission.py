"""Whose turn it is: a bounded queue that is fair between workflows of different names."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class FairQueue(Generic[Item]):
    """Items in order within a name, and the names in turn.

    A thousand runs of one workflow delay the first run of another by one place, not by a thousand.
    What goes in with ``first=True`` (a run that had its turn before and was only parked) comes out
    before the rest. Owned by the engine's actor.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lanes: dict[str, deque[Item]] = {}
        self._first: deque[Item] = deque()
        self._removed: set[Item] = set()
        self.size = 0
        """How many items there are."""

    def __len__(self) -> int:
        return self.size

    @property
    def full(self) -> bool:
        """Whether `put` would go over the limit."""
        return self.size >= self.limit

    def put(self, name: str, item: Item, *, first: bool = False) -> None:
        """Add *item* behind the others of its name."""
        if first:
            self._first.append(item)
        else:
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = deque()
            lane.append(item)
        self.size += 1

    def get(self) -> Item:
        """Take the item whose turn it is; raises IndexError when there is none."""
        while True:
            item = self._next()
            if item not in self._removed:
                self.size -= 1
                return item
            self._removed.discard(item)

    def _next(self) -> Item:
        if self._first:
            return self._first.popleft()
        try:
            name, lane = next(iter(self._lanes.items()))
        except StopIteration:
            raise IndexError("the queue is empty") from None
        item = lane.popleft()
        # To the end of the names; an empty lane goes, so that names do not pile up.
        del self._lanes[name]
        if lane:
            self._lanes[name] = lane
        return item

    def remove(self, item: Item) -> None:
        """Let *item*, which is in the queue, never come out."""
        # Looking for it would take time with the length of the queue; it is passed over instead.
        self._removed.add(item)
        self.size -= 1
