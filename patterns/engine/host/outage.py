"""A time in which the store does not answer, and how often it is asked meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..store import StoreNotReady, StoreRefused

if TYPE_CHECKING:
    from ..state.live import LiveRun

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
"""Often enough for a server that restarts; an engine costs one that comes up a query in some seconds."""

REFUSALS: Final = (StoreNotReady, StoreRefused)
"""What a store raises that takes nothing until a person has mended something: an outage that may not end, so
that waits are told."""


class Outage:
    """Since when the store of an engine has not answered, and why. Owned by the engine's gate."""

    __slots__ = ("began_at", "error", "probes", "runs", "tries")

    def __init__(self, error: Exception, now: float, tries: int = 0) -> None:
        self.error = error
        self.tries = tries
        """How often one run has gone on already, and was refused again."""
        self.began_at = now
        """In seconds since the epoch."""
        self.probes = 0
        """How often the store has been asked since, in vain."""
        self.runs: list[LiveRun] = []
        """Runs in which something happened that the store did not take."""

    def pause_s(self, chance: float) -> float:
        """Return how long to wait before the store is asked again; *chance* is from 0 to 1.

        Twice as long each time, and spread, so that engines do not all ask at once.

        >>> outage = Outage(OSError(), 0.0)
        >>> outage.pause_s(1.0), outage.pause_s(0.0)
        (0.1, 0.05)
        """
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.probes + self.tries, 16))
        return longest * (0.5 + chance / 2)
