"""Numbers over time: a sample a second while they are looked at, for the last minutes."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

KEPT: Final = 300
"""Samples that are kept of each."""

NAMES: Final = ("actors", "mailbox", "messages", "ended", "letters", "lag_ms", "tokens", "restarts")


class Series:
    """Rings of samples under their names. Owned by what calls `add`."""

    def __init__(self) -> None:
        self.times: deque[float] = deque(maxlen=KEPT)
        self.values: dict[str, deque[float]] = {name: deque(maxlen=KEPT) for name in NAMES}

    def add(self, at: float, **values: float) -> None:
        """Add a sample of each; what is not given counts as 0."""
        self.times.append(at)
        for name, ring in self.values.items():
            ring.append(values.get(name, 0.0))

    def last(self, name: str) -> float:
        """Return the newest sample, 0 if there is none."""
        ring = self.values[name]
        return ring[-1] if ring else 0.0

    def tail(self, name: str, count: int = 60) -> list[float]:
        """Return the newest *count* samples."""
        return list(self.values[name])[-count:]

    def to_dict(self) -> dict[str, Any]:
        """Return all samples as plain lists, for JSON."""
        return {
            "times": list(self.times),
            **{name: list(ring) for name, ring in self.values.items()},
        }
