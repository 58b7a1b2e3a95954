"""Agents that react to events, and cause the next ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from agenticaiframework.actors import near

from .definition import DefinitionError, Test, compile_condition
from .drawing import Drawing
from .errors import LimitReached, PatternFailed, work_failed
from .event_matching import EventJoin, EventKey, read_event_key
from .execution import Execution
from .outcome import Completed, Failed, Outcome, Skipped, describe_error
from .pattern import OrchestrationPattern, PatternDefinition
from .policy import UnretriableError, WorkPolicy
from .reaction import Happening, Reaction
from .step import AskField, Branch, BranchField, as_list, input_scope
from .target import Resolver, Target, target_name
from .task_bag import TaskBag
from .values import Emit, read_emits


class ChoreographyDefinition(PatternDefinition):
    """A choreography: its agents, and which of them reacts to which event."""

    agents: tuple[AskField, ...] = ()
    event_handlers: dict[str, Annotated[tuple[BranchField, ...], BeforeValidator(as_list)]] = Field(
        min_length=1
    )
    event_types: dict[str, Any] = Field(default_factory=dict[str, Any])
    start_event: str | None = None
    dead_letter: str | None = None
    max_hops: int = Field(default=50, ge=1)
    max_reactions: int = Field(default=1_000, ge=1)


class WrongEvent(DefinitionError, UnretriableError):
    """An event was emitted that does not fit: its data is not of the declared type."""


@dataclass(frozen=True, slots=True)
class _Handler:
    key: EventKey
    name: str
    target: Target
    policy: WorkPolicy
    condition: Test | None


@dataclass(frozen=True, slots=True)
class _Trigger:
    """What an execution starts with."""

    events: tuple[Emit, ...]
    correlation_id: str | None
    strict: bool


@dataclass(frozen=True, slots=True)
class _Turn:
    """A handler that is due."""

    handler: _Handler
    event: str
    payload: Any
    trail: tuple[str, ...]


class ChoreographyOrchestration(OrchestrationPattern):
    """Agents that react to events, without anybody in the middle who knows the whole.

    *event_handlers* maps events to the agents that react: one, or several that react at the same
    time. ``order.*`` reacts to every such event, ``stock.ok & order.paid`` once both have happened
    (in one reaction; it then gets a mapping of event to data). A handler gets the event's data, and
    returns `Emit` (or several) to cause the next; a model returns ``{"emit": "event", "data": ...}``.

    `emit_event` returns a `Reaction` when everything has settled. A failing agent ends its own chain
    only. Events that nobody handles run nothing and are reported. With *dead_letter*, a failed
    agent or an unhandled event causes that event. *event_types* (event -> a pydantic model or type)
    are checked before anybody gets the data. A chain of more than *max_hops* events, or more than
    *max_reactions* turns in all, is an error.
    """

    kind: ClassVar[str] = "choreography"
    definition_type = ChoreographyDefinition
    example = (
        'ChoreographyOrchestration(name="orders", agents=["checker", "shipper"], event_handlers='
        '{"order.received": "checker", "order.checked": "shipper"})'
    )

    def __init__(
        self,
        name: str,
        agents: Sequence[Target | Mapping[str, Any]] = (),
        event_handlers: Mapping[str, Target | Mapping[str, Any] | Sequence[Any]] | None = None,
        *,
        event_types: Mapping[str, Any] | None = None,
        start_event: str | None = None,
        dead_letter: str | None = None,
        max_hops: int = 50,
        max_reactions: int = 1_000,
        timeout: float | None = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "agents": agents,
                    "event_handlers": dict(event_handlers or {}),
                    "event_types": dict(event_types or {}),
                    "start_event": start_event,
                    "dead_letter": dead_letter,
                    "max_hops": max_hops,
                    "max_reactions": max_reactions,
                    "timeout": timeout,
                }
            )
        )

    def _prepare(self) -> None:
        spec = self._spec
        agents = {ask.label: ask for ask in spec.agents}
        problems: list[str] = []
        handlers: list[_Handler] = []
        for event, branches in spec.event_handlers.items():
            try:
                key = read_event_key(event)
            except ValueError as error:
                problems.append(str(error))
                continue
            for branch in branches:
                name = target_name(branch.agent)
                if agents and name not in agents:
                    problems.append(
                        f"{event!r} is handled by {name!r}, which is not among the agents. "
                        f"{near(name, agents)}"
                    )
                    continue
                handlers.append(self._handler(key, branch, agents))
        adapters: dict[str, TypeAdapter[Any]] = {}
        for event, kind in spec.event_types.items():
            try:
                adapters[event] = TypeAdapter(kind)
            except Exception as error:
                problems.append(f"the type of {event!r} cannot be checked: {describe_error(error)}")
        if problems:
            raise self._wrong(*problems)
        self._handlers = tuple(handlers)
        self._types = adapters
        asks = [*spec.agents, *(b for branches in spec.event_handlers.values() for b in branches)]
        self._targets = tuple(target for ask in asks for target in ask.targets())
        if spec.agents:
            # Handlers by name stand for the agents of this choreography, also for ones given as
            # objects, whose names nobody else need know.
            own = {target_name(ask.agent) for ask in spec.agents if not isinstance(ask.agent, str)}
            self._targets = tuple(t for t in self._targets if not (isinstance(t, str) and t in own))

    @staticmethod
    def _handler(key: EventKey, branch: Branch, agents: Mapping[str, Any]) -> _Handler:
        target = branch.agent
        own = agents.get(target_name(target))
        if isinstance(target, str) and own is not None:
            target = own.agent
        policy = branch.policy if not branch.plain or own is None else own.policy
        condition = branch.condition
        return _Handler(
            key,
            branch.label,
            target,
            policy,
            None if condition is None else compile_condition(condition),
        )

    @property
    def _spec(self) -> ChoreographyDefinition:
        return cast(ChoreographyDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        return self._targets

    # -- emitting ------------------------------------------------------------------------------

    async def emit_event(
        self,
        event: str,
        data: Any = None,
        *,
        correlation_id: str | None = None,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
    ) -> Reaction:
        """Let *event* happen, and return what followed once everything has settled.

        Failed agents are in the reaction. Raises `PatternFailed` for a loop that ran into
        ``max_hops`` or ``max_reactions``, and for the time limit. Handlers find ``event`` and
        ``correlation_id`` in `agent_context`.
        """
        return await self.emit_events(
            [Emit(event, data)],
            correlation_id=correlation_id,
            timeout=timeout,
            context=context,
            resolver=resolver,
        )

    async def emit_events(
        self,
        events: Iterable[Emit],
        *,
        correlation_id: str | None = None,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
    ) -> Reaction:
        """Let several events happen together, in one reaction; see `emit_event`."""
        checked = tuple(self._checked(event) for event in events)
        trigger = _Trigger(checked, correlation_id, strict=False)
        execution = await self._run(trigger, timeout, self._scope(context, resolver))
        if execution.error is not None:
            raise execution.error
        return cast(Reaction, execution.value)

    async def coordinate(self, run: Execution) -> Any:
        trigger = self._trigger(run)
        id_ = trigger.correlation_id or f"{run.system.random.getrandbits(64):016x}"
        async with TaskBag() as bag:
            chain = _Chain(self, run, bag, id_)
            turns = [turn for emit in trigger.events for turn in chain.happen(emit, ())]
            await chain.follow(turns)
            await bag.settled()
            if chain.problem is not None:
                raise chain.problem
        reaction = Reaction(
            tuple(emit.event for emit in trigger.events),
            id_,
            tuple(chain.happenings),
            tuple(chain.unhandled),
            dict(chain.waiting()),
        )
        if trigger.strict and self._spec.dead_letter is None:
            for work, outcome in reaction.failed.items():
                raise work_failed(self.name, work, outcome, run.outcomes)
        return reaction

    def _trigger(self, run: Execution) -> _Trigger:
        given = run.input
        if isinstance(given, _Trigger):
            return given
        emits = read_emits(given)
        if not emits and isinstance(given, Mapping):
            fields = cast(Mapping[str, Any], given)
            if isinstance(fields.get("event"), str):
                emits = (Emit(fields["event"], fields.get("data")),)
        if not emits:
            if self._spec.start_event is None:
                raise PatternFailed(
                    self.name,
                    "needs to know which event happens. Execute it with "
                    '{"event": "order.received", "data": ...}, or define its start_event',
                    {},
                )
            emits = (Emit(self._spec.start_event, given),)
        return _Trigger(tuple(self._checked(emit) for emit in emits), None, strict=True)

    def _checked(self, emit: Emit) -> Emit:
        adapter = self._types.get(emit.event)
        if adapter is None:
            return emit
        try:
            return Emit(emit.event, adapter.validate_python(emit.data))
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, e['loc'])) or 'data'}: {e['msg']}"
                for e in error.errors(include_url=False)
            ]
            raise WrongEvent(f"the event {emit.event!r} of {self.name!r}", problems) from None

    def draw(self, drawing: Drawing) -> None:
        agents: dict[str, str] = {}
        for event, branches in self._spec.event_handlers.items():
            node = drawing.node(event, "join" if "&" in event else "event")
            for branch in branches:
                name = target_name(branch.agent)
                if name not in agents:
                    agents[name] = drawing.target(branch.agent)
                drawing.edge(node, agents[name])


class _Chain:
    """What follows from the first events. Owned by the coordinator of the execution."""

    def __init__(
        self, pattern: ChoreographyOrchestration, run: Execution, bag: TaskBag, id_: str
    ) -> None:
        self._pattern = pattern
        self._spec = cast(ChoreographyDefinition, pattern.definition)
        self._run = run
        self._bag = bag
        self._id = id_
        self._joins: dict[str, EventJoin] = {}
        self._names: dict[str, int] = {}
        self._turns = 0
        self.happenings: list[Happening] = []
        self.unhandled: list[Emit] = []
        self.problem: Exception | None = None

    def happen(self, emit: Emit, trail: tuple[str, ...]) -> list[_Turn]:
        """Return the turns that *emit*, after the events of *trail*, makes due."""
        trail = (*trail, emit.event)
        if len(trail) > self._spec.max_hops:
            raise self._limit("events in one chain", self._spec.max_hops, trail, "max_hops")
        turns: list[_Turn] = []
        handled = False
        for handler in self._pattern._handlers:  # pyright: ignore[reportPrivateUsage]
            if not handler.key.match(emit.event):
                continue
            handled = True
            payload = emit.data
            if handler.key.joins:
                join = self._joins.setdefault(
                    f"{handler.key.text}\n{handler.name}", EventJoin(handler.key)
                )
                payload = join.add(emit.event, emit.data)
                if payload is None:
                    continue
            if handler.condition is not None and not handler.condition(
                input_scope(payload, event=emit.event)
            ):
                continue
            turns.append(_Turn(handler, emit.event, payload, trail))
        if not handled:
            self.unhandled.append(emit)
            letter = {
                "event": emit.event,
                "data": emit.data,
                "error": "no agent handles this event",
            }
            turns.extend(self._dead_letter(letter, trail))
        self._turns += len(turns)
        if self._turns > self._spec.max_reactions:
            raise self._limit("turns", self._spec.max_reactions, trail, "max_reactions")
        return turns

    async def follow(self, turns: list[_Turn]) -> None:
        """Take *turns* and all that they cause: the first one here, the others beside it."""
        while turns:
            for turn in turns[1:]:
                self._bag.start(self.follow([turn]))
            turns = await self._take(turns[0])

    async def _take(self, turn: _Turn) -> list[_Turn]:
        handler = turn.handler
        count = self._names[handler.name] = self._names.get(handler.name, 0) + 1
        work = handler.name if count == 1 else f"{handler.name}#{count}"
        context = {"event": turn.event, "correlation_id": self._id}
        outcome = await self._run.perform(
            work, handler.target, turn.payload, handler.policy, context
        )
        emits: tuple[Emit, ...] = ()
        due: list[_Turn] = []
        try:
            if isinstance(outcome, Completed):
                try:
                    emits = tuple(map(self._pattern._checked, _caused(outcome.value)))  # pyright: ignore[reportPrivateUsage]
                except WrongEvent as error:
                    outcome = self._run.settle(work, _spoiled(outcome, error))
            for emit in emits:
                self._run.handed_off(work, emit.event, "emit")
                due.extend(self.happen(emit, turn.trail))
            if not isinstance(outcome, (Completed, Skipped)):
                letter = {
                    "event": turn.event,
                    "data": turn.payload,
                    "agent": outcome.agent,
                    "error": describe_error(outcome.cause),
                }
                due.extend(self._dead_letter(letter, turn.trail))
        except LimitReached as error:
            self.problem = self.problem or error
            self._bag.stop()
            due = []
        self.happenings.append(
            Happening(turn.event, work, outcome, tuple(e.event for e in emits), len(turn.trail))
        )
        return due

    def _dead_letter(self, letter: dict[str, Any], trail: tuple[str, ...]) -> list[_Turn]:
        event = self._spec.dead_letter
        # What goes wrong with a dead letter causes no other one.
        if event is None or event in trail:
            return []
        return self.happen(Emit(event, letter), trail)

    def waiting(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Yield the joins of which some events came and some did not."""
        for key, join in self._joins.items():
            if join.missing:
                yield key.split("\n", 1)[0], join.missing

    def _limit(self, what: str, limit: int, trail: tuple[str, ...], option: str) -> LimitReached:
        shown = " -> ".join(trail[-6:])
        if len(trail) > 6:
            shown = f"... -> {shown}"
        return LimitReached(self._spec.name, what, limit, shown, option, self._run.outcomes)


def _caused(answer: Any) -> tuple[Emit, ...]:
    """Return the events that *answer* causes; a model can only say so in a mapping."""
    if isinstance(answer, Mapping):
        fields = cast(Mapping[str, Any], answer)
        event = fields.get("emit")
        if isinstance(event, str) and event:
            return (Emit(event, fields.get("data")),)
        return ()
    return read_emits(answer)


def _spoiled(outcome: Completed, error: Exception) -> Outcome:
    return Failed(
        outcome.agent, outcome.started_at, outcome.ended_at, outcome.attempts,
        outcome.incarnation, error,
    )  # fmt: skip
