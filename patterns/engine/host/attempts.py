"""What all attempts of an engine have in common: limits, time, spans, and what follows them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import CHUNKS, ActorDied

from ...vocabulary.chunks import ChunkSink
from ...vocabulary.target import Scope
from ..runner.attempt import WorkContext
from ..runner.messages import AgentTurn
from ..state.events import EventKind, WorkflowEvent
from .limits import AgentLimits
from .tracing import CANCELLED, OK

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from contextvars import Context

    from agenticaiframework.actors import ActorRef, ActorSystem

    from ..runner.attempt import StepAttempt
    from ..state.live import LiveRun
    from .setup import Setup
    from .tracing import Tracer

SWEEP_S: Final = 1.0
"""How often attempts are looked for that have used up the default time limit."""

_place = attrgetter("place")


class Attempts:
    """Looks after the attempts of all runs of one engine's actor, which owns this."""

    def __init__(
        self,
        setup: Setup,
        home: ActorSystem,
        tracer: Tracer | None,
        runs: Callable[[], Collection[LiveRun]],
        now: Callable[[], float],
    ) -> None:
        self._setup = setup
        self._home = home
        self._tracer = tracer
        self._runs = runs
        self._now = now
        self._limits = AgentLimits(setup.limits) if setup.limits else None
        self._sweep: TimerHandle | None = None
        """The timer of the next look for attempts that take too long."""
        default = setup.config.default_timeout_seconds
        swept = default is not None and default >= 10 * SWEEP_S
        self.default_timeout_s = default
        self._swept_timeout_s = default if swept else None
        """The default time limit, where it is long enough to be looked after now and then."""
        self._precise_timeout_s = None if swept else default
        """The default time limit, where it is so short that each attempt gets a timer."""
        self.watched = False
        """Whether each attempt is looked at: there are limits, spans, or what watches the engine."""
        self.look_again()

    # -- places at agents ------------------------------------------------------------------------

    def set_limits(self, limits: Mapping[str, int]) -> None:
        """Let new limits hold for attempts that begin from now on."""
        if self._limits is None:
            self._limits = AgentLimits(limits)
        else:
            self._limits.change(limits)
        self.watched = True

    def look_again(self) -> None:
        """Find out anew whether each attempt is looked at."""
        watchers = bool(self._setup.watchers)
        self.watched = watchers or self._tracer is not None or self._limits is not None

    def admit(self, attempt: StepAttempt) -> bool:
        """Give an attempt a place at its agent, or one in the queue for it (False)."""
        limits = self._limits
        return limits is None or limits.enter(self._limited(attempt), attempt)

    def drop(self, coordinator: ActorRef[Any]) -> None:
        """Take back the places that the attempts of a coordinator that has ended still hold."""
        if self._limits is not None:
            for attempt in self._limits.drop(coordinator):
                _give_turn(attempt)

    def _limited(self, attempt: StepAttempt) -> str:
        return self._setup.directory.agent_name(attempt.target)

    def ended(self, attempt: StepAttempt) -> None:
        """Take note that an attempt has ended, or been stopped."""
        if attempt.watched is not None:
            self._setup.watchers.attempt_ended(attempt, self._home.clock())
        if self._tracer is not None and attempt.span is not None:
            self._tracer.tell_usage(attempt.span, attempt.spent)
            stopped = attempt.stopping or (attempt.error is None and not attempt.answered)
            self._tracer.end(attempt.span, attempt.error, CANCELLED if stopped else OK)
        if self._limits is not None:
            following = self._limits.leave(self._limited(attempt), attempt)
            if following is not None:
                _give_turn(following)

    # -- time ------------------------------------------------------------------------------------

    def limit_time(self, attempt: StepAttempt, now: float) -> float | None:
        """Let the default time limit hold; return it if the caller is to look after it.

        A timer for each attempt would cost as much as the attempt's own message. The default is for
        agents that hang, and they may hang a little longer: overdue attempts are looked for once a
        second.
        """
        if self._swept_timeout_s is not None:
            attempt.asked_at = now
            if self._sweep is None:
                self._sweep_soon()
        return self._precise_timeout_s

    def stop(self) -> None:
        """Look for overdue attempts no more."""
        if self._sweep is not None:
            self._sweep.cancel()

    def _sweep_soon(self) -> None:
        self._sweep = self._home.call_later(SWEEP_S, self._look_for_overdue)

    def _look_for_overdue(self) -> None:
        """Look for overdue attempts, and again while there are any that may become so."""
        self._sweep = None
        limit_s = self._swept_timeout_s or 0.0
        begun_before = self._now() - limit_s
        taken_before = self._home.clock() - limit_s
        limited = False
        for live in list(self._runs()):
            for attempt in sorted(live.under_way, key=_place):
                if attempt.asked_at is not None:
                    limited = True
                    request = attempt.request
                    if request is None:
                        overdue = attempt.asked_at <= begun_before
                    else:  # an agent's time begins when it takes the work up
                        overdue = request.taken_at is not None and request.taken_at <= taken_before
                    if overdue:
                        attempt.expire(limit_s)
        if limited and self._sweep is None:
            self._sweep_soon()

    # -- what follows an attempt -----------------------------------------------------------------

    def observe(self, live: LiveRun, attempt: StepAttempt) -> None:
        """Begin an attempt's span, and let parts of its answer reach the listeners."""
        if self._setup.watchers:
            attempt.watched = live.run.plan.name, self._home.clock()
        if self._tracer is not None:
            self._tracer.begin_attempt(live, attempt)
        if live.listeners is not None and isinstance(attempt.context, WorkContext):
            emit = self._emitter(live, attempt)
            path = (live.run.plan.name,)
            work = attempt.plan.id
            if attempt.item is not None:  # items are answered beside each other
                work = f"{work}[{attempt.item}]"
            sink = ChunkSink(emit, self._home.clock, path, work)
            attempt.context.added = {CHUNKS: sink}

    def under_span(self, attempt: StepAttempt, variables: Context | None) -> Context | None:
        """Return *variables* such that the spans which are made in them are children of the attempt's."""
        return variables if self._tracer is None else self._tracer.inside(attempt.span, variables)

    def inherit(self, live: LiveRun, attempt: StepAttempt) -> None:
        """Build the scope that nested targets inherit."""
        emit = None if live.listeners is None else self._emitter(live, attempt)
        limit_at = live.run.limit_at
        if limit_at is not None and not attempt.undo:
            attempt.ends_at = self._home.clock() + limit_at - self._now()
        path = (live.run.plan.name, attempt.plan.id)
        names = live.resolve or self._setup.names
        attempt.scope = Scope(names, attempt.context, emit, path, attempt)

    def _emitter(self, live: LiveRun, attempt: StepAttempt) -> Callable[[Any], None]:
        def emit(event: Any) -> None:
            happened = WorkflowEvent(
                EventKind.WORK, live.id, attempt.plan.id, attempt.number, event, self._now()
            )
            live.publish([happened])

        return emit


def _give_turn(attempt: StepAttempt) -> None:
    """Tell an attempt's coordinator that it may ask its agent now."""
    if attempt.coordinator is not None:
        try:
            attempt.coordinator.tell(AgentTurn(attempt))
        except ActorDied:
            pass  # its end gives the place back
