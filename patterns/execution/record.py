"""What became of each piece of work of one execution, and the events that tell of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import Agent

from ..vocabulary.events import Ended, HandedOff, PatternEvent
from ..vocabulary.outcome import Completed, Outcome, Skipped
from ..vocabulary.target import Askable, Scope, Target, target_name

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorSystem


class Record:
    """The outcomes of one execution by the names of its work. Owned by its coordinator.

    Most work has no policy and is not streamed: it is kept as a plain tuple (`keep`), of which an
    outcome is made when `outcomes` is read.
    """

    __slots__ = ("_outcomes", "_path", "_results", "clock", "emit", "name", "scope", "system")

    def __init__(self, name: str, scope: Scope, system: ActorSystem) -> None:
        self.name = name
        """The name of what is executed."""
        self.scope = scope
        self.system = system
        self.clock = system.loop.time
        self.emit: Callable[[PatternEvent], None] | None = scope.emit
        """Takes events while the execution is streamed."""
        self._outcomes: dict[str, Outcome] | None = None
        self._results: list[tuple[str, Askable, float, float, int | None, Any]] = []
        self._path: tuple[str, ...] | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the executions around this one, and its own."""
        if self._path is None:
            self._path = (*self.scope.path, self.name)
        return self._path

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """What became of each piece of work so far, by name, in the order in which they ended."""
        outcomes = self._outcomes
        if outcomes is None:
            outcomes = self._outcomes = {}
        if self._results:
            for name, askable, started, ended, incarnation, value in self._results:
                outcomes[name] = Completed(
                    askable.name, started, ended, 1, incarnation, None, value
                )
            self._results.clear()
        return outcomes

    def keep(self, name: str, askable: Askable, started: float, ended: float, value: Any) -> None:
        """Keep *value* as the result of plain work."""
        self._results.append((name, askable, started, ended, self.incarnation(askable), value))

    def settle(self, name: str, outcome: Outcome) -> Outcome:
        """Keep *outcome* as what became of the work *name*, and emit the event."""
        self.outcomes[name] = outcome
        if self.emit is not None:
            self.emit(Ended(outcome.ended_at, self.path, name, outcome))
        return outcome

    def skip(self, name: str, target: Target, reason: str) -> Outcome:
        """Note that the work *name* is not needed, because of *reason*."""
        now = self.clock()
        return self.settle(name, Skipped(target_name(target), now, now, reason=reason))

    def handed_off(self, source: str, to: str, trigger: str) -> None:
        """Emit the event that the turn goes from *source* to *to*."""
        if self.emit is not None:
            self.emit(HandedOff(self.clock(), self.path, to, source, to, trigger))

    def incarnation(self, askable: Askable) -> int | None:
        """Return which incarnation of an agent is in service, where that is known."""
        if askable.__class__ is Agent or isinstance(askable, Agent):
            agent: Any = askable
            incarnation: int = agent.address_for(self.system).incarnation
            return incarnation
        return None
