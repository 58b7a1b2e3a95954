"""Guards: named actors that decide whether a call may go on, shared by all users of the name.

A guard lives in its system's registry under its kind and name, is started by the first call that needs it,
and ends once it has been idle and remembers nothing, so that a service may use any number of names.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    ReceiveTimeout,
)

from ..definition.drawing import Drawing
from ..definition.errors import DefinitionError
from ..definition.step import Ask, AskField
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..vocabulary.errors import work_failed
from ..vocabulary.outcome import Completed, Skipped
from ..vocabulary.target import Askable, Scope, Target, ask_in_scope

IDLE_S = 60.0
"""How long a guard stays after its last message; it is then made anew by the next."""
_TRIES = 5

SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True, slots=True)
class Message(Generic[SettingsT]):
    """A message to a guard, with the settings that the sender knows."""

    settings: SettingsT


class GuardActor(Actor, Generic[SettingsT]):
    """Base of guards: checks that its users agree on the settings, and ends when it is not needed."""

    kind: ClassVar[str] = "guard"

    def __init__(self, name: str, settings: SettingsT) -> None:
        super().__init__()
        self.guard_name = name
        self.settings = settings

    def on_start(self) -> None:
        self.set_receive_timeout(IDLE_S)

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, ReceiveTimeout):
            if self.idle():
                self.stop()
            return None
        if isinstance(message, Message):
            asked = cast("Message[SettingsT]", message)
            if asked.settings != self.settings:
                raise DefinitionError(
                    f"The {self.kind} {self.guard_name!r}",
                    [
                        f"it is in use with {self.settings}, and was now given {asked.settings}. All "
                        "that share a name share its settings; use another name for other settings"
                    ],
                )
        return self.decide(message)

    @abstractmethod
    def idle(self) -> bool:
        """Whether a fresh guard would be the same as this one."""

    @abstractmethod
    def decide(self, message: Any) -> Any:
        """Handle *message*; the reply, or a deferred one, lets the call go on."""


async def ask_guard(
    system: ActorSystem, guard: type[GuardActor[Any]], name: str, message: Message[Any]
) -> Any:
    """Return the answer of the guard of that *name*, which is started if there is none."""
    for attempt in range(1, _TRIES + 1):
        try:
            return await find_guard(system, guard, name, message.settings).request(message)
        except ActorDied:
            # It ended, being idle, just as this came; the next one is made for it.
            if attempt == _TRIES:
                raise
    raise AssertionError("the last try returns or raises")


def find_guard(
    system: ActorSystem, guard: type[GuardActor[Any]], name: str, settings: Any
) -> ActorRef[Any]:
    """Return the guard of that *name* in *system*, started with *settings* if there is none."""
    registered = f"{guard.kind} {name}"
    ref = system.whereis(registered)
    if ref is None:
        ref = system.start(guard, name, settings, _name=registered)
        system.register(registered, ref)
    return ref


class GuardDefinition(PatternDefinition):
    """The definition of every guarded call: the agent behind the guard."""

    agent: AskField


class GuardedPattern(OrchestrationPattern):
    """Base of the patterns that put something between the caller and one agent."""

    def _ask(self) -> Ask:
        return cast(GuardDefinition, self._definition).agent

    def targets(self) -> Iterable[Target]:
        return self._ask().targets()

    async def coordinate(self, run: Execution) -> Any:
        ask = self._ask()
        guarded = Guarded(self, run, run.resolve(ask.agent))
        outcome = await run.perform(ask.label, guarded, run.input, ask.policy)
        if isinstance(outcome, Completed):
            return outcome.value
        if isinstance(outcome, Skipped):
            return run.input
        raise work_failed(self.name, ask.label, outcome, run.outcomes)

    @abstractmethod
    async def pass_through(self, run: Execution, call: Callable[[], Awaitable[Any]]) -> Any:
        """Return ``await call()``, which asks the agent, once the guard lets it."""

    @abstractmethod
    def note(self) -> str:
        """Say what the guard does, for the drawing."""

    def draw(self, drawing: Drawing) -> None:
        start = drawing.node("input", "end")
        guard = drawing.node(f"{self.name}\n{self.note()}", "join")
        agent = drawing.target(self._ask().agent)
        drawing.edge(start, guard)
        drawing.edge(guard, agent)
        drawing.edge(agent, drawing.node("result", "end"))


class Guarded:
    """An agent behind a guard, as an `Askable`: so each attempt of a retry passes the guard."""

    __slots__ = ("_askable", "_pattern", "_run", "name")

    def __init__(self, pattern: GuardedPattern, run: Execution, askable: Askable) -> None:
        self._pattern = pattern
        self._run = run
        self._askable = askable
        self.name = askable.name

    async def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the agent's answer, once the guard has let the call pass."""
        return await self.ask_within(payload, timeout, Scope(self._run.scope.resolver, context))

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return the agent's answer; *timeout* is for the agent alone, not for the guard."""

        def call() -> Awaitable[Any]:
            return ask_in_scope(self._askable, payload, timeout, scope, self._run.system)

        return await self._pattern.pass_through(self._run, call)
