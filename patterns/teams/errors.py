"""What goes wrong with teams."""

from __future__ import annotations

from collections.abc import Iterable

from agenticaiframework.actors import AgenticError, near_names

from ..vocabulary.causes import UnretriableError


class TeamError(AgenticError):
    """Base of the errors of teams; ``team`` is the team's name."""

    def __init__(self, team: str, problem: str) -> None:
        super().__init__(f"Team {team!r}: {problem}")
        self.team = team


class UnknownMember(TeamError, UnretriableError, LookupError):
    """A name that is neither a member nor a role of the team, or a role that it does not have."""

    def __init__(
        self, team: str, name: str, known: Iterable[str], *, as_role: bool = False
    ) -> None:
        super().__init__(
            team,
            f"there is no role {name!r}. {near_names(name, known)} "
            f"Add it with team.add_role(AgentRole(name={name!r}))."
            if as_role
            else f"{name!r} is neither a member nor a role. {near_names(name, known)}",
        )
        self.name = name


class TeamFull(TeamError):
    """The team, or the *role*, has as many agents as it may have."""

    def __init__(self, team: str, limit: int, agent: str, role: str | None = None) -> None:
        super().__init__(
            team,
            f"{agent!r} cannot join: the team has its {limit} members already. "
            "Raise TeamConfig(max_members=...), or unassign one."
            if role is None
            else f"{agent!r} cannot be a {role!r}: that role has its {limit} already. "
            "Raise its max_agents, or unassign one.",
        )
        self.limit = limit
        self.role = role


class TeamIncomplete(TeamError, UnretriableError):
    """A *role* that is needed has no agent, or has only *lost* ones, which have been stopped for good.

    Without a role, the team has no roles at all.
    """

    def __init__(self, team: str, role: str | None, lost: Iterable[str] = ()) -> None:
        self.role = role
        self.lost = tuple(lost)
        if role is None:
            problem = (
                "it has no roles and no members. Add a role, "
                "team.add_role(AgentRole(name='writer')), and assign an agent: "
                "team.assign_agent(agent, role='writer')."
            )
        elif self.lost:
            names = ", ".join(map(repr, self.lost))
            problem = (
                f"no member with the role {role!r} is left: {names} have been stopped for good."
            )
        else:
            problem = (
                f"no member has the role {role!r}, which this needs. "
                f"Assign an agent: team.assign_agent(agent, role={role!r})."
            )
        super().__init__(team, problem)


class WrongHandoff(TeamError, UnretriableError):
    """A member of *role* handed off by triggers that no rule is for, by several at once, or with wrong data."""

    def __init__(
        self,
        team: str,
        role: str,
        triggers: Iterable[str],
        known: Iterable[str] = (),
        problem: str = "",
    ) -> None:
        self.role = role
        self.triggers = tuple(triggers)
        if problem:
            problem = f"the data of the handoff {self.triggers[0]!r} from {role!r} does not fit: {problem}"
        elif len(self.triggers) == 1:
            trigger = self.triggers[0]
            problem = (
                f"no handoff from the role {role!r} has the trigger {trigger!r}. "
                f"{near_names(trigger, known)}"
            )
        else:
            listed = ", ".join(map(repr, self.triggers))
            problem = (
                f"a member of {role!r} returned a list with handoffs ({listed}). "
                "A turn ends with one: return Handoff(trigger, data) itself."
            )
        super().__init__(team, problem)
