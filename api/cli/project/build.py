"""From a project file's definition to the agents, supervisors, teams and engine that run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agenticaiframework.actors import Agent
from agenticaiframework.models.readiness import check_model
from agenticaiframework.patterns import define
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.teams import AgentRole, AgentTeam, TeamConfig
from agenticaiframework.supervision import AgentSupervisor

from .crash import Crash
from .definition import AgentEntry, ProjectDefinition
from .handlers import find_handler

OnStart = Callable[[str], object]
"""Told the name of each agent of the file that starts, every time; in whatever thread it runs."""


@dataclass(frozen=True)
class Project:
    """A project that is ready to run. Nothing has been started."""

    definition: ProjectDefinition
    agents: Mapping[str, Agent]
    supervisors: Mapping[str, AgentSupervisor]
    teams: Mapping[str, AgentTeam]
    engine: OrchestrationEngine

    @property
    def roots(self) -> tuple[AgentSupervisor, ...]:
        """The supervisors to start; the others are their children."""
        return tuple(self.supervisors[name] for name in self.definition.roots)


def check_models(definition: ProjectDefinition, model: str | None = None) -> None:
    """Raise what keeps one of the project's models from being asked (see `check_model`).

    *model*, if given, takes the place of every agent's own.
    """
    entries = definition.agents.values()
    for name in dict.fromkeys(model or e.model for e in entries if e.model is not None):
        check_model(name)


def build_project(
    definition: ProjectDefinition,
    folder: Path,
    *,
    model: str | None = None,
    crash: Crash | None = None,
    on_start: OnStart | None = None,
) -> Project:
    """Return the project that *definition* describes; raises an error for what cannot be built.

    Python handlers are looked for in *folder* first. *model*, if given, takes the place of every
    model agent's own; *crash* is built into the agent that it names; *on_start* hears of each start.
    """
    agents = {
        name: build_agent(name, entry, folder, model, crash, on_start)
        for name, entry in definition.agents.items()
    }
    supervisors = _build_supervisors(definition, agents)
    teams = _build_teams(definition, agents)
    engine = OrchestrationEngine(config=define(EngineConfig, "engine", definition.engine))
    for name, agent in agents.items():
        engine.register_agent(name, agent)
    for name, team in teams.items():
        engine.register_team(name, team)
    for name, supervisor in supervisors.items():
        engine.register_supervisor(name, supervisor)
    return Project(definition, agents, supervisors, teams, engine)


def build_agent(
    name: str,
    entry: AgentEntry,
    folder: Path,
    model: str | None = None,
    crash: Crash | None = None,
    on_start: OnStart | None = None,
) -> Agent:
    """Return one agent of a project, with *crash* in front of what it does if that is for it."""
    own_name = entry.name or name
    started = None if on_start is None else partial(on_start, name)
    if entry.model is not None:
        agent = Agent(
            own_name,
            model=model or entry.model,
            instructions=entry.instructions,
            capabilities=entry.capabilities,
            concurrency=entry.concurrency,
            output_schema=entry.output,
            on_start=started,
        )
    else:
        assert entry.handler is not None
        agent = Agent(
            own_name,
            handler=find_handler(name, entry.handler, folder),
            capabilities=entry.capabilities,
            concurrency=entry.concurrency,
            on_start=started,
        )
    if crash is None or crash.agent != name:
        return agent
    around = crash.around_plain if agent.dispatcher == "thread" else crash.around
    return Agent(
        own_name,
        handler=around(agent.handler),
        capabilities=entry.capabilities,
        concurrency=agent.concurrency,
        on_start=started,
    )


def _build_supervisors(
    definition: ProjectDefinition, agents: Mapping[str, Agent]
) -> dict[str, AgentSupervisor]:
    supervisors = {
        name: AgentSupervisor(
            name=name,
            strategy=entry.strategy,
            restart_policy=entry.restart_policy,
            exhausted=entry.exhausted,
        )
        for name, entry in definition.supervisors.items()
    }
    for name, entry in definition.supervisors.items():
        for child in entry.children:
            if child in supervisors:
                supervisors[name].add_supervisor(child, supervisors[child])
            else:
                supervisors[name].add_child(child, agents[child])
    return supervisors


def _build_teams(
    definition: ProjectDefinition, agents: Mapping[str, Agent]
) -> dict[str, AgentTeam]:
    teams: dict[str, AgentTeam] = {}
    for name, entry in definition.teams.items():
        config = define(TeamConfig, f"teams.{name}.config", entry.config)
        team = teams[name] = AgentTeam(name=name, config=config)
        for role, given in entry.roles.items():
            limit = {} if given.max_agents is None else {"max_agents": given.max_agents}
            team.add_role(
                AgentRole(
                    name=role,
                    description=given.description,
                    capabilities=list(given.capabilities),
                    **limit,
                )
            )
            for agent in given.agents:
                team.assign_agent(agents[agent], role=role)
    return teams
