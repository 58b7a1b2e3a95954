"""How many runs stand in each queue, put together from what a medium has counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..queues import QueueDepth

__all__ = ["depths"]


def depths(
    waiting: Iterable[Sequence[Any]],
    taken: Iterable[Sequence[Any]],
    serving: Mapping[str, Collection[str]],
) -> list[QueueDepth]:
    """Return the depth of each queue, by name.

    *waiting* has its name, how many wait and when the oldest of them was created, in microseconds since
    the epoch; *taken* its name and how many are; *serving* the living engines that serve it.
    """
    places = {each[0]: each[1] for each in taken}
    waits = {queue: (count, oldest) for queue, count, oldest in waiting}
    found: list[QueueDepth] = []
    for queue in sorted({*waits, *places, *serving}):
        count, oldest = waits.get(queue, (0, None))
        at = None if oldest is None else oldest / 1e6
        engines = tuple(sorted(serving.get(queue, ())))
        found.append(QueueDepth(queue, count, places.get(queue, 0), at, engines))
    return found
