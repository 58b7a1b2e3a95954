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
        self._parts: dict[str, dict[str, None]] = {}
        """The ids of runs that are parts of others, by the id of those."""

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
        if live.run.parent is not None:
            self._parts.setdefault(live.run.parent, {})[live.id] = None

    def parts(self, run_id: str) -> list[LiveRun]:
        """Return the runs here that are parts of another."""
        return [self._runs[part] for part in self._parts.get(run_id, ())]

    def remove(self, live: LiveRun) -> None:
        """Know a run no longer, if it is the one known by its id."""
        if self._runs.get(live.id) is live:
            self._drop(live.id)
            self._finished.pop(live.id, None)

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
            self._drop(oldest)

    def _drop(self, run_id: str) -> None:
        parent = self._runs.pop(run_id).run.parent
        if parent is not None:
            parts = self._parts[parent]
            del parts[run_id]
            if not parts:
                del self._parts[parent]
