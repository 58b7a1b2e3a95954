"""The members of a team and their roles, at the moment when some work starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ..definition.policy import Fallback
from ..vocabulary.target import Target, target_name
from .config import TeamConfig
from .errors import TeamIncomplete, UnknownMember
from .handoff import AgentHandoff
from .role import AgentRole


@dataclass(frozen=True, slots=True)
class Member:
    """An agent of a team, and its role (an agent with two roles is two members)."""

    name: str
    role: str
    target: Target


@dataclass(frozen=True, slots=True)
class Roster:
    """A team as it is when some work starts: later changes to the team do not reach that work."""

    team: str
    config: TeamConfig
    roles: Mapping[str, AgentRole]
    members: tuple[Member, ...]
    handoffs: tuple[AgentHandoff, ...]

    def of_role(self, role: str) -> list[Member]:
        """Return the members of *role*, in the order of their assignment.

        Raises `UnknownMember`, and `TeamIncomplete` if it has none.
        """
        if role not in self.roles:
            raise UnknownMember(self.team, role, self.roles, as_role=True)
        members = [member for member in self.members if member.role == role]
        if not members:
            raise TeamIncomplete(self.team, role)
        return members

    def has_members(self, role: str) -> bool:
        """Tell whether any member has *role*."""
        return any(member.role == role for member in self.members)

    def find(self, wanted: Target) -> list[Member]:
        """Return the members that *wanted* names: those of a role, the one of that name, the agent.

        Raises `UnknownMember`, and `TeamIncomplete` for a role without members.
        """
        name = target_name(wanted)
        if name in self.roles and isinstance(wanted, str):
            return self.of_role(name)
        for member in self.members:
            if member.name == name:
                return [member]
        raise UnknownMember(self.team, name, [*self.roles, *(m.name for m in self.members)])

    def leader(self, coordinator: Target | None) -> list[Member]:
        """Return the members that may lead: those of the coordinating role, or the one named."""
        wanted = coordinator or self.config.coordinator
        if wanted is not None:
            return self.find(wanted)
        for role in self.roles:
            members = [member for member in self.members if member.role == role]
            if members:
                return members
        raise TeamIncomplete(self.team, next(iter(self.roles), None))

    def names(self) -> Iterator[str]:
        """Yield the name of each agent once."""
        yield from dict.fromkeys(member.name for member in self.members)

    def targets(self) -> Iterator[Target]:
        """Yield all targets that may be asked."""
        for member in self.members:
            yield member.target
        if self.config.moderator is not None:
            yield self.moderator(self.config.moderator)
        if isinstance(self.config.on_error, Fallback):
            yield self.config.on_error.fallback

    def moderator(self, moderator: Target) -> Target:
        """Return the moderator: the member of that name or role, else the agent itself."""
        if isinstance(moderator, str):
            for member in self.members:
                if moderator in (member.name, member.role):
                    return member.target
        return moderator


def participants_of(
    roster: Roster, participants: Iterable[Target] | Target | None
) -> Sequence[Member]:
    """Return the members that take part: all, or those named by name or role, each once."""
    if participants is None:
        found = list(roster.members)
    else:
        several = isinstance(participants, Iterable) and not isinstance(participants, str)
        named = cast("Iterable[Target]", participants if several else [participants])
        found = [member for participant in named for member in roster.find(participant)]
    return list({member.name: member for member in found}.values())
