"""Counting votes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

POSITION_FIELDS = ("position", "vote", "answer", "decision")
"""The fields of an answer that may hold what its author is for, the first found counts."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The count of a vote: the positions and their voters.

    ``votes`` maps each position, in the order of their first votes, to its voters; positions that
    differ only in case and spacing are one. ``winner`` is the position with the most votes, None
    when several have as many.
    """

    votes: Mapping[str, tuple[str, ...]]
    positions: Mapping[str, Any]

    @property
    def winner(self) -> str | None:
        """The position that has more votes than any other."""
        ranked = sorted(self.votes.items(), key=lambda item: -len(item[1]))
        if not ranked or (len(ranked) > 1 and len(ranked[0][1]) == len(ranked[1][1])):
            return None
        return ranked[0][0]

    @property
    def cast(self) -> int:
        """How many votes were cast."""
        return sum(len(voters) for voters in self.votes.values())

    @property
    def unanimous(self) -> bool:
        """Whether all votes are for the same position."""
        return len(self.votes) == 1

    def of(self, position: str | None) -> int:
        """Return how many voted for *position*."""
        return len(self.votes.get(position, ())) if position is not None else 0

    def value(self, position: str | None) -> Any:
        """Return *position* as its first voter put it."""
        return None if position is None else self.positions[position]


def position_of(answer: Any) -> Any:
    """Return what *answer* is for: its position field if it is a mapping with one, else all of it.

    >>> position_of({"position": "yes", "because": "it is cheap"}), position_of("no")
    ('yes', 'no')
    """
    if isinstance(answer, Mapping):
        fields = cast(Mapping[str, Any], answer)
        for field in POSITION_FIELDS:
            if field in fields:
                return fields[field]
    return cast(Any, answer)


def same_position(position: Any) -> str:
    """Return the key under which equal positions are counted together.

    >>> same_position("  Yes ") == same_position("yes"), same_position(True) == same_position("true")
    (True, False)
    """
    if isinstance(position, str):
        return " ".join(position.split()).casefold()
    return _shown(position)


def _shown(value: Any) -> str:
    """Return *value* as a text that is the same for equal values: the order of keys makes no difference."""
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value).items()
        return "{" + ", ".join(sorted(f"{key!r}: {_shown(item)}" for key, item in fields)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_shown, cast("list[Any]", value))) + "]"
    return repr(value)


def tally(answers: Iterable[tuple[str, Any]]) -> Tally:
    """Return the count of *answers*, pairs of voter and answer.

    >>> tally([("a", "yes"), ("b", "no"), ("c", "Yes")]).winner
    'yes'
    """
    votes: dict[str, tuple[str, ...]] = {}
    positions: dict[str, Any] = {}
    for voter, answer in answers:
        position = position_of(answer)
        key = same_position(position)
        votes[key] = (*votes.get(key, ()), voter)
        positions.setdefault(key, position)
    return Tally(votes, positions)
