"""Moments as journals keep them: to the microsecond."""

from __future__ import annotations


def instant(at: float) -> float:
    """Return *at* (seconds since the epoch) as it is read back from a journal."""
    return int(at * 1e6 + 0.5) / 1e6
