"""What an engine is made of, apart from its actor and its public class.

The public class (`OrchestrationEngine`) may be dropped while workflows still run, and the actor may
live in several systems; both share this.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from agenticaiframework.actors import Agent, Log, agents_from_here, find_agent

from ...execution.pattern import OrchestrationPattern, pattern_kinds
from ...vocabulary.target import Askable, Resolver
from ..code.workflow import AnyWorkflow, CodeWorkflow
from ..definition.cache import DefinitionCache
from ..definition.plan import ASK, Plan, StepPlan
from ..definition.routing import Routing
from ..definition.workflow import WorkflowDefinition, define_workflow
from ..errors import UnknownName
from .directory import Directory, as_askable
from .engine_names import EngineNames
from .held_store import HeldStore
from .otel import make_exporter
from .promises import too_high, unkept_by
from .team_actions import TeamActions
from .tracing import Tracer
from .watchers import Watchers

if TYPE_CHECKING:
    from ..definition.config import EngineConfig
    from .otel import OtelExporter


KEPT_PLANS: Final = 1_000


class Setup:
    """The configuration, the names and the plans of one engine, and the store that it uses.

    Owned by the engine; *nest* makes of a plan something that can be asked.
    """

    def __init__(self, name: str, config: EngineConfig, nest: Callable[[Plan], Askable]) -> None:
        self.name = name
        self.config = config
        self.directory = Directory()
        self.names = EngineNames(self.directory, nest, find_agent)
        """Finds names apart from any run."""
        self.definitions = DefinitionCache()
        self.routing = Routing()
        self.stopped = False
        """Whether the engine was told to stop."""
        self.store = HeldStore(config)
        self.watchers = Watchers()
        self.limits: dict[str, int] = dict(config.agent_limits)
        self._told_limits: set[str] = set()
        """What has been said of limits that are higher than what their agents handle at once."""
        self._log = Log(engine=name)
        self._nest = nest
        self._by_pattern: dict[str, Plan] = {}
        self._exporter: OtelExporter | None = None
        self._exporter_made = False
        self.served = frozenset(queue.name for queue in config.queues)
        """The queues that the engine serves."""
        self.queued_plans: dict[str, Plan] = {}
        """Plans of runs that were put into queues here, by hash, the latest: agents and functions that stand in
        them themselves are stored by their names."""
        self.told_queues: set[str] = set()
        """Queues that it does not serve, and of which that has been logged."""
        self.has_schedules = False
        """Whether a schedule was made through this engine."""
        self.draining = False
        """Whether the engine takes no new work."""

    @property
    def starts_scheduled(self) -> bool:
        """Whether the engine starts what is due by the schedules in its store."""
        wanted = self.config.run_schedules
        return (self.has_schedules or self.config.recovers) if wanted is None else wanted

    # -- names -------------------------------------------------------------------------------------

    def resolve(self, name: Any) -> Askable:
        """Return what *name* stands for, or what was given itself; raises `UnknownName`."""
        return self.names(name)

    def names_of(self, plan: Plan, outer: Resolver | None = None) -> EngineNames:
        """Return what finds the names of *plan*, within what *outer* finds: agents seen from here."""
        around = agents_from_here() if outer is None else outer
        bound, agents = plan.definition.bound, self.config.agents
        confined = bound.loaded if agents is None else agents == "registered"
        if not confined and isinstance(around, EngineNames):
            around = around.set_free()  # made by the program, though a text has named it
        return EngineNames(self.directory, self._nest, around, bound, confined)

    def bind(self, plan: Plan, names: EngineNames) -> tuple[Any, ...]:
        """Return the targets of the steps, by index; raises `UnknownName` before anything runs."""
        if plan.grows:
            return ()  # what code asks is known when it asks
        cached = plan.bound
        if cached is not None and cached[0] is self and cached[1] == self.directory.version:
            return cached[2]
        bound = tuple(
            self._target(plan, step, names) if step.kind == ASK else None for step in plan.steps
        )
        for step in plan.steps:
            for name in step.needed_later:
                names.hold(name, f"workflow {plan.name!r}, step {step.id!r}")
        if not plan.told:
            self.tell_unkept(plan, bound, names)
        if all(self._lasting(plan, step) for step in plan.steps):
            plan.bound = (self, self.directory.version, bound)
        return bound

    def bind_rest(
        self, plan: Plan, names: EngineNames, missing: Callable[[StepPlan, bool], bool]
    ) -> tuple[Any, ...]:
        """Return the targets of the steps of a run that goes on, by index.

        *missing* tells of a step whether its target may be missing (True: what is asked later, when it
        has failed or is undone). Raises `UnknownName` for what may not be.
        """
        try:
            return self.bind(plan, names)
        except Exception:
            bound: list[Any] = []
            for step in plan.steps:
                target = None
                try:
                    target = self._target(plan, step, names) if step.kind == ASK else None
                except Exception:
                    if not missing(step, False):
                        raise
                bound.append(target)
                for name in step.needed_later:
                    try:
                        names.hold(name, f"workflow {plan.name!r}, step {step.id!r}")
                    except Exception:
                        if not missing(step, True):
                            raise
            return tuple(bound)

    def keep_queued(self, plan: Plan) -> None:
        """Know the plan of a run that was put into a queue, should this engine take it."""
        kept = self.queued_plans
        kept.pop(plan.hash, None)
        kept[plan.hash] = plan
        if len(kept) > KEPT_PLANS:
            del kept[next(iter(kept))]

    def unkept(self, plan: Plan, bound: tuple[Any, ...], names: EngineNames) -> list[str]:
        """Return what *plan* promises to run at once and its agents cannot keep."""
        problems = unkept_by(plan, bound, names, self._limit_of)
        for target in dict.fromkeys(t for t in bound if isinstance(t, Agent)):
            name = self.directory.agent_name(target)
            high = too_high(name, target, self.limits.get(name, 0))
            if high is not None:
                problems.append(high)
        return problems

    def tell_unkept(self, plan: Plan, bound: tuple[Any, ...], names: EngineNames) -> list[str]:
        """Log, and return, what *plan* promises and its agents cannot keep."""
        plan.told = True
        problems = self.unkept(plan, bound, names)
        for text in problems:
            if text not in self._told_limits:
                self._log.warning("{}", text)
        return problems

    def limit(self, name: str, agent: Any, limit: int) -> None:
        """Let *limit* steps at once ask *agent*; log it if that handles fewer."""
        self.limits[name] = limit
        high = too_high(name, agent, limit)
        if high is not None and high not in self._told_limits:
            self._told_limits.add(high)
            self._log.warning("{}", high)

    def _limit_of(self, agent: Agent) -> int | None:
        return self.limits.get(self.directory.agent_name(agent)) if self.limits else None

    def _lasting(self, plan: Plan, step: StepPlan) -> bool:
        """Tell whether the look-ups of a step hold until the next registration."""
        directory, definition = self.directory, step.definition
        target = definition.team or definition.pattern
        if isinstance(target, str) and not (
            target in directory.teams or target in directory.patterns
        ):
            return False
        named = step.needed_later if target is not None else (definition.agent, *step.needed_later)
        return all(
            not isinstance(name, str)
            or name in directory.agents
            or name in directory.teams
            or name in directory.patterns
            or (not directory.supervisors and plan.definition.bound.get(name) is not None)
            for name in named
        )

    def _target(self, plan: Plan, step: StepPlan, names: EngineNames) -> Any:
        where = f"workflow {plan.name!r}, step {step.id!r}"
        definition = step.definition
        if definition.agent is not None:
            if not isinstance(definition.agent, str):
                return as_askable(definition.agent)
            found = names.find(definition.agent, where)
            if isinstance(found, (WorkflowDefinition, CodeWorkflow)):
                return self._nest(found.plan)
            return as_askable(found)
        if definition.team is not None:
            team = self.directory.team(definition.team, where)
            actions: Any = definition.workflow
            return TeamActions(team, actions, self.names) if actions else as_askable(team)
        if definition.pattern is not None:
            return as_askable(self.directory.pattern(definition, where))
        workflow = definition.workflow
        if isinstance(workflow, str):
            workflow = self.directory.workflow(workflow, where)
        nested = cast("AnyWorkflow", workflow).plan
        self.bind(nested, self.names_of(nested, names))
        return self._nest(nested)

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

    def definition_of(self, workflow: Any) -> AnyWorkflow:
        """Return what a call names, or gives, as a checked definition."""
        if isinstance(workflow, str):
            return self.directory.workflow(workflow)
        if isinstance(workflow, CodeWorkflow):
            code = cast("CodeWorkflow[Any, Any]", workflow)
            self.directory.given[code.name] = code
            return code
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
        definition = {
            "name": name,
            "steps": [{"id": "pattern", "pattern": pattern, "input": "$input"}],
            "output": "$pattern",
        }
        if isinstance(pattern, OrchestrationPattern):
            # It may be a request's own, with the request's agents: it keeps its plan, not the engine.
            if pattern.compiled is None:
                pattern.compiled = define_workflow(definition).plan
            return cast("Plan", pattern.compiled)
        plan = self.definitions.get(definition).plan
        if isinstance(pattern, str):
            self._by_pattern[pattern] = plan
        return plan

    # -- tracing -----------------------------------------------------------------------------------

    def make_tracer(self, now: Callable[[], float], rng: random.Random) -> Tracer:
        """Return a tracer that exports where OpenTelemetry is installed."""
        if not self._exporter_made:
            self._exporter_made = True
            self._exporter = make_exporter(self.config.trace_content)
        return Tracer(self.config.max_spans, now, rng, self._exporter)
