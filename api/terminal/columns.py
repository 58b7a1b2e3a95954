"""Columns of a list, and how wide each is in a terminal of a width: a pure function of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GAP: Final = 2
"""Cells between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: *least* and *most* cells wide, and given up for those of a smaller *rank*."""

    title: str
    least: int
    most: int
    rank: int = 0
    right: bool = False


def widths_of(columns: Sequence[Column], total: int) -> list[int]:
    """Return the width of each column so that all fit into *total* cells; 0 for one that is left out.

    Each gets its least, those of the smallest rank first; what is left goes to those that want more, evenly.

    >>> widths_of([Column("a", 4, 10), Column("b", 4, 4, rank=1)], 12)
    [6, 4]
    >>> widths_of([Column("a", 4, 10), Column("b", 4, 4, rank=1)], 9)
    [9, 0]
    """
    widths = [0] * len(columns)
    left = total + GAP
    for index in sorted(range(len(columns)), key=lambda i: (columns[i].rank, i)):
        need = columns[index].least + GAP
        if need > left and any(widths):
            break
        widths[index] = min(columns[index].least, total)
        left -= need
    while left > 0:
        wanting = [i for i, width in enumerate(widths) if 0 < width < columns[i].most]
        if not wanting:
            break
        each = max(1, left // len(wanting))
        for index in wanting:
            more = min(each, left, columns[index].most - widths[index])
            widths[index] += more
            left -= more
    return widths


__all__ = ["GAP", "Column", "widths_of"]
