"""What an engine is made of, apart from its actor and its public face.

The face (`OrchestrationEngine`) may be dropped while workflows still run, and the actor may live in
several systems; both share this.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from agenticaiframework.actors import ActorDied, ActorSystem

from ...execution.pattern import pattern_kinds
from ...vocabulary.target import Askable
from ..definition.cache import DefinitionCache
from ..definition.config import DEFAULT_STORE, EngineConfig
from ..definition.plan import ASK, Plan, StepPlan
from ..definition.routing import Routing
from ..definition.workflow import WorkflowDefinition
from ..errors import EngineStopped, UnknownName
from ..store import Store
from ..store.urls import open_store
from .core import EngineCore
from .directory import Directory, as_askable
from .messages import OpenStore
from .nested import NestedWorkflow, TeamStep
from .tracing import Tracer

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from .keeper import Keeper
    from .otel import OtelExporter


class Setup:
    """The configuration, the names, the plans and the actors of one engine."""

    def __init__(self, name: str, config: EngineConfig) -> None:
        self.name = name
        self.config = config
        self.directory = Directory()
        self.definitions = DefinitionCache()
        self.routing = Routing()
        self.stopped = False
        self.limits: dict[str, int] = dict(config.agent_limits)
        self._store: Store | None = None
        self._store_users = 0
        self._store_loop: AbstractEventLoop | None = None
        self._store_lock = Lock()
        self._cores: weakref.WeakSet[EngineCore] = weakref.WeakSet()
        self._last: EngineCore | None = None
        self._by_pattern: dict[str, Plan] = {}
        self._exporter: OtelExporter | None = None
        self._exporter_made = False

    # -- its actors --------------------------------------------------------------------------------

    def core(self) -> EngineCore:
        """Return the engine's actor in the current system, started when first needed."""
        if self.stopped:
            raise EngineStopped(self.name)
        system = ActorSystem.current()
        cores: dict[Setup, EngineCore] = system.data.setdefault(EngineCore, {})
        core = cores.get(self)
        if core is None or not core.actor_ref.is_alive():
            system.start(EngineCore, self, system, _name=f"engine {self.name}")
            core = self._last = cores[self]
            self._cores.add(core)
        return core

    def cores(self) -> list[EngineCore]:
        """Return the engine's actors that still live, in whatever system."""
        return [core for core in self._cores if core.actor_ref.is_alive()]

    @property
    def last_core(self) -> EngineCore | None:
        """The actor that was started last, also when it has ended: its spans stay readable."""
        return self._last

    def core_or_none(self) -> EngineCore | None:
        """Return the engine's actor in the current system, if it has been started."""
        system = ActorSystem.current_or_none()
        if system is None:
            return None
        cores = cast("dict[Setup, EngineCore]", system.data.get(EngineCore, {}))
        return cores.get(self)

    def limits_changed(self) -> None:
        """Have the actors that run already know of a new limit."""
        for core in self.cores():
            core.attempts.set_limits(self.limits)

    async def keeper(self, core: EngineCore) -> Keeper:
        """Return what connects *core* with its store, which is opened when first needed."""
        if core.keeper is not None:
            return core.keeper
        waiting = core.promise()
        try:
            core.actor_ref.tell(OpenStore(waiting))
        except ActorDied:
            raise EngineStopped(self.name) from None
        keeper: Keeper = await waiting
        return keeper

    def hold_store(self, loop: AbstractEventLoop) -> Store:
        """Return the store that the configuration names, for one more actor of this engine.

        A store belongs to one loop at a time. An actor on another loop meanwhile, in another thread,
        gets one of its own on the same medium.
        """
        given = self.config.state_store
        with self._store_lock:
            store = self._store
            if not isinstance(given, str):
                store = cast("Store", given)
            elif store is None or self._elsewhere(loop):
                if given == DEFAULT_STORE:
                    # Its folder is ours. One that somebody named and that is not there is a mistake.
                    Path(DEFAULT_STORE.removeprefix("sqlite:///")).parent.mkdir(exist_ok=True)
                store = open_store(given, clock=self.config.wall_clock)
                if self._store is not None:
                    return store
            self._store = store
            self._store_loop = loop
            self._store_users += 1
            return store

    def _elsewhere(self, loop: AbstractEventLoop) -> bool:
        if self._store_loop is not None and self._store_loop.is_closed():
            self._store_users = 0  # those who could not let it go
        in_use = bool(self._store_users) and self._store_loop is not loop
        return in_use and not self._in_memory

    @property
    def _in_memory(self) -> bool:
        return str(self.config.state_store).startswith("memory:")

    def let_store_go(self, store: Store) -> bool:
        """Take one user off *store*; return whether that was the last, who has to close it.

        The actor that takes the place of one that was killed may use it already.
        """
        with self._store_lock:
            if store is not self._store:
                return True
            self._store_users -= 1
            if self._store_users:
                return False
            if isinstance(self.config.state_store, str) and not self._in_memory:
                # Whoever needs one while this one is being closed, in another thread, makes one.
                self._store = None
            return True

    # -- names -------------------------------------------------------------------------------------

    def resolve(self, name: Any) -> Askable:
        """Return who *name* stands for, or what was given itself; raises `UnknownName`."""
        found = self.directory.find(name) if isinstance(name, str) else name
        if isinstance(found, WorkflowDefinition):
            return cast("Askable", NestedWorkflow(self, found.plan))
        return as_askable(found)

    def bind(self, plan: Plan) -> tuple[Any, ...]:
        """Return who is asked in each step, by index; raises `UnknownName` before anything runs."""
        cached = plan.bound
        if cached is not None and cached[0] is self and cached[1] == self.directory.version:
            return cached[2]
        bound = tuple(self._target(plan, step) if step.kind == ASK else None for step in plan.steps)
        for step in plan.steps:
            where = f"workflow {plan.name!r}, step {step.id!r}"
            if step.fallback is not None and isinstance(step.fallback.fallback, str):
                self.directory.find(step.fallback.fallback, where)
            compensation = step.definition.compensate
            if compensation is not None and isinstance(compensation.agent, str):
                self.directory.find(compensation.agent, where)
        if all(self._lasting(step) for step in plan.steps):
            plan.bound = (self, self.directory.version, bound)
        return bound

    def _lasting(self, step: StepPlan) -> bool:
        """Tell whether a look-up holds until the next registration."""
        target = step.definition.target
        directory = self.directory
        return (
            not isinstance(target, str)
            or target in directory.agents
            or target in directory.teams
            or target in directory.patterns
        )

    def _target(self, plan: Plan, step: StepPlan) -> Any:
        where = f"workflow {plan.name!r}, step {step.id!r}"
        definition = step.definition
        if definition.agent is not None:
            if not isinstance(definition.agent, str):
                return as_askable(definition.agent)
            found = self.directory.find(definition.agent, where)
            if isinstance(found, WorkflowDefinition):
                return NestedWorkflow(self, found.plan)
            return as_askable(found)
        if definition.team is not None:
            team = self.directory.team(definition.team, where)
            actions: Any = definition.workflow
            return TeamStep(team, actions, self) if actions else as_askable(team)
        if definition.pattern is not None:
            return as_askable(self.directory.pattern(definition, where))
        workflow = definition.workflow
        if isinstance(workflow, str):
            workflow = self.directory.workflow(workflow, where)
        nested = cast("WorkflowDefinition", workflow).plan
        self.bind(nested)
        return NestedWorkflow(self, nested)

    def plan_of(self, workflow: Any, pattern: Any, input_data: Any) -> Plan:
        """Return what a call of `execute` or `start_workflow` is to run."""
        if workflow is not None and pattern is not None:
            raise ValueError("give workflow=... or pattern=..., not both")
        if pattern is not None:
            return self._pattern_plan(pattern)
        if workflow is None:
            workflow = self.routing.pick(input_data)
        if isinstance(workflow, Plan):
            return workflow
        return self.definition_of(workflow).plan

    def definition_of(self, workflow: Any) -> WorkflowDefinition:
        """Return what a call names, or gives, as a checked definition."""
        if isinstance(workflow, str):
            return self.directory.workflow(workflow)
        return self.definitions.get(workflow)

    def _pattern_plan(self, pattern: Any) -> Plan:
        name = pattern if isinstance(pattern, str) else getattr(pattern, "name", "pattern")
        if isinstance(pattern, str):
            plan = self._by_pattern.get(pattern)
            if plan is not None:
                return plan
            if pattern not in self.directory.patterns:
                known = [*self.directory.patterns]
                hint = (
                    "A kind of pattern needs agents: use a step or a routing rule"
                    if pattern in pattern_kinds()
                    else ""
                )
                raise UnknownName("pattern", pattern, known, hint=hint)
        plan = self.definitions.get(
            {
                "name": name,
                "steps": [{"id": "pattern", "pattern": pattern, "input": "$input"}],
                "output": "$pattern",
            }
        ).plan
        if isinstance(pattern, str):
            self._by_pattern[pattern] = plan
        return plan

    # -- tracing -----------------------------------------------------------------------------------

    def make_tracer(self, now: Callable[[], float], rng: random.Random) -> Tracer:
        """Return a tracer that exports where OpenTelemetry is installed."""
        if not self._exporter_made:
            self._exporter_made = True
            from .otel import make_exporter

            self._exporter = make_exporter()
        return Tracer(self.config.max_spans, now, rng, self._exporter)
