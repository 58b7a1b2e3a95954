"""From a project file's definition to the agents, supervisors, teams and engine that run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from agenticaiframework.actors import Agent, AgentDefinitionError
from agenticaiframework.models.providers.readiness import check_model
from agenticaiframework.patterns import DefinitionError, define
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.teams import AgentRole, AgentTeam, TeamConfig
from agenticaiframework.supervision import AgentSupervisor

from .agent_entry import AgentEntry
from .crash import Crash
from .definition import ProjectDefinition
from .handlers import AgentRefused, Find, HandlerNotFound, Handlers
from .load import located
from .model_agents import model_parameters

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

    *model*, if given, takes the place of every agent's own, and of those that stand in for it.
    """
    entries = [entry for entry in definition.agents.values() if entry.model is not None]
    used = [name for entry in entries for name in (entry.model, *entry.fallback_models)]
    for name in dict.fromkeys(used if model is None else [model] * len(entries)):
        if name is not None:
            check_model(name)


def build_from_file(
    definition: ProjectDefinition,
    file: Path,
    *,
    model: str | None = None,
    crash: Crash | None = None,
    on_start: OnStart | None = None,
    only_look: bool = False,
) -> Project:
    """Return the project that *definition*, read from *file*, describes; see `build_project`.

    Raises `DefinitionError` that names the file and the line of what cannot be built.
    """
    folder = file.resolve().parent
    try:
        return build_project(
            definition, folder, model=model, crash=crash, on_start=on_start, only_look=only_look
        )
    except (HandlerNotFound, AgentRefused) as error:
        raise located(file, str(error)) from error
    except DefinitionError as error:
        problems = (f"{error.what}: {problem}" for problem in error.problems)
        raise located(file, *problems) from None


def build_project(
    definition: ProjectDefinition,
    folder: Path,
    *,
    model: str | None = None,
    crash: Crash | None = None,
    on_start: OnStart | None = None,
    only_look: bool = False,
) -> Project:
    """Return the project that *definition* describes; raises an error for what cannot be built.

    Python handlers are looked for in *folder* first; with *only_look* they are only looked for, and
    nothing of them runs. *model*, if given, takes the place of every
    model agent's own; *crash* is built into the agent that it names; *on_start* hears of each start.
    """
    handlers = Handlers(folder, definition.packages)
    find = handlers.look_up if only_look else handlers.load
    made: dict[str, Agent] = {}

    tools = {name: entry.tool_agents for name, entry in definition.agents.items()}
    # Agents that are tools of others are made before those; circles are refused already.
    for name in TopologicalSorter(tools).static_order():
        entry = definition.agents[name]
        parameters: dict[str, Any] = {}
        if entry.model is not None:
            parameters = model_parameters(name, entry, find, made.__getitem__, only_look=only_look)
            if model is not None:
                parameters.pop("fallback_models", None)
        made[name] = build_agent(name, entry, find, model, crash, on_start, parameters)
    agents = {name: made[name] for name in definition.agents}
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
    find: Find,
    model: str | None = None,
    crash: Crash | None = None,
    on_start: OnStart | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Agent:
    """Return one agent of a project, with *crash* in front of what it does if that is for it.

    *parameters* are what one with a model has beside that and its instructions.
    """
    own_name = entry.name or name
    started = None if on_start is None else partial(on_start, name)
    if entry.model is not None:
        more: dict[str, Any] = {"output_schema": entry.output, **(parameters or {})}
        try:
            agent = Agent(
                own_name,
                model=model or entry.model,
                instructions=entry.instructions,
                capabilities=entry.capabilities,
                concurrency=entry.concurrency,
                description=entry.description,
                on_start=started,
                **more,
            )
        except AgentDefinitionError as error:
            raise AgentRefused(name, error) from error
    else:
        assert entry.handler is not None
        try:
            agent = Agent(
                own_name,
                handler=find(name, entry.handler),
                capabilities=entry.capabilities,
                concurrency=entry.concurrency,
                description=entry.description,
                on_start=started,
            )
        except AgentDefinitionError as error:
            raise HandlerNotFound(name, entry.handler, f"cannot be used: {error}") from error
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
