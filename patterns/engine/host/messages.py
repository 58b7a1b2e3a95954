"""What the engine's actor is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

    from ..runner.messages import Cancellation
    from ..state.events import EventKind
    from ..state.run import Run
    from ..store import Signal
    from .keeper import Keeper


class Start:
    """Take a run in: at once, or when it is its turn."""

    __slots__ = ("accepted", "bypass", "opening", "run")

    def __init__(
        self,
        run: Run,
        accepted: Request | None = None,
        *,
        bypass: bool = False,
        opening: tuple[tuple[EventKind, Any], ...] = (),
    ) -> None:
        self.run = run
        self.accepted = accepted
        """Answered when the run is taken in (and stored, if it is to be)."""
        self.bypass = bypass
        """Whether it counts as part of a run that has its turn already."""
        self.opening = opening


ADMIT: Final = "admit"
"""Told by a coordinator that is free again: runs that wait for their turn may have it."""


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


class Wake:
    """A time has come that a parked run waits for."""

    __slots__ = ("run_id",)

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


class OpenStore:
    """Open the store; *request* is answered with the keeper, or fails."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = request


class KeeperReady:
    """Told when the store has been opened, or could not be."""

    __slots__ = ("error", "keeper")

    def __init__(self, keeper: Keeper, error: BaseException | None) -> None:
        self.keeper = keeper
        self.error = error


class Reload:
    """Start the coordinator of a stored run again from what is stored."""

    __slots__ = ("run",)

    def __init__(self, run: Run) -> None:
        self.run = run


class End:
    """Stop now: the engine was told to."""

    __slots__ = ()


class Retire:
    """Nobody holds the engine any more: end once no workflow is left that can go on."""

    __slots__ = ()


class Drop:
    """Let go of a run that another engine has taken."""

    __slots__ = ("run_id", "why")

    def __init__(self, run_id: str, why: str) -> None:
        self.run_id = run_id
        self.why = why
