"""What a run's coordinator is told, beside the attempts that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .work import Unit
    from .workflow_events import WorkflowEvent

NUDGE: Final = "nudge"
"""Told to a coordinator: the run has a new signal or a cancellation."""

TICK: Final = "tick"
"""Told by its own timer: a time that the run waits for has come."""

UNDO: Final = "undo"
"""Told by its own timer: the pause before the next attempt at a compensation is over."""


class Acknowledged:
    """The store has written a group of events, or failed to."""

    __slots__ = ("error", "events", "units")

    def __init__(self, units: list[Unit], events: list[WorkflowEvent]) -> None:
        self.units = units
        self.events = events
        self.error: BaseException | None = None


class Turn:
    """Told by the engine: an attempt may ask its agent now."""

    __slots__ = ("unit",)

    def __init__(self, unit: Unit) -> None:
        self.unit = unit


class Cancellation:
    """A cancellation that somebody asked for."""

    __slots__ = ("compensate", "graceful", "reason", "requests")

    def __init__(self, reason: str, *, graceful: bool, compensate: bool) -> None:
        self.reason = reason
        self.graceful = graceful
        self.compensate = compensate
        self.requests: list[Any] = []
        """Answered with a `CancelReport` when it has been carried out."""
