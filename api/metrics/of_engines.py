"""The numbers of an engine: what ends in it, and how loaded it is."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import (
    EngineLoad,
    OrchestrationEngine,
)
from agenticaiframework.patterns.engine.store import StoreStats

from .series import AllSeries, Labels

_COUNTED: Final = {
    "commits": "journal.commits",
    "appends": "journal.appends",
    "records": "journal.records",
    "failed_appends": "journal.failed",
}


class EngineNumbers:
    """Watches one engine (an `EngineWatcher`), and looks at it. Owned by the thread of the loop."""

    def __init__(self, engine: OrchestrationEngine, series: AllSeries) -> None:
        self.engine = engine
        self._series = series
        self._name = engine.name
        self._stats = StoreStats()
        self._runs_ended = series["workflow.ended"]
        self._run_times = series["workflow.duration"]
        self._step_times = series["workflow.step.duration"]
        self._journal_times = series["journal.duration"]
        self._stop = engine.watch(self)

    def stop(self) -> None:
        """Watch no more."""
        self._stop()

    # -- what ends -----------------------------------------------------------------------------

    def run_ended(self, workflow: str, state: str, seconds: float, part: bool) -> None:
        """Count a run; a part counts as one of its own workflow."""
        self._runs_ended.add(1, self._name, workflow, state)
        self._run_times.observe(seconds, self._name, workflow, state)

    def attempt_ended(self, workflow: str, step: str, outcome: str, seconds: float) -> None:
        """Take the time of an attempt."""
        self._step_times.observe(seconds, self._name, workflow, step, outcome)

    def run_recovered(self, workflow: str) -> None:
        """Count a run that goes on here."""
        self._series["workflow.recovered"].add(1, self._name, workflow)

    def schedule_settled(
        self, schedule: str, *, fired: int, missed: int, skipped: int, failed: int
    ) -> None:
        """Count what became of starts that were due."""
        outcomes = {"fired": fired, "missed": missed, "skipped": skipped, "failed": failed}
        for outcome, count in outcomes.items():
            if count:
                self._series["schedule.starts"].add(count, self._name, schedule, outcome)

    def journal_written(self, seconds: float, error: BaseException | None) -> None:
        """Take the time of a write."""
        outcome = "ok" if error is None else "error"
        self._journal_times.observe(seconds, self._name, outcome)

    def outage_began(self) -> None:
        """Count an outage."""
        self._series["store.outages"].add(1, self._name)

    # -- how loaded it is ----------------------------------------------------------------------

    def count_store(self, stats: StoreStats | None) -> None:
        """Count what the store has done since it was last looked at."""
        if stats is None:
            return
        before, self._stats = self._stats, stats
        if stats.commits < before.commits:
            before = StoreStats()  # another store: the engine has opened its own again
        for each in fields(stats):
            if each.name in _COUNTED:
                more = getattr(stats, each.name) - getattr(before, each.name)
                self._series[_COUNTED[each.name]].add(more, self._name)


def look_at_engines(engines: list[EngineNumbers], system: ActorSystem, series: AllSeries) -> None:
    """Take in how loaded the engines are."""
    gauges: dict[str, dict[Labels, float]] = {
        name: {}
        for name in (
            *("workflow.runs", "workflow.running", "workflow.limit", "workflow.queue"),
            *("workflow.queued", "workflow.queued.oldest", "workflow.taken"),
            *("store.outage", "journal.largest_batch"),
        )
    }
    for numbers in engines:
        load: EngineLoad = numbers.engine.load(system)
        name = numbers.engine.name
        for (workflow, state), count in load.runs.items():
            gauges["workflow.runs"][name, workflow, state] = count
        gauges["workflow.running"][name,] = load.running
        gauges["workflow.limit"][name,] = load.most
        gauges["workflow.queue"][name,] = load.queued
        for queue, (waiting, taken) in load.queues.items():
            gauges["workflow.queued"][name, queue] = waiting
            gauges["workflow.taken"][name, queue] = taken
        for queue, age in load.queue_ages.items():
            gauges["workflow.queued.oldest"][name, queue] = age
        gauges["store.outage"][name,] = load.outage_s
        numbers.count_store(load.store)
        if load.store is not None:
            gauges["journal.largest_batch"][name,] = load.store.largest_batch
    for metric, values in gauges.items():
        series[metric].replace(values)


__all__ = ["EngineNumbers", "look_at_engines"]
