"""The runs that have to be read from the store again before they go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..state.live import LiveRun


class Unread:
    """Runs whose coordinators crashed, or whose store did not take what happened in them.

    What is in memory of such a run is not what is stored: nothing may go on from it. Owned by the
    engine's actor.
    """

    __slots__ = ("_handed_over", "_runs")

    def __init__(self) -> None:
        self._runs: dict[str, LiveRun] = {}
        self._handed_over: set[str] = set()
        """Those that have been read, and that the engine's actor has not taken in yet."""

    def __iter__(self) -> Iterator[LiveRun]:
        """Yield those that are to be read."""
        return iter([r for r in self._runs.values() if r.id not in self._handed_over])

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, live: LiveRun) -> bool:
        return live.id in self._runs

    def add(self, live: LiveRun) -> None:
        """Let a run wait until it has been read."""
        self._runs[live.id] = live
        self._handed_over.discard(live.id)

    def hand_over(self, live: LiveRun) -> None:
        """Take note that a run has been read, and is on its way to the engine's actor."""
        if live.id in self._runs:
            self._handed_over.add(live.id)

    def discard(self, live: LiveRun) -> bool:
        """Take note that a run goes on, or is over; return whether it waited for that."""
        self._handed_over.discard(live.id)
        return self._runs.pop(live.id, None) is not None
