"""What parts of a run are called: their ids, and their paths as people write them.

A part has the id of the run around it, a mark, and what it does there: ``run~book``,
``run~each[2]~hotel``. It is the same for every attempt, so that what goes on with the run finds the
part that it had begun. No run that a user starts has the mark in its id.
"""

from __future__ import annotations

import re
from typing import Final

MARK: Final = "~"
"""Stands between the id of a run and what names its part; ids that users give do not have it."""

_ITERATION: Final = re.compile(r"#\d+|!\w+")
_SEGMENT: Final = re.compile(r"([^\[#!/]+)(?:\[(\d+)\])?")


def unit_of(step: str, item: int | None, iteration: int, via: str, undo: bool = False) -> str:
    """Return what tells the parts of one run apart.

    >>> unit_of("book", None, 1, "agent"), unit_of("each", 2, 1, "agent"), unit_of("write", None, 3, "fallback")
    ('book', 'each[2]', 'write#3!fallback')
    """
    place = "" if item is None else f"[{item}]"
    round_ = "" if iteration == 1 else f"#{iteration}"
    other = "" if via == "agent" else f"!{via}"
    return f"{step}{place}{round_}{other}{'!undo' if undo else ''}"


def part_id(run_id: str, unit: str) -> str:
    """Return the id of a part of a run."""
    return f"{run_id}{MARK}{unit}"


def path_of(part: str, run_id: str) -> str:
    """Return the path of a part as seen from a run around it; nothing for the run itself.

    >>> path_of("w~book~hotel[2]", "w"), path_of("w", "w")
    ('book/hotel[2]', '')
    """
    return part[len(run_id) + 1 :].replace(MARK, "/")


def plain_path(path: str) -> str:
    """Return a path without what tells the rounds of a loop, and stand-ins, apart."""
    return _ITERATION.sub("", path)


def place_of(part: str, run_id: str) -> tuple[str, int]:
    """Return the step, and the item (or -1), that a part of a run works on."""
    unit = part[len(run_id) + 1 :].split(MARK, 1)[0]
    found = _SEGMENT.match(unit)
    if found is None:
        return unit, -1
    return found[1], -1 if found[2] is None else int(found[2])
