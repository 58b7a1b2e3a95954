"""What the engine's actor is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

    from ..runner.opening import Opening
    from ..state.cancellation import Cancellation
    from ..state.live import LiveRun
    from ..store import Signal


class StartRun:
    """Take a run in: at once, or when it is its turn."""

    __slots__ = ("accepted", "live", "opening")

    def __init__(
        self,
        live: LiveRun,
        accepted: Request | None = None,
        *,
        opening: Opening = (),
    ) -> None:
        self.live = live
        self.accepted = accepted
        """Answered when the run is taken in (and stored, if it is to be)."""
        self.opening = opening


ADMIT: Final = "admit"
"""A coordinator is free again: runs that wait for their turn may have it."""


class CancelRun:
    """Cancel a run that lives here."""

    __slots__ = ("cancellation", "run_id")

    def __init__(self, run_id: str, cancellation: Cancellation) -> None:
        self.run_id = run_id
        self.cancellation = cancellation


class SignalRun:
    """Give a run that lives here a signal."""

    __slots__ = ("run_id", "signals")

    def __init__(self, run_id: str, signals: Iterable[Signal] = ()) -> None:
        self.run_id = run_id
        self.signals = tuple(signals)
        """Those that the run is not known to have."""


class WakeRun:
    """A time has come that a parked run waits for."""

    __slots__ = ("run_id",)

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


class DropRun:
    """Let go of a run that another engine has taken."""

    __slots__ = ("run_id", "why")

    def __init__(self, run_id: str, why: str) -> None:
        self.run_id = run_id
        self.why = why


class OpenStore:
    """Open the store; *request* is answered with the keeper, or fails."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = request


LOOK_AT_SCHEDULES: Final = "look at schedules"
"""Something has changed in the schedules: the engine that starts what is due looks at them now."""


class StopEngine:
    """Stop now: the engine was told to."""

    __slots__ = ()


class DrainEngine:
    """Take no new work, and give what is here to other engines within *limit_s*; *request* is answered."""

    __slots__ = ("limit_s", "request")

    def __init__(self, limit_s: float, request: Request) -> None:
        self.limit_s = limit_s
        self.request = request


class Retire:
    """Nothing holds the engine any more: end once no workflow is left that can go on."""

    __slots__ = ()
