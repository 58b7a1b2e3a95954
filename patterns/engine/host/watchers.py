"""What watches an engine at work, for metrics: told of what ends in it, in numbers and names.

An engine that nothing watches pays a test for each attempt and each write, no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ..runner.attempt import StepAttempt
    from ..state.live import LiveRun
    from ..store import Acknowledge, StoreError


class EngineWatcher(Protocol):
    """Is told what an engine does. Called on the loop of a system of its; what it raises, the engine does."""

    def run_ended(self, workflow: str, state: str, seconds: float, part: bool) -> None:
        """A run has ended here, or been cut short (``interrupted``); *part*: it was a part of another."""
        ...

    def attempt_ended(self, workflow: str, step: str, outcome: str, seconds: float) -> None:
        """An attempt at a step has ended: ``ok``, ``error`` or ``cancelled``."""
        ...

    def run_recovered(self, workflow: str) -> None:
        """A run of another process, or of this one before it ended, goes on here."""
        ...

    def journal_written(self, seconds: float, error: BaseException | None) -> None:
        """The store has taken, or refused, what happened in a run, *seconds* after it was given that."""
        ...

    def outage_began(self) -> None:
        """The store does not answer."""
        ...


@runtime_checkable
class ScheduleWatcher(Protocol):
    """A watcher that is told of schedules, too."""

    def schedule_settled(
        self, schedule: str, *, fired: int, missed: int, skipped: int, failed: int
    ) -> None:
        """This engine has started, or given up, so many runs that were due by a schedule."""
        ...


class Watchers:
    """The watchers of one engine. Owned by the engine; its actors in all systems tell them."""

    def __init__(self) -> None:
        self._all: tuple[EngineWatcher, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, watcher: EngineWatcher) -> None:
        """Tell *watcher* too."""
        self._all += (watcher,)

    def remove(self, watcher: EngineWatcher) -> None:
        """Tell *watcher* nothing any more."""
        self._all = tuple(one for one in self._all if one is not watcher)

    def attempt_ended(self, attempt: StepAttempt, now: float) -> None:
        """Tell that an attempt has ended."""
        if attempt.watched is None:
            return  # it had begun before anything watched, or its end was told already
        (workflow, began), attempt.watched = attempt.watched, None
        stopped = attempt.stopping or (attempt.error is None and not attempt.answered)
        outcome = "cancelled" if stopped else "ok" if attempt.error is None else "error"
        for watcher in self._all:
            watcher.attempt_ended(workflow, attempt.plan.id, outcome, now - began)

    def run_ended(self, live: LiveRun, now: float) -> None:
        """Tell that a run has ended here."""
        run = live.run
        began = run.created_at if run.started_at is None else run.started_at
        part = run.parent is not None
        for watcher in self._all:
            watcher.run_ended(run.plan.name, str(live.state), max(0.0, now - began), part)

    def run_recovered(self, workflow: str) -> None:
        """Tell that a run goes on here."""
        for watcher in self._all:
            watcher.run_recovered(workflow)

    def schedule_settled(
        self, schedule: str, *, fired: int = 0, missed: int = 0, skipped: int = 0, failed: int = 0
    ) -> None:
        """Tell what became of starts that were due."""
        for watcher in self._all:
            if isinstance(watcher, ScheduleWatcher):
                watcher.schedule_settled(
                    schedule, fired=fired, missed=missed, skipped=skipped, failed=failed
                )

    def outage_began(self) -> None:
        """Tell that the store does not answer."""
        for watcher in self._all:
            watcher.outage_began()

    def timed(self, done: Acknowledge, clock: Callable[[], float]) -> Acknowledge:
        """Return *done*, which is given to the store now, with a look at how long that took."""
        given = clock()

        def acknowledged(error: StoreError | None) -> None:
            took_s = clock() - given
            for watcher in self._all:
                watcher.journal_written(took_s, error)
            done(error)

        return acknowledged


__all__ = ["EngineWatcher", "ScheduleWatcher", "Watchers"]
