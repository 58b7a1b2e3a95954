"""What happens to the service, and when: a plan, made before it is carried out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal["kill", "term", "outage", "kill in an outage"]
KINDS: tuple[Kind, ...] = ("kill", "outage", "term", "kill in an outage")
"""In this order, again and again."""


@dataclass(frozen=True)
class Happening:
    """Something that is done to the service, *at_s* after the load has begun."""

    at_s: float
    kind: Kind
    seconds: float = 0.0
    """How long an outage is."""


ENDS_NO_MORE = 0.75
"""The share of a run after which no process ends any more."""


def apart_s(seconds: float) -> float:
    """Return how far apart things happen in a run of *seconds*: a process needs a few to begin."""
    return max(7.0, seconds / 40)


def bad_day(seconds: float, random: Random) -> Iterator[Happening]:
    """Yield what happens in a run of *seconds*.

    The first tenth is quiet, for the figures to begin with; in the last quarter no process ends any more, so
    that the last one has served for long enough to show what it leaks.
    """
    every_s = apart_s(seconds)
    at_s = seconds * 0.1
    number = 0
    while at_s < seconds * 0.95:
        kind = KINDS[number % len(KINDS)]
        if kind == "outage":
            yield Happening(at_s, kind, random.uniform(0.5, 2.5))
        elif at_s < seconds * ENDS_NO_MORE:
            yield Happening(at_s, kind, 2.0)
        number += 1
        at_s += every_s * random.uniform(0.8, 1.2)
