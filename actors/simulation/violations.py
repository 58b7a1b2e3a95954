"""What must never happen, found to have happened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold.

    rule: the short name of the invariant; failures with the same rule count as the same failure.
    """

    rule: str
    detail: str
    time_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.rule} at t={self.time_s:g} s: {self.detail}"
