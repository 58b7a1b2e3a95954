"""What all attempts of an engine have in common: limits, time, spans, and who follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import ActorDied

from ...vocabulary.chunks import CHUNKS, ChunkSink
from ...vocabulary.target import Scope, target_name
from ..runner.messages import Turn
from ..runner.work import Unit, WorkContext
from ..state.events import EventKind, WorkflowEvent
from .limits import AgentLimits
from .tracing import CANCELLED, OK, Tracer

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef

    from ..state.run import Run
    from .core import EngineCore

SWEEP_S: Final = 1.0
"""How often attempts are looked for that have used up the default time limit."""


_place = attrgetter("place")


class Attempts:
    """Looks after the attempts of all runs of one engine's actor, which owns this."""

    def __init__(self, core: EngineCore, limits: Mapping[str, int]) -> None:
        self._core = core
        self._limits = AgentLimits(limits) if limits else None
        self._sweep: asyncio.TimerHandle | None = None
        """The timer of the next look for attempts that take too long."""
        self.sweeping = False
        default = core.config.default_timeout_seconds
        swept = default is not None and default >= 10 * SWEEP_S
        self.default_timeout_s = default
        self.swept_timeout_s = default if swept else None
        """The default time limit, where it is long enough to be looked after now and then."""
        self.precise_timeout_s = None if swept else default
        """The default time limit, where it is so short that each attempt gets a timer."""
        self.quick = core.tracer is None and self._limits is None
        """Whether nothing here wants to know of each attempt."""

    def set_limits(self, limits: Mapping[str, int]) -> None:
        """Let new limits hold for attempts that begin from now on."""
        if self._limits is None:
            self._limits = AgentLimits(limits)
        else:
            self._limits.change(limits)
        self.quick = False

    def stop(self) -> None:
        """Stop looking."""
        if self._sweep is not None:
            self._sweep.cancel()

    def drop(self, coordinator: ActorRef[Any]) -> None:
        """Take back the places that the attempts of a coordinator that has ended still hold."""
        if self._limits is not None:
            for unit in self._limits.drop(coordinator):
                self.give_turn(unit)

    def has_room(self, unit: Unit) -> bool:
        """Give an attempt a place at its agent, or in the queue for it (False)."""
        limits = self._limits
        return limits is None or limits.enter(self._limited(unit), unit)

    def observe(self, run: Run, unit: Unit) -> None:
        """Begin an attempt's span, and let its agent's parts of an answer reach who streams."""
        if self._core.tracer is not None:
            self._begin_span(self._core.tracer, run, unit)
        if run.listeners is not None and isinstance(unit.context, WorkContext):
            emit = self._emitter(run, unit)
            path = (run.plan.name,)
            sink = ChunkSink(emit, self._core.home.clock, path, unit.plan.id)
            unit.context.added = {CHUNKS: sink}

    def prepare_scope(self, run: Run, unit: Unit) -> None:
        """Give whoever asks others itself what it hands down to them."""
        emit = None if run.listeners is None else self._emitter(run, unit)
        path = (run.plan.name, unit.plan.id)
        unit.scope = Scope(self._core.resolve, unit.context, emit, path, unit)

    def limit_time(self, unit: Unit, now: float) -> None:
        """Let the default time limit hold for an attempt.

        A timer for each attempt would cost as much as the attempt's own message. The default is for
        agents that hang, and they may hang a little longer: overdue attempts are looked for once a
        second.
        """
        if self.swept_timeout_s is not None:
            unit.deadline = now + self.swept_timeout_s
            if not self.sweeping:
                self.sweep()

    def sweep(self) -> None:
        """Look for overdue attempts soon, and again while there are any that may become so."""
        self.sweeping = True
        self._sweep = self._core.home.call_later(SWEEP_S, self._look_for_overdue)

    def _look_for_overdue(self) -> None:
        self._sweep = None
        self.sweeping = False
        now = self._core.now()
        limit = self.swept_timeout_s or 0.0
        waiting = False
        for run in list(self._core.coordinators.values()):
            for unit in sorted(run.asked, key=_place):
                if unit.deadline is not None:
                    waiting = True
                    if unit.deadline <= now:
                        unit.expire(limit)
        if waiting and not self.sweeping:
            self.sweep()

    def _emitter(self, run: Run, unit: Unit) -> Callable[[Any], None]:
        def emit(event: Any) -> None:
            happened = WorkflowEvent(
                EventKind.WORK, run.id, unit.plan.id, unit.attempt, event, self._core.now()
            )
            self._core.publish(run, [happened])

        return emit

    def _begin_span(self, tracer: Tracer, run: Run, unit: Unit) -> None:
        name = target_name(unit.target)
        unit.span = tracer.start(
            f"invoke_agent {name}",
            "attempt",
            run.id,
            run.span,
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": name,
                "workflow.step": unit.plan.id,
                "workflow.attempt": unit.attempt,
            },
        )

    def ended(self, run: Run, unit: Unit) -> None:
        """Note that an attempt has ended, or been stopped."""
        if self._core.tracer is not None and unit.span is not None:
            stopped = unit.stopping or (unit.error is None and not unit.answered)
            self._core.tracer.end(unit.span, unit.error, CANCELLED if stopped else OK)
        limits = self._limits
        if limits is not None:
            following = limits.leave(self._limited(unit), unit)
            if following is not None:
                self.give_turn(following)

    def _limited(self, unit: Unit) -> str:
        return self._core.setup.directory.agent_name(unit.target)

    @staticmethod
    def give_turn(unit: Unit) -> None:
        try:
            unit.coordinator.tell(Turn(unit))
        except ActorDied:
            pass  # its end gives the place back
