"""How the link to an observer is: up, or down since when, why, and when it is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .figures import clock

FIRST_S: Final = 0.5
MOST_S: Final = 8.0


@dataclass(slots=True)
class Link:
    """The state of the link. Owned by the app; times are its loop's and, for people, the wall's."""

    began: float | None = None
    """When the observer on the other side has begun: another time is another process."""
    seen_at: float | None = None
    problem: str | None = None
    lasting: bool = False
    tries: int = 0
    again_at: float = 0.0

    def answered(self, began: float | None, at: float) -> bool:
        """Take note of an answer. Returns whether it comes from another process than the last one."""
        another = self.problem is not None and self.began is not None and began != self.began
        self.began, self.seen_at = began, at
        self.problem, self.lasting, self.tries = None, False, 0
        return another

    def failed(self, problem: str, lasting: bool, now: float) -> float:
        """Take note that there was no answer. Returns the seconds until the next try."""
        wait = wait_before(self.tries)
        self.problem, self.lasting = problem, lasting
        self.tries += 1
        self.again_at = now + wait
        return wait

    def said(self, now: float) -> str:
        """Return how the link is, in a few words."""
        if self.problem is None:
            return "live" if self.seen_at is not None else "connecting …"
        wait = max(0.0, self.again_at - now)
        old = "" if self.seen_at is None else f"; what is shown is from {clock(self.seen_at)}"
        return f"{self.problem}; tried again in {wait:.0f} s{old}"


def wait_before(tries: int) -> float:
    """Return how long to wait after so many tries without an answer.

    >>> [wait_before(tries) for tries in range(6)]
    [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    """
    return float(min(MOST_S, FIRST_S * 2 ** min(tries, 10)))


__all__ = ["Link", "wait_before"]
