"""What the names in a workflow stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from agenticaiframework.actors import (
    Agent,
    agent_names,
    is_coroutine_function,
)

from ...execution.function import FunctionTarget
from ...execution.pattern import pattern_from_dict, pattern_kinds
from ...vocabulary.target import Askable, Target, target_name
from ..code.workflow import AnyWorkflow, CodeWorkflow
from ..definition.workflow import WorkflowDefinition
from ..errors import UnknownName
from ..runner.worker import Coroutine

if TYPE_CHECKING:
    from ..definition.model import StepDefinition


class Directory:
    """What has been registered with an engine, by kind and name. Owned by the engine.

    A name is looked up among the agents first, then the teams, patterns and workflows, and last the
    children of registered supervisors.
    """

    def __init__(self) -> None:
        self.agents: dict[str, Askable] = {}
        self.teams: dict[str, Any] = {}
        self.patterns: dict[str, Askable] = {}
        self.workflows: dict[str, AnyWorkflow] = {}
        self.supervisors: dict[str, Any] = {}
        self.given: WeakValueDictionary[str, CodeWorkflow[Any, Any]] = WeakValueDictionary()
        """Code that was given to the engine as it is, by name: its stored runs go on here with it."""
        self.version = 0
        """Raised by every registration: what was looked up before may be wrong since."""

    def enter(self, kind: str, name: str, value: Any) -> None:
        """Let *name* stand for *value*, an ``agent``, ``team``, ``pattern``, ...; the latest counts."""
        registered = cast("dict[str, Any]", getattr(self, f"{kind}s"))
        registered[name] = value
        if isinstance(value, (WorkflowDefinition, CodeWorkflow)) and kind == "workflow":
            workflow = cast("AnyWorkflow", value)
            self.workflows.setdefault(workflow.name, workflow)
        self.version += 1

    # -- looking up ------------------------------------------------------------------------------

    def newest(self, name: str) -> AnyWorkflow | None:
        """Return what stored runs of the workflow *name* are compared with, and go on with."""
        return self.workflows.get(name) or self.given.get(name)

    def registered(self, name: str) -> Any:
        """Return what *name* has been registered for where an agent is wanted, or None.

        A workflow is returned as its definition.
        """
        for registered in (self.agents, self.teams, self.patterns, self.workflows):
            found = cast("Mapping[str, Any]", registered).get(name)
            if found is not None:
                return found
        return self._supervised(name) if self.supervisors else None

    def names(self) -> list[str]:
        """Return every name that stands for something here."""
        return sorted({*agent_names(), *self.registered_names()})

    def registered_names(self) -> list[str]:
        """Return every name that has been registered where an agent is wanted."""
        registered = (self.agents, self.teams, self.patterns, self.workflows)
        return sorted({name for names in registered for name in names})

    def _supervised(self, name: str) -> Any:
        """Return the agent that is a child called *name* of a registered supervisor, if there is."""
        for supervisor in self.supervisors.values():
            children: Mapping[str, Any] = getattr(supervisor, "children", {})
            target = getattr(children.get(name), "target", None)
            if target is not None and callable(getattr(target, "ask", None)):
                return target
        return None

    def team(self, target: Target, where: str = "") -> Any:
        """Return the team that *target* is or names; raises `UnknownName`."""
        if not isinstance(target, str):
            return target
        found = self.teams.get(target)
        if found is None:
            raise UnknownName("team", target, self.teams, where)
        return found

    def pattern(self, step: StepDefinition, where: str = "") -> Askable:
        """Return the pattern of a step: a registered one, or one of a built-in kind over agents."""
        target = step.pattern
        if target is None or not isinstance(target, str):
            return cast("Askable", target)
        if step.agents or step.root is not None:
            return make_pattern(target, step.id, step.agents, step.root, where)
        found = self.patterns.get(target)
        if found is None:
            known = [*self.patterns]
            if target in pattern_kinds():
                hint = 'For the kind of that name, say over whom: "agents": [...]'
                raise UnknownName("pattern", target, known, where, hint)
            raise UnknownName("pattern", target, known, where)
        return found

    def workflow(self, name: str, where: str = "") -> AnyWorkflow:
        """Return the registered workflow called *name*; raises `UnknownName`."""
        found = self.workflows.get(name)
        if found is None:
            raise UnknownName("workflow", name, self.workflows, where)
        return found

    def agent_name(self, agent: Any) -> str:
        """Return the name under which *agent* is known here: the registered one, or its own."""
        for name, registered in self.agents.items():
            if registered is agent:
                return name
        return target_name(agent)


def as_askable(target: Any) -> Askable:
    """Return *target* as something that can be asked."""
    if isinstance(target, Agent) or callable(getattr(target, "ask", None)):
        return cast("Askable", target)
    if is_coroutine_function(target):
        return Coroutine(target)
    return FunctionTarget(target)


def make_pattern(
    kind: str,
    name: str,
    agents: Sequence[Target],
    root: Target | None,
    where: str = "",
) -> Askable:
    """Return a pattern of a built-in *kind* over *agents*; raises `UnknownName`, `DefinitionError`.

    ``parallel`` runs them beside each other, ``sequential`` one after another, ``hierarchical`` has
    *root* lead them.
    """
    kinds = pattern_kinds()
    if kind not in kinds:
        raise UnknownName("pattern kind", kind, kinds, where)
    fields = kinds[kind].definition_type.model_fields
    data: dict[str, Any] = {"pattern": kind, "name": name}
    if "root_agent" in fields:
        leader = root if root is not None else (agents[0] if agents else None)
        led = [agent for agent in agents if agent is not leader]
        data["root_agent"] = leader
        rules = [{"parent": leader, "children": led}] if led else []
        data["delegation_rules"] = rules
    else:
        field = next((f for f in ("steps", "branches", "agents", "workers") if f in fields), None)
        if field is None:
            raise UnknownName("pattern kind over a list of agents", kind, (), where)
        data[field] = list(agents)
    return cast("Askable", pattern_from_dict(data))
