"""Teams as plain data, and as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..definition.definition import Definition, TargetField, define
from ..definition.drawing import Drawing
from ..definition.dump import dump_definition
from ..vocabulary.target import Resolver, target_name
from .config import TeamConfig
from .handoff import AgentHandoff
from .role import AgentRole

if TYPE_CHECKING:
    from .team import AgentTeam


class TeamDefinition(Definition):
    """A team as data: its members are named under their roles."""

    name: str = Field(min_length=1)
    config: TeamConfig = TeamConfig()
    roles: tuple[AgentRole, ...] = ()
    members: dict[str, tuple[TargetField, ...]] = Field(
        default_factory=dict[str, tuple[TargetField, ...]]
    )
    handoffs: tuple[AgentHandoff, ...] = ()


EXAMPLE = (
    'AgentTeam.from_dict({"name": "desk", "roles": [{"name": "writer"}], '
    '"members": {"writer": ["ann"]}})'
)


def team_to_dict(team: AgentTeam) -> dict[str, Any]:
    """Return *team* as plain data; raises `DefinitionError` for what cannot be written."""
    members: dict[str, tuple[Any, ...]] = {}
    for member in team.members:
        members[member.role] = (*members.get(member.role, ()), member.target)
    definition = TeamDefinition.model_construct(
        name=team.name,
        config=team.config,
        roles=tuple(team.roles.values()),
        members=members,
        handoffs=team.handoffs,
    )
    return dump_definition(definition, repr(team))


def team_from_dict(
    cls: type[AgentTeam], data: Mapping[str, Any], resolver: Resolver | None
) -> AgentTeam:
    """Return the team that *data* defines."""
    name = data.get("name")
    definition = define(TeamDefinition, f"team {name!r}", data, EXAMPLE)
    team = cls(definition.name, definition.config, roles=definition.roles, resolver=resolver)
    for role, agents in definition.members.items():
        for agent in agents:
            team.assign_agent(agent, role)
    team.configure_handoffs(definition.handoffs)
    return team


def draw_team(team: AgentTeam, drawing: Drawing) -> None:
    """Draw *team*: a box for each role with its members, and the handoffs between the roles."""
    nodes: dict[str, str] = {}
    for role in team.roles.values():
        with drawing.group(role.name):
            members = [m for m in team.members if m.role == role.name]
            drawn = [drawing.node(target_name(m.target)) for m in members]
            nodes[role.name] = drawn[0] if drawn else drawing.node("nobody", "end")
    for rule in team.handoffs:
        drawing.edge(nodes[rule.from_role], nodes[rule.to_role], rule.trigger)
