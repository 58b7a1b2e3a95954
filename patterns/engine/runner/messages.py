"""What a run's coordinator is told, beside the attempts that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import ActorDied

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef

    from ..state.live import LiveRun
    from .attempt import StepAttempt
    from .opening import Opening
    from .orders import Group

NUDGE: Final = "nudge"
"""Told to a coordinator: the run has a new signal or a cancellation."""

TICK: Final = "tick"
"""Told by its own timer: a time that the run waits for has come."""

TURNED: Final = "turned"
"""Told by the run's code: it has done something, and its turn is over."""


HELD: Final = "held"
"""Told to a coordinator: the engine has asked the store, and holds the run."""


STAND_STILL: Final = "stand still"
"""Told to a coordinator while its engine is drained: say so once nothing of the run is under way."""


class TakeOn:
    """Told to a coordinator that is free: go on with a run."""

    __slots__ = ("live", "opening")

    def __init__(self, live: LiveRun, opening: Opening) -> None:
        self.live = live
        self.opening = opening


class AgentTurn:
    """Told by the engine: an attempt may ask its agent now."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: StepAttempt) -> None:
        self.attempt = attempt


class LookAt:
    """Told by its own timer: see whether an attempt waits for answers, and for nothing else."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: StepAttempt) -> None:
        self.attempt = attempt


class WriteAgain:
    """Told by the engine: the store answers again, and of what it did not take it has some all the same."""

    __slots__ = ("written",)

    def __init__(self, written: int) -> None:
        self.written = written
        """How many of the records it has that were not acknowledged."""


class Acknowledged:
    """The store has written a group of events, or failed to."""

    __slots__ = ("_coordinator", "_live", "error", "group")

    def __init__(self, live: LiveRun, coordinator: ActorRef[Any], group: Group) -> None:
        self._live = live
        self._coordinator = coordinator
        self.group = group
        self.error: BaseException | None = None

    def settle(self, error: BaseException | None) -> None:
        """Tell the coordinator, and the caller that started the run. Called on the loop."""
        live, coordinator = self._live, self._coordinator
        if error is not None:
            self.error = error
            if live.ref is coordinator:
                # At once: the coordinator may write more before it is told, and the store would
                # take what comes after a gap.
                live.refused = error
        else:
            if live.accepted is not None:
                live.accept()
            if coordinator.handle_now(self):
                return
        try:
            coordinator.tell(self)
        except ActorDied:
            pass  # it was killed, and what goes on reads what was written
