"""Which agents a piece of code has made: its own, and those of the code that it came from.

Contexts are those of `contextvars`: a task starts with what had been made where it was created, and
what it makes itself is seen by nothing but itself and what it starts. So no task or thread has to be
known here. What is kept is a `Point`: a line of agents in the order of their making, and how far along
it the context is. Two contexts that come from one share its line; the first that makes another agent
goes on along it, the next begins a line of its own there. Nothing here holds an agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

LEAST: Final = 32
"""How many lines may stand behind one another before those without a living agent are taken out."""


class Line:
    """Agents that were made one after another, by their numbers. Written by the directory alone."""

    __slots__ = ("before", "depth", "last", "limit", "living")

    def __init__(self, before: Point | None) -> None:
        self.before = before
        """Where this line begins: a point of another; None for the first of a context."""
        self.last = 0
        self.living = 0
        """How many of the agents on it live."""
        self.depth = 0
        self.limit = LEAST


Point = tuple[Line, int]
"""A line, and the number of the latest agent on it that the context knows."""

POINT: Final[ContextVar[Point | None]] = ContextVar("agenticaiframework_agents_made", default=None)


def next_point(point: Point | None) -> Point:
    """Return where an agent stands that is made at *point*: the next on its line, or on a new one."""
    if point is None:
        line = Line(None)
    else:
        line, number = point
        if number != line.last:
            line = _branch(point)
    line.last += 1
    return line, line.last


def points_behind(point: Point | None) -> Iterator[Point]:
    """Yield *point* and those that its lines began at, the nearest first."""
    while point is not None:
        yield point
        point = point[0].before


def _branch(point: Point) -> Line:
    line = Line(point)
    line.depth = point[0].depth + 1
    line.limit = point[0].limit
    if line.depth > line.limit:
        _shorten(line)
    return line


def _shorten(line: Line) -> None:
    """Take the lines without a living agent out of those behind *line*: they will never have one.

    A task that starts its successor, for ever, would have ever more lines behind it. A line may still
    grow, but only beyond the points at which others have left it.
    """
    last, kept = line, 0
    for point in points_behind(line.before):
        if point[0].living:
            last.before = point
            last = point[0]
            kept += 1
    last.before = None
    line.depth = kept
    line.limit = max(LEAST, 2 * kept)
