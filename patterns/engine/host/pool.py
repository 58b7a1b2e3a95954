"""The coordinators of an engine: those that have a run, and those that wait for the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from agenticaiframework.actors import ActorRef

    from ..state.live import LiveRun

MAX_IDLE: Final = 128
"""Coordinators of one engine that are kept for the next runs."""


class CoordinatorPool:
    """Which coordinator has which run. Owned by the engine's actor."""

    def __init__(self) -> None:
        self._busy: dict[ActorRef[Any], LiveRun] = {}
        self._idle: list[ActorRef[Any]] = []
        """The one that became free last is the last."""

    @property
    def runs(self) -> Collection[LiveRun]:
        """The runs that have a coordinator."""
        return self._busy.values()

    def take(self) -> ActorRef[Any] | None:
        """Return a coordinator that waits for a run, if there is one."""
        while self._idle:
            ref = self._idle.pop()
            if ref.in_service:  # it has not been killed
                return ref
        return None

    def give(self, ref: ActorRef[Any], live: LiveRun) -> None:
        """Take note that a coordinator has a run."""
        self._busy[ref] = live

    def release(self, ref: ActorRef[Any]) -> bool:
        """Take note that a coordinator is free; return whether it is kept for the next run."""
        if len(self._idle) >= MAX_IDLE:
            return False
        self._busy.pop(ref, None)
        self._idle.append(ref)
        return True

    def ended(self, ref: ActorRef[Any]) -> LiveRun | None:
        """Take note that an actor has ended; return the run that it had, if it was a coordinator."""
        if ref in self._idle:
            self._idle.remove(ref)
        return self._busy.pop(ref, None)
