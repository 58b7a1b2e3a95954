"""Membership: roles, members, their limits, and the assignment by capabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

from ..definition.actor_target import ActorTarget
from ..definition.definition import define
from ..definition.errors import DefinitionError
from ..definition.fields import read_target
from ..vocabulary.target import Target, target_name
from .config import TeamConfig
from .errors import TeamError, TeamFull, UnknownMember
from .handoff import EXAMPLE, USER, AgentHandoff, HandoffRules
from .matching import match
from .role import AgentRole
from .roster import Member, Roster


class Membership:
    """The roles and members of one team. Owned by the code that puts the team together.

    Work that has started keeps the `Roster` it started with.
    """

    def __init__(self, team: str, config: TeamConfig) -> None:
        self._team = team
        self._config = config
        self._roles: dict[str, AgentRole] = {}
        self._members: list[Member] = []
        self._handoffs: tuple[AgentHandoff, ...] = ()

    @property
    def roles(self) -> Mapping[str, AgentRole]:
        """The roles by name, in the order in which they were added."""
        return MappingProxyType(self._roles)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members, in the order of their assignment."""
        return tuple(self._members)

    @property
    def handoffs(self) -> tuple[AgentHandoff, ...]:
        """The handoff rules."""
        return self._handoffs

    def roster(self) -> Roster:
        """Return the team as it is now."""
        return Roster(
            self._team, self._config, dict(self._roles), tuple(self._members), self._handoffs
        )

    def add_role(self, given: AgentRole | Mapping[str, Any]) -> None:
        """Add a role; raises `TeamError` if there is one of that name already."""
        role = define(AgentRole, f"a role of team {self._team!r}", given, AgentRole.example)
        if role.name in self._roles:
            raise TeamError(self._team, f"there is a role {role.name!r} already.")
        self._roles[role.name] = role

    def role(self, name: str) -> AgentRole:
        """Return the role of that name; raises `UnknownMember`."""
        try:
            return self._roles[name]
        except KeyError:
            raise UnknownMember(self._team, name, self._roles, as_role=True) from None

    def in_role(self, role: str) -> list[Member]:
        """Return the members of *role*, in the order of their assignment; raises `UnknownMember`."""
        self.role(role)
        return [member for member in self._members if member.role == role]

    def assign(self, agent: Target, role: str) -> None:
        """Give *agent* the role; harmless if it has it already.

        Raises `UnknownMember` for a role that there is not, `TeamFull`.
        """
        wanted = self.role(role)
        target = self._read(agent)
        name = target_name(target)
        self._check_name(name, target)
        holders = self.in_role(role)
        if any(member.name == name for member in holders):
            return
        if wanted.max_agents is not None and len(holders) >= wanted.max_agents:
            raise TeamFull(self._team, wanted.max_agents, name, role)
        names = {member.name for member in self._members}
        limit = self._config.max_members
        if limit is not None and name not in names and len(names) >= limit:
            raise TeamFull(self._team, limit, name)
        self._members.append(Member(name, role, target))

    def unassign(self, agent: Target, role: str | None = None) -> None:
        """Take the role (all its roles, without one) from *agent*; raises `UnknownMember`."""
        name = target_name(agent)
        if role is not None:
            self.role(role)
        left = [m for m in self._members if m.name != name or role not in (None, m.role)]
        if len(left) == len(self._members):
            raise UnknownMember(self._team, name, {m.name for m in self._members})
        self._members = left

    def auto_assign(self, agents: Iterable[Target]) -> list[Target]:
        """Give the *agents* that have no role yet the roles that fit them best; return the rest.

        As many as possible get a role, then as fittingly as possible, whatever their order.
        """
        wanted: dict[str, Target] = {}
        for agent in self._read_several(agents):
            name = target_name(agent)
            self._check_name(name, agent, wanted.get(name))
            wanted[name] = agent
        placed = {member.name for member in self._members}
        free = {name: target for name, target in wanted.items() if name not in placed}
        seats = {
            name: (role.capabilities, self._free_seats(role, len(free)))
            for name, role in self._roles.items()
        }
        capabilities = {name: tuple(_capabilities(target)) for name, target in free.items()}
        limit = self._config.max_members
        room = None if limit is None else max(0, limit - len(placed))
        chosen = match(capabilities, seats, room)
        for name, role in chosen.items():
            self._members.append(Member(name, role, free[name]))
        return [target for name, target in free.items() if name not in chosen]

    def _read(self, agent: Any) -> Target:
        try:
            return read_target(agent)
        except ValueError as error:
            raise DefinitionError(f"a member of team {self._team!r}", [str(error)]) from None

    def _read_several(self, agents: Any) -> list[Target]:
        if isinstance(agents, str) or not isinstance(agents, Iterable):
            raise DefinitionError(
                f"the agents for team {self._team!r}",
                [f"a list of agents is needed, not {agents!r}"],
                "team.auto_assign_agents([ann, bob])",
            )
        return [self._read(agent) for agent in cast("Iterable[Any]", agents)]

    def _check_name(self, name: str, target: Target, also: Target | None = None) -> None:
        """Raise `TeamError` if the name stands for another agent already: one would never be asked."""
        known = [member.target for member in self._members if member.name == name]
        for other in (*known, also):
            if other is None or isinstance(other, str) or isinstance(target, str):
                continue
            if not _same(other, target):
                raise TeamError(
                    self._team,
                    f"two different agents are called {name!r}, and members are known by their "
                    "names. Give one of them another name.",
                )

    def _free_seats(self, role: AgentRole, most: int) -> int:
        if role.max_agents is None:
            return most
        return max(0, role.max_agents - len(self.in_role(role.name)))

    def configure_handoffs(self, rules: Iterable[AgentHandoff | Mapping[str, Any]]) -> None:
        """Replace the handoff rules; raises `UnknownMember`, and `TeamError` for ambiguous ones."""
        checked = define(
            HandoffRules, f"the handoffs of team {self._team!r}", {"handoffs": rules}, EXAMPLE
        ).handoffs
        seen: set[tuple[str, str]] = set()
        for rule in checked:
            self.role(rule.from_role)
            if rule.to_role != USER or self._config.mode != "swarm":
                self.role(rule.to_role)
            key = (rule.from_role, rule.trigger)
            if key in seen:
                raise TeamError(
                    self._team,
                    f"two handoffs from {rule.from_role!r} have the trigger {rule.trigger!r}; "
                    "only one of them could ever fire.",
                )
            seen.add(key)
        self._handoffs = checked


def _same(one: Target, other: Target) -> bool:
    if isinstance(one, ActorTarget) and isinstance(other, ActorTarget):
        return one.ref == other.ref
    # A bound method is made anew each time that it is looked up.
    return one is other or one == other


def _capabilities(target: Target) -> Iterable[str]:
    found: object = getattr(target, "capabilities", ())
    if isinstance(found, (tuple, list, set, frozenset)):
        return [str(capability) for capability in cast("Iterable[Any]", found)]
    return ()
