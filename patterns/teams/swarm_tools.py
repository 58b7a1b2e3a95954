"""The tools with which the members of a swarm that have models hand over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from agenticaiframework.actors import HandoffTool, TurnShape

from ..vocabulary.values import Handoff
from .errors import TeamError
from .handoff import USER, AgentHandoff, default_trigger
from .roster import Roster

_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]+")
MAX_NAME: Final = 64
"""How long a tool's name may be for the providers."""


def rules_of(roster: Roster) -> tuple[AgentHandoff, ...]:
    """Return the handoffs of a swarm: its rules, or, without any, from each role to each other.

    A role named `USER` without members stands for the caller.
    """
    if roster.handoffs:
        return roster.handoffs
    members = {member.role for member in roster.members}
    return tuple(
        AgentHandoff(from_role=one, to_role=other)
        for one in roster.roles
        for other in roster.roles
        if one != other and one in members and (other in members or other == USER)
    )


def tool_name(trigger: str) -> str:
    """Return what the tool for a *trigger* is called: providers take letters, digits, ``_`` and ``-``.

    >>> tool_name("transfer_to_refunder"), tool_name("needs a refund!")
    ('transfer_to_refunder', 'needs_a_refund_')
    """
    return _UNFIT.sub("_", trigger)[:MAX_NAME]


class SwarmTools:
    """The handoffs of a team as tools: one `TurnShape` a role. Immutable."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self.rules = rules_of(roster)
        self.triggers: dict[tuple[str, str], AgentHandoff] = {
            (rule.from_role, rule.trigger): rule for rule in self.rules
        }
        self._shapes: dict[str, TurnShape] = {}
        for role in roster.roles:
            self._shapes[role] = TurnShape(tuple(_tools(roster, role, self.rules)))

    def shape(self, role: str) -> TurnShape:
        """Return what the requests to members of *role* are given."""
        return self._shapes[role]


def _tools(roster: Roster, role: str, rules: Sequence[AgentHandoff]) -> Iterator[HandoffTool]:
    members = {member.role for member in roster.members}
    taken: dict[str, str] = {}
    for rule in rules:
        if rule.from_role != role or (rule.to_role not in members and rule.to_role != USER):
            continue
        name = tool_name(rule.trigger)
        if name in taken:
            raise TeamError(
                roster.team,
                f"the handoffs {taken[name]!r} and {rule.trigger!r} from {role!r} would both be the tool "
                f"{name!r}. Give one of them another trigger.",
            )
        taken[name] = rule.trigger
        to_user = _is_user(roster, rule.to_role)
        yield HandoffTool(
            name,
            rule.trigger,
            _description(roster, rule, to_user),
            _answer(rule.trigger),
            str if to_user and rule.payload is None else rule.payload,
            "message" if to_user else "data",
        )


def _is_user(roster: Roster, role: str) -> bool:
    return role == USER and not roster.has_members(USER)


def _answer(trigger: str) -> Callable[[Any], Handoff]:
    return partial(Handoff, trigger)  # it can go to an agent on another node


def _description(roster: Roster, rule: AgentHandoff, to_user: bool) -> str:
    if rule.description:
        return rule.description
    if to_user:
        return "Ask the user, or tell them something, and wait for their next message."
    role = roster.roles.get(rule.to_role)
    about = role.description if role is not None else ""
    if not about:
        about = next(
            (
                text
                for member in roster.members
                if member.role == rule.to_role
                and (text := str(getattr(member.target, "description", "") or ""))
            ),
            "",
        )
    named = "" if rule.trigger == default_trigger(rule.to_role) else f" ({rule.trigger})"
    handed = f"Hand the conversation over to {rule.to_role}{named}."
    return f"{handed} {about}".strip()


__all__ = ["SwarmTools", "rules_of", "tool_name"]
