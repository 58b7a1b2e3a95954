"""`OrchestrationPattern`: what every way of coordinating agents has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast

from pydantic import Field

from agenticaiframework.actors import (
    ActorRef,
    ActorSystem,
    agents_from_here,
    find_agent,
    in_this_thread,
    nested_context,
    no_attribute,
    read_usage_limits,
    refuse_on_a_loop,
)

from ..definition.definition import Definition, define
from ..definition.drawing import Drawing
from ..definition.dump import dump_definition
from ..definition.errors import DefinitionError
from ..definition.fields import LimitsField, Seconds
from ..definition.registry import read_pattern, register_kind, registered_kind, registered_kinds
from ..vocabulary.bound_names import BoundNames, open_names
from ..vocabulary.report import Report
from ..vocabulary.target import Resolver, Scope, Target
from .coordinator import (
    Coordinator,
    StreamedCoordinator,
    run_to_end,
)
from .execution import Execution
from .made import Made
from .promises import Demand, unkept
from .stream import EmitEvent, EventStream

_EXECUTE = (
    "`await pattern.execute(input)`, or pattern.execute_sync(input) where no event loop runs."
)
_TRIED: Final = {
    "ask_sync": _EXECUTE,
    "draw": "pattern.mermaid() returns a drawing as text.",
    "invoke": _EXECUTE,
    "kickoff": _EXECUTE,
    "run_sync": _EXECUTE,
    "start": _EXECUTE,
    "to_mermaid": "It is called mermaid() here.",
}
"""Methods of patterns elsewhere."""


class PatternDefinition(Definition):
    """What every pattern is told: its name, and how long a whole execution may take (seconds), and what
    it may spend on models, over all that it asks.
    """

    name: str = Field(min_length=1)
    timeout: Seconds | None = None
    usage_limits: LimitsField = None

    also_known_as: ClassVar[Mapping[str, str]] = {
        "timeout_s": "timeout",
        "timeout_seconds": "timeout",
    }


class OrchestrationPattern(ABC, metaclass=Made):
    """A way of coordinating agents: a checked, immutable definition that may be executed many times.

    Each execution is a coordinator actor of its own; executions share nothing. A pattern stands
    wherever an agent can: as a step of another pattern, of a workflow, or in a team.

    Names are bound when the pattern is made, to the agents that `find_agent` returns there and then;
    one that is unknown or ambiguous then, and all of a pattern that `from_dict` read, are looked up at
    each execution, from where the outermost pattern is executed.

    A pattern of your own defines a `PatternDefinition` for its options, ``kind`` for its name in
    definitions that are data, and `coordinate`.
    """

    kind: ClassVar[str] = ""
    """The name of this kind of pattern in definitions: ``{"pattern": kind, ...}``."""
    definition_type: ClassVar[type[PatternDefinition]] = PatternDefinition
    example: ClassVar[str] = ""
    """A definition that works, shown when one does not."""

    resolver: Resolver | None = None
    """Finds the agents' names; an engine puts its own here when the pattern is registered with it."""

    compiled: Any = None
    """What an engine has compiled of it, to execute it as a workflow. It goes with the pattern."""

    _told_unkept = False
    """Whether it has been logged what it promises and its agents cannot keep."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        kind = cls.__dict__.get("kind")
        if kind:
            register_kind(kind, cls)

    def __init__(self, definition: PatternDefinition) -> None:
        self._definition = definition
        self._bound = BoundNames()
        """What the names in it were bound to when it was made."""
        self._prepare()

    @classmethod
    def _define(cls, data: Mapping[str, Any]) -> Any:
        """Return the checked definition for *data*; raises `DefinitionError`."""
        name = data.get("name")
        what = f"{cls.__name__} {name!r}" if isinstance(name, str) and name else cls.__name__
        return define(cls.definition_type, what, data, cls.example)

    def _wrong(self, *problems: str) -> DefinitionError:
        """Return the error that says what is wrong with the definition as a whole."""
        return DefinitionError(repr(self), problems, self.example)

    # -- what a kind of pattern says -----------------------------------------------------------

    def _prepare(self) -> None:
        """Check what concerns the definition as a whole, and compile it. Called once."""

    @abstractmethod
    def targets(self) -> Iterable[Target]:
        """Return all targets that may be asked, so that wrong names are found before anything runs."""

    def demands(self) -> Iterable[Demand]:
        """Return the targets that one execution asks at the same time, and how often."""
        return ()

    @abstractmethod
    async def coordinate(self, run: Execution) -> Any:
        """Return the result of one execution, or raise `PatternFailed`. Runs in its coordinator."""

    @abstractmethod
    def draw(self, drawing: Drawing) -> None:
        """Draw the pattern into *drawing*."""

    def check(self, resolver: Resolver | None = None) -> list[str]:
        """Return what the pattern promises to run at once and its agents cannot keep; nothing runs.

        Raises the resolver's error for a name that stands for nothing.
        """
        outer = resolver or self.resolver or agents_from_here()
        return list(dict.fromkeys(self._unkept(self._bound.within(outer), {})))

    def _unkept(self, find: Resolver, around: dict[int, None]) -> list[str]:
        """Return what this cannot keep, or else what patterns in it cannot, apart from those *around*."""
        around = {**around, id(self): None}
        nested: list[OrchestrationPattern] = []
        for target in self.targets():
            found = find(target) if isinstance(target, str) else target
            if isinstance(found, OrchestrationPattern) and id(found) not in around:
                nested.append(found)
        # What it asks of an agent by way of the patterns in it is counted here already.
        said = unkept(repr(self), self.demands(), find)
        for inner in () if said else nested:
            said += inner._unkept(inner._bound.within(find), around)
        return said

    # -- running -------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The pattern's name, in outcomes, events and errors."""
        return self._definition.name

    @property
    def identity(self) -> OrchestrationPattern:
        """What tells its executions within one another from those of others: the pattern itself."""
        return self

    @property
    def metered_as(self) -> str:
        """What kind of work it is, in the errors of its limits."""
        return "pattern"

    @property
    def definition(self) -> PatternDefinition:
        """The checked definition."""
        return self._definition

    async def execute(
        self,
        input_data: Any = None,
        *,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
        usage_limits: Any = None,
    ) -> Any:
        """Return the result of running the pattern on *input_data*.

        Raises `PatternFailed`, which carries every outcome, or the resolver's error for an unknown
        name, before any agent runs. *timeout* (seconds) and *usage_limits* replace the definition's.
        Cancelling the awaiting task, or the timeout, stops the agents' work for this execution.
        """
        scope = self._scope(context, resolver)
        execution = self._execution(input_data, timeout, scope, usage_limits)
        await run_to_end(execution, execution.system.start(Coordinator, execution))
        if execution.error is not None:
            raise execution.error
        return execution.value

    def execute_sync(
        self,
        input_data: Any = None,
        *,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what `execute` returns, for code without an event loop; this thread waits meanwhile.

        The agents work in the current system, as with `Agent.ask_sync`. Raises what `execute` raises,
        and `WouldBlock` in a thread that runs an event loop.
        """
        call = f"pattern.execute_sync(...) of {self.name!r}"
        refuse_on_a_loop(call, "await pattern.execute(...)")
        return in_this_thread(lambda: self.execute(input_data, timeout=timeout, context=context))

    async def run(
        self,
        input_data: Any = None,
        *,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
        usage_limits: Any = None,
    ) -> Report:
        """Return how running the pattern on *input_data* ended: the whole, and every piece of work.

        Raises only for unknown names and cancellation; what failed is in the report.
        """
        scope = self._scope(context, resolver)
        return (await self._run(input_data, timeout, scope, usage_limits)).report()

    def stream(
        self,
        input_data: Any = None,
        *,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
        usage_limits: Any = None,
    ) -> EventStream:
        """Return the events of running the pattern on *input_data*, for ``async for``.

        It starts with the first event asked for. Leaving the loop, or dropping the stream, cancels
        the execution.
        """

        async def start(emit: EmitEvent) -> tuple[Execution, ActorRef[Any]]:
            scope = replace(self._scope(context, resolver), emit=emit)
            execution = self._execution(input_data, timeout, scope, usage_limits)
            return execution, execution.system.start(StreamedCoordinator, execution)

        return EventStream(start)

    async def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the result of running the pattern on *payload*: what makes it an `Askable`."""
        return await self.execute(payload, timeout=timeout, context=context)

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return the result of running the pattern inside another execution.

        The shorter of *timeout* and the definition's own limit holds.
        """
        own = self._definition.timeout
        if own is not None and (timeout is None or own < timeout):
            timeout = own
        if self._bound:
            resolver = self._bound.within(scope.resolver)
            scope = Scope(resolver, scope.context, scope.emit, scope.path, scope.owner)
        execution = await self._run(payload, timeout, scope)
        if execution.error is not None:
            raise execution.error
        return execution.value

    def open_names(self) -> Iterator[str]:
        """Yield the names in it, and in patterns in it, that are not bound."""
        for target in self.targets():
            for name in open_names(target):
                if self._bound.get(name) is None:
                    yield name

    def _scope(self, context: Mapping[str, Any] | None, resolver: Resolver | None) -> Scope:
        context = nested_context(self._definition.name, context)
        outer = resolver or self.resolver
        if outer is None:
            if self._bound.open:
                outer = agents_from_here()
            elif context is None:
                return self._alone
            else:
                outer = find_agent
        return Scope(self._bound.within(outer), context)

    @cached_property
    def _alone(self) -> Scope:
        """The scope of an execution that nothing surrounds, where no name has to be looked up."""
        return Scope(self._bound)

    def _execution(
        self, input_data: Any, timeout: float | None, scope: Scope, usage_limits: Any = None
    ) -> Execution:
        definition = self._definition
        limit = definition.timeout if timeout is None else timeout
        limits = definition.usage_limits
        if usage_limits is not None:
            limits = read_usage_limits(repr(self), usage_limits)
        execution = Execution(self, input_data, scope, limit, ActorSystem.current(), limits)
        if not self._told_unkept:
            self._told_unkept = True
            for text in unkept(repr(self), self.demands(), execution.resolve):
                execution.system.log.warning(text)
        return execution

    async def _run(
        self, input_data: Any, timeout: float | None, scope: Scope, usage_limits: Any = None
    ) -> Execution:
        """Return the execution, over."""
        execution = self._execution(input_data, timeout, scope, usage_limits)
        await run_to_end(execution, execution.system.start(Coordinator, execution))
        return execution

    # -- as data -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain data, which `from_dict` reads again.

        Agents are written as their names. Raises `DefinitionError` for what has no name that another
        process could look up: a function, a condition that is one.
        """
        return {"pattern": self.kind, **dump_definition(self._definition, repr(self))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the pattern that *data* defines; raises `DefinitionError`."""
        fields = dict(data)
        kind = fields.pop("pattern", cls.kind or None)
        target = cls
        if kind != cls.kind:
            if not isinstance(kind, str):
                raise DefinitionError(cls.__name__, ['needs its kind under "pattern"'])
            found = registered_kind(kind)
            if not issubclass(found, cls):
                raise DefinitionError(
                    cls.__name__, [f"the definition is one of {found.__name__} ({kind!r})"]
                )
            target = found
        pattern = target.__new__(target)
        OrchestrationPattern.__init__(pattern, target._define(fields))
        return pattern

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of this kind of definition, for editors."""
        schema = cls.definition_type.model_json_schema()
        schema["properties"] = {"pattern": {"const": cls.kind}, **schema.get("properties", {})}
        return schema

    def mermaid(self) -> str:
        """Return the pattern drawn as a Mermaid flowchart."""
        drawing = Drawing()
        self.draw(drawing)
        return drawing.text()

    def svg(self) -> str:
        """Return the pattern drawn as an SVG file; a notebook shows it so."""
        drawing = Drawing()
        self.draw(drawing)
        return drawing.svg(self.name)

    def _repr_svg_(self) -> str:
        return self.svg()

    if not TYPE_CHECKING:  # or checkers would take every attribute for one

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, _TRIED)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def pattern_kinds() -> Mapping[str, type[OrchestrationPattern]]:
    """Return the kinds of patterns that definitions may name: kind -> class."""
    return cast("Mapping[str, type[OrchestrationPattern]]", registered_kinds())


def pattern_kind(kind: str) -> type[OrchestrationPattern]:
    """Return the class of *kind*; raises `DefinitionError` with the near names."""
    return cast("type[OrchestrationPattern]", registered_kind(kind))


def pattern_from_dict(data: Mapping[str, Any]) -> OrchestrationPattern:
    """Return the pattern that *data* defines: ``{"pattern": "sequential", "name": ..., ...}``."""
    return cast(OrchestrationPattern, read_pattern(data))
