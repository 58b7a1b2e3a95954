"""The runs that an engine has in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..state.live import LiveRun


class Roster:
    """Runs by id: all that have not ended here, and the latest of those that have.

    Owned by the engine's actor.
    """

    def __init__(self, keep_finished: int) -> None:
        self._keep_finished = keep_finished
        self._runs: dict[str, LiveRun] = {}
        self._finished: dict[str, None] = {}
        """Runs that have ended and are kept, the one that ended first in front."""

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    def get(self, run_id: str) -> LiveRun | None:
        """Return the run with this id, if it is here."""
        return self._runs.get(run_id)

    def ids(self) -> list[str]:
        """Return the ids of all runs here."""
        return list(self._runs)

    def add(self, live: LiveRun) -> None:
        """Know a run that begins or goes on here, in the place of one that has ended."""
        self._runs[live.id] = live
        self._finished.pop(live.id, None)

    def remove(self, live: LiveRun) -> None:
        """Know a run no longer, if it is the one known by its id."""
        if self._runs.get(live.id) is live:
            del self._runs[live.id]

    def keep(self, live: LiveRun) -> None:
        """Keep a run that has ended for a while, so that it can be asked about."""
        if self._runs.get(live.id) is not live:
            return
        finished = self._finished
        finished.pop(live.id, None)
        finished[live.id] = None
        if len(finished) > self._keep_finished:
            oldest = next(iter(finished))
            del finished[oldest]
            del self._runs[oldest]
