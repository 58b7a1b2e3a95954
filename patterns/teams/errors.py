"""What goes wrong with teams."""

from __future__ import annotations

from collections.abc import Iterable

from agenticaiframework.actors import AgenticError, near

from ..definition.policy import UnretriableError


class TeamError(AgenticError):
    """Base of the errors of teams; ``team`` is the team's name."""

    def __init__(self, team: str, problem: str) -> None:
        super().__init__(f"Team {team!r}: {problem}")
        self.team = team


class UnknownRole(TeamError, UnretriableError, LookupError):
    """A role that the team does not have."""

    def __init__(self, team: str, role: str, known: Iterable[str]) -> None:
        super().__init__(
            team,
            f"there is no role {role!r}. {near(role, known)} "
            f"Add it with team.add_role(AgentRole(name={role!r})).",
        )
        self.role = role


class UnknownMember(TeamError, UnretriableError, LookupError):
    """A name that is neither a member nor a role of the team."""

    def __init__(self, team: str, name: str, known: Iterable[str]) -> None:
        super().__init__(team, f"{name!r} is neither a member nor a role. {near(name, known)}")
        self.name = name


class RoleFull(TeamError):
    """A role has as many agents as it may have."""

    def __init__(self, team: str, role: str, limit: int, agent: str) -> None:
        super().__init__(
            team,
            f"{agent!r} cannot be a {role!r}: that role has its {limit} already. "
            "Raise its max_agents, or unassign one.",
        )
        self.role = role
        self.limit = limit


class TeamFull(TeamError):
    """The team has as many members as it may have."""

    def __init__(self, team: str, limit: int, agent: str) -> None:
        super().__init__(
            team,
            f"{agent!r} cannot join: the team has its {limit} members already. "
            "Raise TeamConfig(max_members=...), or unassign one.",
        )
        self.limit = limit


class TeamIncomplete(TeamError, UnretriableError):
    """Nobody has a role that is needed (None: the team has no roles at all)."""

    def __init__(self, team: str, role: str | None) -> None:
        super().__init__(
            team,
            "it has no roles and no members. Add a role, team.add_role(AgentRole(name='writer')), "
            "and assign an agent: team.assign_agent(agent, role='writer')."
            if role is None
            else f"nobody has the role {role!r}, which this needs. "
            f"Assign an agent: team.assign_agent(agent, role={role!r}).",
        )
        self.role = role


class MemberLost(TeamError, UnretriableError):
    """Every member of a role has been stopped for good."""

    def __init__(self, team: str, role: str, tried: Iterable[str]) -> None:
        names = ", ".join(repr(name) for name in tried)
        super().__init__(
            team, f"nobody of the role {role!r} is left: {names} have been stopped for good."
        )
        self.role = role


class UnknownTrigger(TeamError, UnretriableError):
    """A member handed off with a trigger that no rule of its role has."""

    def __init__(self, team: str, role: str, trigger: str, known: Iterable[str]) -> None:
        super().__init__(
            team,
            f"no handoff from the role {role!r} has the trigger {trigger!r}. {near(trigger, known)}",
        )
        self.role = role
        self.trigger = trigger


class SeveralHandoffs(TeamError, UnretriableError):
    """A member handed off to several at once."""

    def __init__(self, team: str, role: str, triggers: Iterable[str]) -> None:
        listed = ", ".join(repr(trigger) for trigger in triggers)
        super().__init__(
            team,
            f"a member of {role!r} returned a list with handoffs ({listed}). "
            "A turn ends with one: return Handoff(trigger, data) itself.",
        )
        self.role = role
