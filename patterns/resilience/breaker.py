"""Circuit breakers: an agent that keeps failing is left alone for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias, cast

from pydantic import Field

from agenticaiframework.actors import (
    ActorRef,
    ActorSystem,
    AgenticError,
    Degraded,
    Down,
    set_health_check,
)

from ..definition.fields import Seconds
from ..definition.policy import ErrorNames
from ..definition.step import Ask
from ..execution.execution import Execution
from ..vocabulary.causes import matches_any
from ..vocabulary.target import Target
from .guard import GuardActor, GuardDefinition, GuardedPattern, Message, ask_guard, find_guard

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]


class CircuitOpen(AgenticError):
    """The agent was not asked, because it has failed too often. ``retry_after_s`` says how long."""

    def __init__(self, circuit: str, retry_after_s: float) -> None:
        super().__init__(
            f"The circuit {circuit!r} is open after too many failures; it lets a call try again in "
            f"{retry_after_s:.3g} s."
        )
        self.circuit = circuit
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class CircuitChanged:
    """An event on the system's stream: the circuit *name* has changed its state."""

    name: str
    before: CircuitState
    state: CircuitState


@dataclass(frozen=True, slots=True)
class Trip:
    """When a circuit opens, and for how long.

    *failures* failures within *window_s* seconds open it for *reset_after_s* seconds; then at most
    *probes* calls at once may try, and as many successes in a row close it again.
    """

    failures: int
    window_s: float
    reset_after_s: float
    probes: int

    def __str__(self) -> str:
        return (
            f"{self.failures} failures in {self.window_s:g} s, then {self.reset_after_s:g} s open, "
            f"{self.probes} probes"
        )


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit at one moment. All changes are pure functions of the time."""

    state: CircuitState = "closed"
    failed_at: tuple[float, ...] = ()
    opened_at: float = 0.0
    probing: int = 0
    succeeded: int = 0

    def enter(self, trip: Trip, now: float) -> Circuit | float:
        """Return the circuit with one more call under way, or how long a call has to wait."""
        if self.state == "closed":
            return self
        circuit = self
        if circuit.state == "open":
            left = circuit.opened_at + trip.reset_after_s - now
            if left > 0:
                return left
            circuit = Circuit("half_open")
        if circuit.probing >= trip.probes:
            # The answer to the calls that are trying will tell; it may come at any time.
            return trip.reset_after_s
        return replace(circuit, probing=circuit.probing + 1)

    def success(self, trip: Trip, now: float) -> Circuit:
        """Return the circuit after a call that succeeded."""
        if self.state != "half_open":
            return self
        succeeded = self.succeeded + 1
        if succeeded >= trip.probes:
            return Circuit()
        return replace(self, probing=max(0, self.probing - 1), succeeded=succeeded)

    def failure(self, trip: Trip, now: float) -> Circuit:
        """Return the circuit after a call that failed.

        >>> trip = Trip(failures=2, window_s=10, reset_after_s=30, probes=1)
        >>> Circuit().failure(trip, 0.0).failure(trip, 11.0).state
        'closed'
        >>> Circuit().failure(trip, 0.0).failure(trip, 10.0).state
        'open'
        """
        if self.state == "open":
            return self
        if self.state == "half_open":
            return Circuit("open", opened_at=now)
        failed = (*(t for t in self.failed_at if now - t <= trip.window_s), now)
        if len(failed) >= trip.failures:
            return Circuit("open", opened_at=now)
        return replace(self, failed_at=failed)

    def abandoned(self) -> Circuit:
        """Return the circuit after a call that was called off: it says nothing about the agent."""
        return replace(self, probing=max(0, self.probing - 1))


@dataclass(frozen=True, slots=True)
class Enter(Message[Trip]):
    """Let a call of *holder* pass, or fail with `CircuitOpen`."""

    holder: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Result(Message[Trip]):
    """How the call of *holder* ended."""

    holder: ActorRef[Any]
    ended: Literal["success", "failure", "abandoned"]


class CircuitActor(GuardActor[Trip]):
    """Owns one circuit. A caller that dies while it tries counts as one that was called off."""

    kind = "circuit"

    def __init__(self, name: str, settings: Trip) -> None:
        super().__init__(name, settings)
        self._circuit = Circuit()
        self._probes: dict[ActorRef[Any], Any] = {}

    def idle(self) -> bool:
        now = self.system.clock()
        recent = [t for t in self._circuit.failed_at if now - t <= self.settings.window_s]
        return self._circuit.state == "closed" and not recent

    def decide(self, message: Any) -> Any:
        trip, now = self.settings, self.system.clock()
        match message:
            case Enter(holder=holder):
                entered = self._circuit.enter(trip, now)
                if not isinstance(entered, Circuit):
                    raise CircuitOpen(self.guard_name, entered)
                if entered.probing > self._circuit.probing:
                    self._probes[holder] = self.monitor(holder)
                self._become(entered)
            case Result(holder=holder, ended=ended):
                monitor = self._probes.pop(holder, None)
                if monitor is not None:
                    self.demonitor(monitor)
                if self._circuit.state == "closed" or monitor is not None:
                    self._settle(ended, now)
            case Down(ref=ref):
                if self._probes.pop(ref, None) is not None:
                    self._settle("abandoned", now)
            case _:
                pass
        return None

    def _settle(self, ended: str, now: float) -> None:
        circuit = self._circuit
        if ended == "success":
            self._become(circuit.success(self.settings, now))
        elif ended == "failure":
            self._become(circuit.failure(self.settings, now))
        else:
            self._become(circuit.abandoned())

    def _become(self, circuit: Circuit) -> None:
        before, self._circuit = self._circuit.state, circuit
        if before == circuit.state:
            return
        if circuit.state == "open":
            # Calls that entered before belong to the time before.
            for monitor in self._probes.values():
                self.demonitor(monitor)
            self._probes.clear()
        self._tell_health(circuit.state)
        self.system.publish(CircuitChanged(self.guard_name, before, circuit.state))
        level = "WARNING" if circuit.state == "open" else "INFO"
        self.system.log.bind(circuit=self.guard_name).write(
            level, "circuit {} is {} now (it was {})", self.guard_name, circuit.state, before
        )

    def _tell_health(self, state: CircuitState) -> None:
        """Note for health checks whether the circuit is closed."""
        not_closed: _NotClosed = self.system.data.setdefault(CircuitActor, {})
        if state == "closed":
            not_closed.pop(self.guard_name, None)
        else:
            since = not_closed[self.guard_name][1] if self.guard_name in not_closed else time.time()
            not_closed[self.guard_name] = (self.actor_ref, since)


_NotClosed: TypeAlias = dict[str, tuple[ActorRef[Any], float]]
"""The circuits that are not closed, each with its actor and since when, in seconds since the epoch."""


async def _check_circuits(system: ActorSystem) -> Degraded | None:
    """Return which circuits of a system are not closed."""
    found: _NotClosed = system.data.get(CircuitActor, {})
    since = {name: at for name, (ref, at) in found.items() if ref.is_alive()}
    if not since:
        return None
    return Degraded(f"not closed: {', '.join(sorted(since))}", min(since.values()))


set_health_check("circuits", _check_circuits)


class CircuitBreakerDefinition(GuardDefinition):
    """A circuit breaker: when it opens, for how long, for which agent, under which shared name."""

    failure_threshold: int = Field(default=5, ge=1)
    window_s: Seconds = 60.0
    reset_after_s: Seconds = 30.0
    probes: int = Field(default=1, ge=1)
    ignore: ErrorNames = ()
    circuit: str | None = Field(default=None, min_length=1)


class CircuitBreaker(GuardedPattern):
    """An *agent* that fails *failure_threshold* times within *window_s* seconds is left alone.

    For *reset_after_s* seconds calls fail at once with `CircuitOpen`, without asking it. Then up to
    *probes* calls may try; as many successes close the circuit, one failure opens it again. Timeouts
    count as failures, a cancelled call counts as nothing. Errors named in *ignore*, by class or
    class name, are the caller's fault and count as successes. All breakers of one system with the same
    *circuit* name share one circuit (default: this pattern's name). Changes are `CircuitChanged` events
    on the system's stream, and log records.

    Example: ``failure_threshold=3, window_s=10, reset_after_s=30``: failures at 0, 4 and 9 s open it
    until 39 s.
    """

    kind: ClassVar[str] = "circuit_breaker"
    definition_type = CircuitBreakerDefinition
    example = 'CircuitBreaker(name="safe search", agent="searcher", failure_threshold=3)'

    def __init__(
        self,
        name: str,
        agent: Target | Ask | Mapping[str, Any],
        *,
        failure_threshold: int = 5,
        window_s: float = 60.0,
        reset_after_s: float = 30.0,
        probes: int = 1,
        ignore: Any = (),
        circuit: str | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "agent": agent,
                    "failure_threshold": failure_threshold,
                    "window_s": window_s,
                    "reset_after_s": reset_after_s,
                    "probes": probes,
                    "ignore": ignore,
                    "circuit": circuit,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        spec = self._spec
        self._trip = Trip(spec.failure_threshold, spec.window_s, spec.reset_after_s, spec.probes)

    @property
    def _spec(self) -> CircuitBreakerDefinition:
        return cast(CircuitBreakerDefinition, self._definition)

    async def pass_through(self, run: Execution, call: Callable[[], Awaitable[Any]]) -> Any:
        spec = self._spec
        name = spec.circuit or spec.name
        holder = cast("ActorRef[Any]", run.coordinator)
        ended: Literal["success", "failure", "abandoned"] = "abandoned"
        await ask_guard(run.system, CircuitActor, name, Enter(self._trip, holder))
        try:
            answer = await call()
            ended = "success"
            return answer
        except asyncio.CancelledError:
            raise
        except Exception as error:
            ended = "success" if matches_any(error, spec.ignore) else "failure"
            raise
        finally:
            result = Result(self._trip, holder, ended)
            find_guard(run.system, CircuitActor, name, self._trip).tell(result)

    def note(self) -> str:
        return f"opens after {self._spec.failure_threshold} failures"
