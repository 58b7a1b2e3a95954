"""What a run's coordinator is told, beside the attempts that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import ActorDied

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef

    from ..state.events import WorkflowEvent
    from ..state.run import Run
    from .work import Unit

NUDGE: Final = "nudge"
"""Told to a coordinator: the run has a new signal or a cancellation."""

TICK: Final = "tick"
"""Told by its own timer: a time that the run waits for has come."""

UNDO: Final = "undo"
"""Told by its own timer: the pause before the next attempt at a compensation is over."""


class Acknowledged:
    """The store has written a group of events, or failed to."""

    __slots__ = ("coordinator", "error", "events", "run", "units")

    def __init__(
        self,
        run: Run,
        coordinator: ActorRef[Any],
        units: list[Unit],
        events: list[WorkflowEvent],
    ) -> None:
        self.run = run
        self.coordinator = coordinator
        self.units = units
        """Attempts that begin now."""
        self.events = events
        """What those who follow the run may see now."""
        self.error: BaseException | None = None

    def settle(self, error: BaseException | None) -> None:
        """Tell the coordinator, and whoever started the run. The store calls this, on the loop."""
        run = self.run
        if error is not None:
            self.error = error
            # At once: the coordinator may write more before it is told, and the store would
            # take what comes after a gap.
            run.refused = error
        elif run.accepted is not None:
            run.accept()
        actor = self.coordinator._actor
        if actor is not None and error is None and actor.handle_now(self):
            return
        try:
            self.coordinator.tell(self)
        except ActorDied:
            pass  # it was killed, and whoever goes on reads what was written


class Raised:
    """Raise *error* in the coordinator's own turn: it handled a message outside of one."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error: BaseException | None = error

    def take(self) -> BaseException:
        """Return the error, once: who raises it must not hold it, or it would hold itself."""
        error, self._error = self._error, None
        assert error is not None, "it is raised once"
        return error


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
