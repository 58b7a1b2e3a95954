"""A fault of a plan that waits for its moment, and the labels that it means."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any


class Armed:
    """One fault of the plan, with the occasions counted so far. Written by the run's injector."""

    __slots__ = ("count", "fault", "first", "index", "last")

    def __init__(self, index: int, fault: Any, first: int, times: int) -> None:
        self.index = index
        self.fault = fault
        self.first = first
        self.last = first + times - 1
        self.count = 0

    def due(self) -> bool:
        """Count one occasion, and tell whether it is one of those to use."""
        self.count += 1
        return self.first <= self.count <= self.last


def matches(pattern: str, label: str) -> bool:
    """Whether a fault's *actor* means this label."""
    return pattern == label or (("*" in pattern or "?" in pattern) and fnmatchcase(label, pattern))
