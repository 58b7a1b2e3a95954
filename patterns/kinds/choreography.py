"""Agents that react to events, and cause the next ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from agenticaiframework.actors import near_names

from ..definition.drawing import Drawing
from ..definition.errors import DefinitionError
from ..definition.fields import compile_condition
from ..definition.step import AskField, Branch, BranchField, as_list
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..execution.task_bag import TaskBag
from ..vocabulary.errors import PatternFailed, work_failed
from ..vocabulary.outcome import describe_error
from ..vocabulary.target import Resolver, Target, target_name
from ..vocabulary.values import Emit, read_emits
from .event_chain import ChainLimits, EventChain, EventHandler
from .event_matching import EventKey, read_event_key
from .reaction import Reaction


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


@dataclass(frozen=True, slots=True)
class _Trigger:
    """What an execution starts with."""

    events: tuple[Emit, ...]
    correlation_id: str | None
    strict: bool


class ChoreographyOrchestration(OrchestrationPattern):
    """Agents that react to events, without a central agent that knows the whole.

    *event_handlers* maps events to the agents that react: one, or several that react at the same
    time. ``order.*`` reacts to every such event, ``stock.ok & order.paid`` once both have happened
    (in one reaction; it then gets a mapping of event to data). A handler gets the event's data, and
    returns `Emit` (or several) to cause the next; a model returns ``{"emit": "event", "data": ...}``.

    `emit_event` returns a `Reaction` when everything has settled. A failing agent ends its own chain
    only. Events without a handler run nothing and are reported. With *dead_letter*, a failed
    agent or an unhandled event causes that event. *event_types* (event -> a pydantic model or type)
    are checked before an agent gets the data. A chain of more than *max_hops* events, or more than
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
        usage_limits: Any = None,
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
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        spec = self._spec
        agents = {ask.label: ask for ask in spec.agents}
        problems: list[str] = []
        handlers: list[EventHandler] = []
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
                        f"{near_names(name, agents)}"
                    )
                    continue
                handlers.append(self._handler(key, branch, agents))
        adapters: dict[str, TypeAdapter[Any]] = {}
        for event, kind in spec.event_types.items():
            try:
                if isinstance(kind, str):
                    raise TypeError(f"{kind!r} is a text, and a type is needed")
                adapters[event] = TypeAdapter(kind)
            except Exception as error:
                problems.append(f"the type of {event!r} cannot be checked: {describe_error(error)}")
        start = spec.start_event
        if start is not None and not any(handler.key.match(start) for handler in handlers):
            problems.append(
                f"start_event={start!r} has no handler. {near_names(start, spec.event_handlers)}"
            )
        if problems:
            raise self._wrong(*problems)
        self._handlers = tuple(handlers)
        self._limits = ChainLimits(spec.max_hops, spec.max_reactions, spec.dead_letter)
        self._types = {event: kind for event, kind in adapters.items() if "*" not in event}
        self._wild_types = tuple(
            (read_event_key(event), kind) for event, kind in adapters.items() if "*" in event
        )
        asks = [*spec.agents, *(b for branches in spec.event_handlers.values() for b in branches)]
        self._targets = tuple(target for ask in asks for target in ask.targets())
        if spec.agents:
            # Handlers by name stand for the agents of this choreography, also for ones given as
            # objects, whose names need not be registered.
            own = {target_name(ask.agent) for ask in spec.agents if not isinstance(ask.agent, str)}
            self._targets = tuple(t for t in self._targets if not (isinstance(t, str) and t in own))

    @staticmethod
    def _handler(key: EventKey, branch: Branch, agents: Mapping[str, Any]) -> EventHandler:
        target = branch.agent
        own = agents.get(target_name(target))
        if isinstance(target, str) and own is not None:
            target = own.agent
        policy = branch.policy if not branch.plain or own is None else own.policy
        condition = branch.condition
        return EventHandler(
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
            chain = EventChain(run, bag, id_, self._handlers, self._limits, self._checked)
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
            chain.waiting,
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
        if not emits and self._spec.start_event is None and isinstance(given, Mapping):
            # Where there is a start event, what is given is its data, whatever its fields are called.
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
        event: Any = emit.event
        if not isinstance(event, str) or not event:
            raise DefinitionError(
                f"an event of {self.name!r}", [f"its name is a non-empty text, not {event!r}"]
            )
        adapter = self._types.get(event)
        for key, kind in self._wild_types:
            if adapter is None and key.match(event):
                adapter = kind
        if adapter is None:
            return emit
        try:
            return Emit(emit.event, adapter.validate_python(emit.data))
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, e['loc'])) or 'data'}: {e['msg']}"
                for e in error.errors(include_url=False)
            ]
            raise DefinitionError(f"the event {emit.event!r} of {self.name!r}", problems) from None

    def draw(self, drawing: Drawing) -> None:
        agents: dict[str, str] = {}
        for event, branches in self._spec.event_handlers.items():
            node = drawing.node(event, "join" if "&" in event else "event")
            for branch in branches:
                name = target_name(branch.agent)
                if name not in agents:
                    agents[name] = drawing.target(branch.agent)
                drawing.edge(node, agents[name])
