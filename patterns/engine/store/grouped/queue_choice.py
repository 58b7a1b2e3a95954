"""Which runs of a queue an engine may take: one rule for all media.

A medium calls this inside a transaction that no other taking of the same queue runs beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from ..queues import QueueLimits

__all__ = ["Choice", "QueueTable", "Waiting", "choose"]

WINDOW: Final = 500
"""Waiting runs that are looked through for keys which have room. Behind them the keys themselves are:
one that waits with 100,000 runs is then passed over in one step."""

Waiting = tuple[int, str | None]
"""The number and the key of a waiting run."""


class QueueTable(Protocol):
    """One queue in one medium, as the engine sees it that takes."""

    def held(self) -> int:
        """Return how many runs hold a place, whether or not their engines live."""
        ...

    def mine(self) -> int:
        """Return how many of them the engine has that takes."""
        ...

    def held_by_key(self) -> Mapping[str, int]:
        """Return how many of them there are of each key."""
        ...

    def begun(self, rate_s: float) -> int:
        """Return how many have begun within the last seconds."""
        ...

    def abandoned(self, limit: int) -> list[int]:
        """Return runs whose engines are dead, the oldest first."""
        ...

    def waiting(self, limit: int) -> list[Waiting]:
        """Return runs that wait, in their order."""
        ...

    def first_of_keys(self, full: Collection[str], limit: int) -> list[Waiting]:
        """Return the first of each key that is not *full*, and those without a key, in their order."""
        ...

    def this_one(self, run_id: str) -> tuple[int, str | None, bool] | None:
        """Return a run that could be taken, blocked or not: its number, its key, whether it is abandoned."""
        ...


class Choice(NamedTuple):
    """What may be taken."""

    again: list[int]
    """Runs that are taken over: they have their places already."""
    new: list[int]


def choose(table: QueueTable, limits: QueueLimits, room: int, run_id: str | None) -> Choice:
    """Return the runs to take, at most *room*; of *run_id* that one alone, if there is a place for it."""
    if limits.worker_concurrency is not None:
        room = min(room, limits.worker_concurrency - table.mine())
    if room <= 0:
        return Choice([], [])
    if run_id is not None:
        return _this_one(table, limits, run_id)
    again = table.abandoned(room)
    places = _places(table, limits, room - len(again))
    if places <= 0:
        return Choice(again, [])
    if limits.key_concurrency is None:
        return Choice(again, [run for run, _ in table.waiting(places)])
    return Choice(again, _by_key(table, limits.key_concurrency, places))


def _this_one(table: QueueTable, limits: QueueLimits, run_id: str) -> Choice:
    found = table.this_one(run_id)
    if found is None:
        return Choice([], [])
    run, key, abandoned = found
    if abandoned:
        return Choice([run], [])
    most = limits.key_concurrency
    full = key is not None and most is not None and table.held_by_key().get(key, 0) >= most
    return Choice([], [run] if not full and _places(table, limits, 1) > 0 else [])


def _places(table: QueueTable, limits: QueueLimits, room: int) -> int:
    """Return how many runs may begin."""
    if room > 0 and limits.concurrency is not None:
        room = min(room, limits.concurrency - table.held())
    if room > 0 and limits.rate is not None:
        room = min(room, limits.rate - table.begun(limits.rate_s))
    return room


def _by_key(table: QueueTable, most: int, places: int) -> list[int]:
    held = Counter(table.held_by_key())
    size = max(WINDOW, 2 * places)
    window = table.waiting(size)
    chosen = _with_room(window, held, most, places)
    if len(chosen) < places and len(window) == size:
        # What is not full now had no run in the window that was left.
        full = [key for key, count in held.items() if count >= most]
        there = set(chosen)
        rest = (each for each in table.first_of_keys(full, 2 * places) if each[0] not in there)
        chosen += _with_room(rest, held, most, places - len(chosen))
    return chosen


def _with_room(waiting: Iterable[Waiting], held: Counter[str], most: int, places: int) -> list[int]:
    """Return the first runs whose keys have room, and count them as held."""
    chosen: list[int] = []
    for run, key in waiting:
        if len(chosen) == places:
            break
        if key is not None:
            if held[key] >= most:
                continue
            held[key] += 1
        chosen.append(run)
    return chosen
