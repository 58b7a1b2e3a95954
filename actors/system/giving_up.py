"""What a program is told when the work that its system is there for has ended for good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..reasons import describe_reason
from .stopping import StopReport

GAVE_UP_EXIT_CODE = 1
"""That of an uncaught exception: process managers start the program again."""


@dataclass(frozen=True, slots=True)
class GaveUp:
    """A supervisor above which there is none has ended for good: *who*, and its exit *reason*."""

    who: str
    reason: Any

    def __str__(self) -> str:
        return f"{self.who} gave up: {describe_reason(self.reason)}"


def explained(
    report: StopReport, gave_up: GaveUp | None, signal_name: str | None = None
) -> StopReport:
    """Return *report* with why the system ended: what came first, the give-up or the signal."""
    if gave_up is not None:
        return replace(report, reason=str(gave_up), exit_code=GAVE_UP_EXIT_CODE)
    return report if signal_name is None else replace(report, reason=signal_name)
