"""The numbers of the actors, by looking at them: nothing is added to what they do.

A look goes through all actors, some hundred in one turn of the loop, so that it holds nothing up.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from agenticaiframework.actors import (
    ActorRef,
    ActorSystem,
    DeadLetter,
    GaveUp,
    Glance,
    agent_name_of,
    glance,
    hands_on,
    is_incarnation_in_pool,
)
from agenticaiframework.supervision import ChildRestarting, SupervisorReport

from .series import AllSeries, Labels

AT_ONCE: Final = 200
"""Actors looked at in one turn of the loop: some tenths of a millisecond."""
MANY_ASKS: Final = 100_000
"""Asks whose age is known; of more, only how many there are."""


def label_of(ref: ActorRef[Any]) -> str:
    """Return what an actor is called in metrics: its agent's name, or its class.

    Never a name of its own: there is one for each session, perhaps.
    """
    return agent_name_of(ref) or ref.actor_class.__name__


def supervisor_of(ref: ActorRef[Any]) -> str:
    """Return what a supervisor is called in metrics: its name, or its class."""
    return ref.name or ref.actor_class.__name__


def word_for(reason: Any) -> str:
    """Return *reason* in a word: a text itself, of an error its class."""
    return reason if isinstance(reason, str) else type(reason).__name__


class _Sums:
    """What one look has found so far, by the actors' labels."""

    def __init__(self) -> None:
        self.by_metric: dict[str, dict[Labels, float]] = {
            name: defaultdict(float) for name in (*SUMS, *LARGEST)
        }

    def add(self, name: str, label: str, value: float) -> None:
        """Add *value* to the sum of that name."""
        self.by_metric[name][label,] += value

    def largest(self, name: str, label: str, value: float) -> None:
        """Let *value* count if it is the largest."""
        values = self.by_metric[name]
        if value > values[label,]:
            values[label,] = value


SUMS: Final = ("actors", "mailbox.length", "handlers.busy", "handlers.limit", "asks")
LARGEST: Final = ("mailbox.longest", "handlers.longest", "asks.oldest")


class ActorNumbers:
    """Looks at the actors of a system. Owned by the thread of its loop."""

    def __init__(self, system: ActorSystem, series: AllSeries) -> None:
        self._system = system
        self._series = series
        self._handled: dict[ActorRef[Any], int] = {}
        """How many messages of each live actor have been counted."""
        self._gone: list[ActorRef[Any]] = []
        """Actors that have ended since the last look."""
        self._asks: dict[int, tuple[Any, float]] = {}
        """Asks without an answer at the last look, and when each was first seen; held until the next, so
        that no other has the identity of one meanwhile."""
        self._abandoned = system.abandoned
        self._late = system.scheduler.late_replies
        self._ends = (
            system.on_actor_end(self._ended),
            system.dead_letters.subscribe(self._dead_letter),
            system.subscribe(self._reported, SupervisorReport),
            system.subscribe(self._restarts, ChildRestarting),
            system.subscribe(self._gave_up, GaveUp),
        )

    def stop(self) -> None:
        """Look no more."""
        for end in self._ends:
            end()

    def look(self) -> None:
        """Look at all actors at once."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[float]:
        """Look at the actors, some of them in each step; yield the seconds that each has taken."""
        sums = _Sums()
        asks: dict[int, tuple[Any, float]] = {}
        refs = self._system.actors()
        for first in range(0, len(refs), AT_ONCE):
            began = time.perf_counter()
            now = self._system.clock()
            for ref in refs[first : first + AT_ONCE]:
                if not ref.ended:
                    self._take_in(ref, glance(ref), sums, asks, now)
            yield time.perf_counter() - began
        gone, self._gone = self._gone, []
        for ref in gone:
            self._count(ref, label_of(ref), glance(ref).handled)
            self._handled.pop(ref, None)
        self._asks = asks
        for name in SUMS:
            self._series[name].replace(sums.by_metric[name])
        for name in LARGEST:
            self._series[name].replace(sums.by_metric[name], largest=True)
        self._look_at_system()

    def _take_in(
        self,
        ref: ActorRef[Any],
        seen: Glance,
        sums: _Sums,
        asks: dict[int, tuple[Any, float]],
        now: float,
    ) -> None:
        label = label_of(ref)
        self._count(ref, label, seen.handled)
        sums.add("actors", label, 1)
        if seen.asked:
            self._look_at_asks(label, seen, sums, asks, now)
        if seen.busy_s is not None and not hands_on(ref):
            sums.largest("handlers.longest", label, seen.busy_s)
        if is_incarnation_in_pool(ref):
            return  # what waits, and what is in hand, its pool says
        if seen.waiting:
            sums.add("mailbox.length", label, seen.waiting)
            sums.largest("mailbox.longest", label, seen.waiting)
        busy, limit = seen.workload or (0 if seen.busy_s is None else 1, 1)
        sums.add("handlers.busy", label, busy)
        sums.add("handlers.limit", label, limit)

    def _look_at_asks(
        self,
        label: str,
        seen: Glance,
        sums: _Sums,
        asks: dict[int, tuple[Any, float]],
        now: float,
    ) -> None:
        known = self._asks
        for ask in seen.asked:
            if not getattr(ask, "asker_waiting", True):
                continue
            sums.add("asks", label, 1)
            if len(asks) < MANY_ASKS:
                entry = asks[id(ask)] = known.get(id(ask)) or (ask, now)
                sums.largest("asks.oldest", label, now - entry[1])
        # One that came between two looks is as old as its handler at least.
        if seen.busy_s is not None:
            sums.largest("asks.oldest", label, seen.busy_s)

    def _count(self, ref: ActorRef[Any], label: str, handled: int) -> None:
        """Count the messages that *ref* has handled since it was last looked at."""
        if is_incarnation_in_pool(ref):
            return  # its pool has counted them
        more = handled - self._handled.get(ref, 0)
        if more:
            self._handled[ref] = handled
            self._series["messages"].add(more, label)

    def _look_at_system(self) -> None:
        system, series = self._system, self._series
        scheduler = system.scheduler
        abandoned, self._abandoned = self._abandoned, system.abandoned
        late, self._late = self._late, scheduler.late_replies
        series["handlers.abandoned"].add(system.abandoned - abandoned)
        series["late_replies"].add(scheduler.late_replies - late)
        threads: dict[Labels, float] = {}
        limits: dict[Labels, float] = {}
        queues: dict[Labels, float] = {}
        for pool, load in system.pools.loads().items():
            for state in ("busy", "waiting", "idle", "stuck"):
                threads[pool, state] = getattr(load, state)
            limits[pool,], queues[pool,] = load.most, load.queued
        series["pool.threads"].replace(threads)
        series["pool.limit"].replace(limits)
        series["pool.queue"].replace(queues)

    # -- what happens --------------------------------------------------------------------------

    def _ended(self, ref: ActorRef[Any], reason: Any) -> None:
        self._gone.append(ref)  # what it has handled in its last turn is known after that
        self._series["actor.ends"].add(1, label_of(ref), word_for(reason))

    def _dead_letter(self, letter: DeadLetter) -> None:
        self._series["dead_letters"].add(1, word_for(letter.reason))

    def _reported(self, report: SupervisorReport) -> None:
        supervisor = supervisor_of(report.supervisor)
        self._series["supervisor.reports"].add(report.children, supervisor, report.kind.value)

    def _restarts(self, event: ChildRestarting) -> None:
        # The children of some supervisors have no names, but numbers.
        child = event.child if isinstance(event.child, str) else "unnamed"
        self._series["supervisor.restarts"].add(1, supervisor_of(event.supervisor), child)

    def _gave_up(self, _gave_up: GaveUp) -> None:
        self._series["give_ups"].add(1)


__all__ = ["ActorNumbers", "label_of", "word_for"]
