"""Which events a handler is for: names, wildcards, and events that have to come together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class EventKey:
    """What a handler is registered under: ``order.paid``, ``order.*``, or ``stock.ok & order.paid``.

    ``*`` stands for any part of a name, ``&`` (or ``and``) joins events that must all have happened.
    """

    text: str
    parts: tuple[str, ...]
    pieces: tuple[tuple[str, ...], ...]
    """For each part what stands between its stars."""

    @property
    def joins(self) -> bool:
        """Whether it takes several events."""
        return len(self.parts) > 1

    def match(self, event: str) -> tuple[int, ...]:
        """Return the indexes of the parts that *event* fulfils.

        >>> read_event_key("order.* & stock.ok").match("order.paid")
        (0,)
        """
        return tuple(
            index
            for index, (part, pieces) in enumerate(zip(self.parts, self.pieces, strict=True))
            if (part == event if len(pieces) == 1 else _fits(event, pieces))
        )


def read_event_key(text: str) -> EventKey:
    """Return *text* as a key; raises ValueError for one without names."""
    parts = tuple(part.strip() for part in re.split(r"&|\sand\s", text))
    if not all(parts):
        raise ValueError(
            f"{text!r} is not an event. Write 'order.paid', 'order.*' or 'a.done & b.done'"
        )
    return EventKey(text, parts, tuple(tuple(part.split("*")) for part in parts))


def _fits(event: str, pieces: tuple[str, ...]) -> bool:
    """Tell whether *event* is the *pieces* in order with anything between them; in linear time."""
    first, *between, last = pieces
    if len(event) < len(first) + len(last) or not (
        event.startswith(first) and event.endswith(last)
    ):
        return False
    at, end = len(first), len(event) - len(last)
    for piece in between:
        found = event.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


class EventJoin:
    """Waits, within one execution, until every part of a key has happened. Owned by its coordinator."""

    __slots__ = ("_arrived", "_key")

    def __init__(self, key: EventKey) -> None:
        self._key = key
        self._arrived: dict[int, tuple[str, Any]] = {}

    def add(self, event: str, data: Any) -> Mapping[str, Any] | None:
        """Note *event*; once all parts are there, return their data by event, and begin anew."""
        for index in self._key.match(event):
            if index not in self._arrived:
                self._arrived[index] = (event, data)
                break
        if len(self._arrived) < len(self._key.parts):
            return None
        complete = dict(self._arrived[index] for index in range(len(self._key.parts)))
        self._arrived.clear()
        return complete

    @property
    def missing(self) -> tuple[str, ...]:
        """The parts that something waits for; empty while nothing has arrived."""
        if not self._arrived:
            return ()
        return tuple(p for i, p in enumerate(self._key.parts) if i not in self._arrived)
