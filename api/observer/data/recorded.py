"""What was done through the observer, as a value on the event stream of the system."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObserverAction:
    """*who* did *action* to *target* through the observer at *at* (seconds since the epoch).

    *result* says what came of it; *ok* is False where it was refused or failed.
    """

    who: str
    action: str
    target: str
    result: str
    ok: bool
    at: float
