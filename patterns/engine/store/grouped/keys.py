"""The store's own numbers of runs: they grow with time, and say when a run was created."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["created_between", "in_microseconds", "new_key"]

_MOST_S: Final = 9e12
"""What media count to, in microseconds: 2**63."""

OWNER_SLOTS = 1 << 12
"""A run's key is its moment of creation in microseconds and, below, its owner's number.

Keys so grow with time: recent runs are neighbours on disk, and their order is that of creation.
"""


def new_key(moment: int, owner: int) -> int:
    """Return the key of the run that *owner* creates at *moment*, in microseconds."""
    return moment * OWNER_SLOTS + owner % OWNER_SLOTS


def in_microseconds(seconds: Any) -> int:
    """Return a time or a length of time as media keep it; raises ValueError for what is neither.

    >>> in_microseconds(1.5), in_microseconds(1e300)
    (1500000, 9000000000000000000)
    """
    if not isinstance(seconds, int | float) or seconds != seconds:
        raise ValueError(f"{seconds!r} is not a number of seconds")
    return round(min(max(-_MOST_S, seconds), _MOST_S) * 1e6)


def created_between(after_s: float | None, before_s: float | None) -> tuple[int | None, int | None]:
    """Return the keys above and below which those of the runs created in between are.

    >>> low, high = created_between(2.0, None)
    >>> new_key(2_000_000, 7) > low, new_key(2_000_001, 7) > low, high
    (False, True, None)
    """
    low = None if after_s is None else (round(after_s * 1e6) + 1) * OWNER_SLOTS - 1
    high = None if before_s is None else round(before_s * 1e6) * OWNER_SLOTS
    return low, high
