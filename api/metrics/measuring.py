"""`measure`: a system, and its engines, in numbers."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import ActorSystem, HandlerWatch, WrongUse, watch_handlers
from agenticaiframework.patterns.engine import OrchestrationEngine

from .of_actors import ActorNumbers
from .of_cluster import ClusterNumbers
from .of_engines import EngineNumbers, look_at_engines
from .of_handlers import HandlerTimes
from .of_models import count_models
from .otel import make_instruments
from .series import AllSeries

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

EVERY_S: Final = 1.0
REST: Final = 50
"""Looking takes a fiftieth of the loop's time at most: a system of 100,000 actors is looked at less often."""
FEW: Final = 2_000
"""Up to so many actors a scrape looks at them itself, so that its numbers are those of the moment."""

_measured: weakref.WeakSet[Measures] = weakref.WeakSet()


class Measures:
    """The metrics of one system, until `stop` or the system's end. Made by `measure`.

    Owned by the thread of the system's loop; `series` may be read by any.
    """

    def __init__(self, system: ActorSystem, max_names: int) -> None:
        self.system = system
        self.series = AllSeries(max_names)
        self.engines: list[EngineNumbers] = []
        self._actors: ActorNumbers | None = None
        self._cluster: ClusterNumbers | None = None
        self._watch: HandlerWatch | None = None
        self._ends: list[Callable[[], None]] = []
        self._timer: Any = None
        self._stopped = False

    def __repr__(self) -> str:
        return f"<Measures of {self.system.name}>"

    def add_engine(self, engine: OrchestrationEngine) -> None:
        """Measure *engine* too."""
        if all(numbers.engine is not engine for numbers in self.engines):
            numbers = EngineNumbers(engine, self.series)
            self.engines.append(numbers)

    def begin(self, handler_times: bool) -> None:
        """Measure from now on; on the loop's thread."""
        system = self.system
        self._actors = ActorNumbers(system, self.series)
        cluster = self._cluster = ClusterNumbers(system, self.series)
        self._ends += [cluster.stop, self._actors.stop, count_models(system, self.series)]
        if handler_times:
            times = HandlerTimes(self.series["handler.duration"])
            watched = watch_handlers(system.scheduler, times.watch)
            if watched is not None:
                self._watch, end = watched
                self._ends.append(end)
        # A simulated run ends when nothing is to come: there, only who reads looks.
        if not hasattr(system.loop, "inline_pool"):
            self._tick_in(EVERY_S)

    def stop(self) -> None:
        """Measure no more; again: harmless. What was measured can still be read."""
        if not self._stopped:
            self._stopped = True
            _measured.discard(self)
            self.system.data.pop(Measures, None)
            self.system.scheduler.post_or_call(self._end)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for end in self._ends:
            end()
        for numbers in self.engines:
            numbers.stop()

    # -- looking -------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at everything now, where that is quick and allowed: on the loop's thread, few actors."""
        scheduler = self.system.scheduler
        here = not self._stopped and get_ident() == scheduler.home_thread and self.system.running
        if here and self._actors is not None and self.system.actor_count <= FEW:
            self._actors.look()
            self._look_around()

    def _look_around(self) -> None:
        look_at_engines(self.engines, self.system, self.series)
        if self._cluster is not None:
            self._cluster.look()

    def _tick_in(self, pause_s: float) -> None:
        loop = self.system.loop
        self._timer = loop.call_later(pause_s, self._tick, loop.time() + pause_s)

    def _tick(self, due: float) -> None:
        if self._stopped or not self.system.running or self._actors is None:
            return
        self.series["loop.lag"].observe(max(0.0, self.system.loop.time() - due))
        if self._watch is not None:
            self._watch.refresh()
        self._look_around()
        self._step(self._actors.steps(), 0.0)

    def _step(self, steps: Iterator[float], took_s: float) -> None:
        """Look at some actors, and at the next in another turn of the loop."""
        if self._stopped:
            return
        for took in steps:
            self.system.loop.call_soon(self._step, steps, took_s + took)
            return
        self._tick_in(max(EVERY_S, REST * took_s))


def measure(
    system: ActorSystem,
    engine: OrchestrationEngine | Iterable[OrchestrationEngine] = (),
    *,
    meter_provider: MeterProvider | None = None,
    handler_times: bool = True,
    max_names: int = 100,
) -> Measures:
    """Measure *system*, which runs, and *engine* (or several) in it, from now until its end.

    ::

        async with ActorSystem() as system:
            measure(system, engine)

    `metrics_text` and `metrics_app` read it; *meter_provider* has it as instruments of OpenTelemetry.
    Where nothing is measured, messages take the way they always took. Where something is, it is by
    looking once a second, and by a call for each message, which *handler_times* pays for: without it
    there is none. Agents, workflows and the like are told apart by name, the first *max_names* of each
    kind; those beyond are ``other``. Raises `WrongUse` for a system that is measured already.
    """
    if Measures in system.data:
        raise WrongUse(
            f"{system.name!r} is measured already. Add an engine to what measures it: "
            "measures.add_engine(engine)"
        )
    scheduler = system.scheduler
    measures = system.data[Measures] = Measures(system, max_names)
    if meter_provider is not None:
        make_instruments(measures.series, system.name, meter_provider)
    for one in (engine,) if isinstance(engine, OrchestrationEngine) else engine:
        measures.add_engine(one)
    scheduler.post_or_call(measures.begin, handler_times)
    system.at_stop(measures.stop)
    _measured.add(measures)
    return measures


def measured_here() -> list[Measures]:
    """Return what is measured in this process now, in the order of the systems' names."""
    return sorted(_measured, key=lambda measures: measures.system.name)


__all__ = ["Measures", "measure", "measured_here"]
