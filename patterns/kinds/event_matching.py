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
    patterns: tuple[re.Pattern[str] | None, ...]

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
            for index, (part, pattern) in enumerate(zip(self.parts, self.patterns, strict=True))
            if (part == event if pattern is None else pattern.fullmatch(event) is not None)
        )


def read_event_key(text: str) -> EventKey:
    """Return *text* as a key; raises ValueError for one without names."""
    parts = tuple(part.strip() for part in re.split(r"&|\sand\s", text))
    if not all(parts):
        raise ValueError(
            f"{text!r} is not an event. Write 'order.paid', 'order.*' or 'a.done & b.done'"
        )
    return EventKey(text, parts, tuple(_pattern(part) for part in parts))


def _pattern(part: str) -> re.Pattern[str] | None:
    if "*" not in part:
        return None
    # Runs of stars are one, so that no name makes the match slow.
    pieces = [re.escape(piece) for piece in re.split(r"\*+", part)]
    return re.compile(".*".join(pieces), re.DOTALL)


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
