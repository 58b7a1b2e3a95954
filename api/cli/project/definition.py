"""Project files: agents, supervisors, teams and a workflow in one YAML (or JSON) document.

The models here check everything that can be known without running anything: fields, names and what
the names refer to. All that is wrong is said at once, in the words of the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, cast

from pydantic import Field, field_validator, model_validator

from agenticaiframework.actors import near_names
from agenticaiframework.patterns import Definition, DefinitionError, Problems, find_cycle
from agenticaiframework.patterns.engine import ScheduleDefinition, ScheduleRules, WorkflowDefinition
from agenticaiframework.supervision import Exhausted, RestartPolicy, SupervisionStrategy

from .agent_entry import AgentEntry

EXAMPLE = """agents:
    classifier: {model: local, instructions: Classify the request}
  workflow:
    name: support
    steps:
      - {id: classify, agent: classifier, input: {request: $input.query}}"""


class SupervisorEntry(Definition):
    """One supervisor over agents and other supervisors of the file, in their start order."""

    strategy: SupervisionStrategy = SupervisionStrategy.ONE_FOR_ONE
    restart_policy: RestartPolicy = Field(default_factory=RestartPolicy)
    exhausted: Exhausted | None = None
    """What it does when a child has failed too often; left out, what suits its place."""
    children: tuple[str, ...] = Field(min_length=1)

    @field_validator("strategy", mode="before")
    @classmethod
    def _check_strategy(cls, value: object) -> object:
        known = [
            s.value for s in SupervisionStrategy if s is not SupervisionStrategy.SIMPLE_ONE_FOR_ONE
        ]
        if isinstance(value, str) and value.lower() in known:
            return value.lower()
        raise ValueError(f"{value!r} is not a strategy. {near_names(str(value), known)}")

    @field_validator("exhausted", mode="before")
    @classmethod
    def _check_exhausted(cls, value: object) -> object:
        if value is None or value in tuple(Exhausted):
            return value
        raise ValueError(f"{value!r} is unknown. {near_names(str(value), Exhausted)}")


class RoleEntry(Definition):
    """One role of a team and the agents that have it."""

    description: str = ""
    capabilities: tuple[str, ...] = ()
    max_agents: int | None = Field(default=None, ge=1)
    agents: tuple[str, ...] = Field(min_length=1)

    also_known_as: ClassVar[Mapping[str, str]] = {"agent": "agents"}

    @field_validator("agents", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_agents is not None and len(self.agents) > self.max_agents:
            raise ValueError(f"has {len(self.agents)} agents, and max_agents is {self.max_agents}")
        return self


class TeamEntry(Definition):
    """One team: roles by name, and what its configuration takes."""

    roles: Mapping[str, RoleEntry] = Field(min_length=1)
    config: Mapping[str, Any] = Field(default_factory=dict[str, Any])


class ProjectDefinition(Definition):
    """A whole project file. Names in it refer to what the file itself defines."""

    name: str = ""
    description: str = ""
    agents: Mapping[str, AgentEntry] = Field(min_length=1)
    supervisors: Mapping[str, SupervisorEntry] = Field(default_factory=dict[str, SupervisorEntry])
    teams: Mapping[str, TeamEntry] = Field(default_factory=dict[str, TeamEntry])
    workflow: WorkflowDefinition
    engine: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    """Fields of `EngineConfig`."""
    schedules: Mapping[str, ScheduleRules] = Field(default_factory=dict[str, ScheduleRules])
    """When a server starts the workflow by itself, by the names of the schedules in its store."""
    packages: tuple[str, ...] = ()
    """Installed packages whose functions may be handlers, beside those in the file's folder."""

    @field_validator("packages")
    @classmethod
    def _check_packages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not name.isidentifier():
                raise ValueError(f"{name!r} is not the name of a package. For example: [my_agents]")
            if name in sys.stdlib_module_names:
                # With a file, the standard library would do anything at all.
                raise ValueError(
                    f"{name!r} is Python's own library, whose functions are no handlers"
                )
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [
            *self._unknown_names(),
            *self._supervision_problems(),
            *self._circles_of_tools(),
            *self._schedule_problems(),
        ]
        if problems:
            raise Problems(problems)
        return self

    def _unknown_names(self) -> Iterator[str]:
        supervised = {*self.agents, *self.supervisors}
        for name, made in self.agents.items():
            for tool in made.tool_agents:
                if tool not in self.agents:
                    told = _unknown(f"agents.{name}.tools", tool, self.agents)
                    yield f"{told} A function is named with its module: my_tools:{tool}"
        for name, supervisor in self.supervisors.items():
            for child in supervisor.children:
                if child not in supervised:
                    yield _unknown(f"supervisors.{name}.children", child, supervised)
        for name, team in self.teams.items():
            for role, entry in team.roles.items():
                for agent in entry.agents:
                    if agent not in self.agents:
                        yield _unknown(f"teams.{name}.roles.{role}.agents", agent, self.agents)
        yield from _unknown_in_steps(self.workflow, self, "workflow")

    def _supervision_problems(self) -> Iterator[str]:
        parents: dict[str, str] = {}
        for name, supervisor in self.supervisors.items():
            for child in supervisor.children:
                if child in parents:
                    yield (
                        f"supervisors.{name}.children: {child!r} already has a supervisor, "
                        f"{parents[child]!r}, and can have only one"
                    )
                parents.setdefault(child, name)
        circle = find_cycle({name: [parents[name]] for name in self.supervisors if name in parents})
        if circle is not None:
            yield f"supervisors: {' < '.join(circle)} goes round in a circle"

    def _schedule_problems(self) -> Iterator[str]:
        for name, rules in self.schedules.items():
            try:
                ScheduleDefinition(**dict(rules), name=name, workflow=self.workflow.name)
            except DefinitionError as error:
                yield f"schedules.{name}: {'; '.join(error.problems)}"

    def _circles_of_tools(self) -> Iterator[str]:
        circle = find_cycle({name: made.tool_agents for name, made in self.agents.items()})
        if circle is not None:
            yield f"agents.{circle[0]}.tools: {' > '.join(circle)} goes round in a circle"

    @property
    def roots(self) -> tuple[str, ...]:
        """The supervisors that no other supervises."""
        children = {child for s in self.supervisors.values() for child in s.children}
        return tuple(name for name in self.supervisors if name not in children)


def _unknown_in_steps(
    workflow: WorkflowDefinition, project: ProjectDefinition, where: str
) -> Iterator[str]:
    """Yield what the steps of *workflow*, and of the workflows inside it, name and the project does not define."""
    for index, step in enumerate(workflow.steps):
        at = f"{where}.steps[{index}]"
        agents = (step.agent, step.root, *step.agents)
        for name in agents:
            if isinstance(name, str) and name not in project.agents:
                yield _unknown(f"{at} (step {step.id!r})", name, project.agents)
        team = step.team
        if isinstance(team, str) and team not in project.teams:
            yield _unknown(f"{at}.team (step {step.id!r})", team, project.teams)
        actions: object = step.workflow
        if isinstance(actions, WorkflowDefinition):
            yield from _unknown_in_steps(actions, project, f"{at}.workflow")
        elif isinstance(actions, tuple) and isinstance(team, str) and team in project.teams:
            roles = project.teams[team].roles
            for action in cast("tuple[Mapping[str, Any], ...]", actions):
                role = str(action.get("role"))
                if role not in roles:
                    yield _unknown(f"{at}.workflow (step {step.id!r}, team {team!r})", role, roles)


def _unknown(where: str, name: str, known: Any) -> str:
    return f"{where}: {name!r} is not defined in this file. {near_names(name, known)}"
