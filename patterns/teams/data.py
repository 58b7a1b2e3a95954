"""Teams as plain data, and as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from ..definition.definition import Definition, define
from ..definition.drawing import Drawing
from ..definition.dump import dump_definition
from ..definition.fields import TargetField
from ..vocabulary.target import target_name
from .config import TeamConfig
from .handoff import USER, AgentHandoff
from .role import AgentRole
from .roster import Member


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


def team_to_dict(
    what: str,
    name: str,
    config: TeamConfig,
    roles: Iterable[AgentRole],
    members: Iterable[Member],
    handoffs: tuple[AgentHandoff, ...],
) -> dict[str, Any]:
    """Return a team as plain data; raises `DefinitionError`, about *what*, for what has no such form."""
    targets: dict[str, tuple[Any, ...]] = {}
    for member in members:
        targets[member.role] = (*targets.get(member.role, ()), member.target)
    definition = TeamDefinition.model_construct(
        name=name, config=config, roles=tuple(roles), members=targets, handoffs=handoffs
    )
    return dump_definition(definition, what)


def read_team(data: Mapping[str, Any]) -> TeamDefinition:
    """Return *data* as a checked definition; raises `DefinitionError`."""
    return define(TeamDefinition, f"team {data.get('name')!r}", data, EXAMPLE)


def draw_team(
    drawing: Drawing,
    roles: Iterable[str],
    members: Sequence[Member],
    handoffs: Iterable[AgentHandoff],
) -> None:
    """Draw a team: a box for each role with its members, and the handoffs between the roles.

    A role called `USER` without members is drawn as the one that asks, as a swarm takes it.
    """
    nodes: dict[str, str] = {}
    filled = {member.role for member in members}
    for role in roles:
        if role == USER and role not in filled:
            nodes[role] = drawing.node(role, "end")
            continue
        with drawing.group(role):
            drawn = [drawing.node(target_name(m.target)) for m in members if m.role == role]
            nodes[role] = drawn[0] if drawn else drawing.node("nobody", "end")
    for rule in handoffs:
        if rule.to_role not in nodes:
            # The user has no role of its own.
            nodes[rule.to_role] = drawing.node(rule.to_role, "end")
        drawing.edge(nodes[rule.from_role], nodes[rule.to_role], rule.trigger)
