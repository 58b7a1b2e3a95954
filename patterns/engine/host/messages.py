"""What the engine's actor is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

    from ..runner.machine import Opening
    from ..state.cancellation import Cancellation
    from ..state.live import LiveRun
    from ..store import Signal


class StartRun:
    """Take a run in: at once, or when it is its turn."""

    __slots__ = ("accepted", "live", "opening", "part")

    def __init__(
        self,
        live: LiveRun,
        accepted: Request | None = None,
        *,
        part: bool = False,
        opening: Opening = (),
    ) -> None:
        self.live = live
        self.accepted = accepted
        """Answered when the run is taken in (and stored, if it is to be)."""
        self.part = part
        """Whether it is part of a run that has its turn already."""
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

    def __init__(self, run_id: str, signals: Iterable[Signal]) -> None:
        self.run_id = run_id
        self.signals = tuple(signals)


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


class StopEngine:
    """Stop now: the engine was told to."""

    __slots__ = ()


class Retire:
    """Nothing holds the engine any more: end once no workflow is left that can go on."""

    __slots__ = ()
