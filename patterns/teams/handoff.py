"""Handoffs: rules by which a member's result goes to another role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import Field, field_validator

from agenticaiframework.actors import is_coroutine_function

from ..definition.definition import Definition
from ..vocabulary.values import Handoff, read_handoff
from .errors import WrongHandoff


class AgentHandoff(Definition):
    """A rule: when a member of *from_role* returns *trigger*, one of *to_role* goes on.

    *data_transform*, a plain function, makes what the next one gets of what the first one gave.
    A member triggers it by returning ``Handoff("research_complete", data)``.
    """

    from_role: str = Field(min_length=1)
    to_role: str = Field(min_length=1)
    trigger: str = Field(min_length=1)
    data_transform: Callable[[Any], Any] | None = None

    @field_validator("data_transform")
    @classmethod
    def _check_plain(cls, value: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
        if value is not None and is_coroutine_function(value):
            raise ValueError("a plain function is needed, and this one is async")
        return value

    def transform(self, data: Any) -> Any:
        """Return what the next member gets."""
        return data if self.data_transform is None else self.data_transform(data)


class HandoffRules(Definition):
    """The handoff rules of a team."""

    handoffs: tuple[AgentHandoff, ...]


EXAMPLE = (
    'team.configure_handoffs([AgentHandoff(from_role="researcher", to_role="writer", '
    'trigger="research_complete")])'
)


@dataclass(frozen=True, slots=True)
class HandoffRecord:
    """A handoff that happened: the member and its role, the next role, and the trigger."""

    from_agent: str
    from_role: str
    to_role: str
    trigger: str


@dataclass(frozen=True, slots=True)
class Handed:
    """A handoff that is due: the rule that fires, and the data before its transform."""

    rule: AgentHandoff
    data: Any


def fired(team: str, rules: Sequence[AgentHandoff], role: str, answer: Any) -> Handed | None:
    """Return the handoff that *answer* of a member of *role* fires, or None.

    Raises `WrongHandoff` for a `Handoff` that no rule is for, and for a list of several: a turn ends
    with one handoff at most. A mapping that merely has a field
    called ``trigger`` is an ordinary answer unless a rule is for it.
    """
    if isinstance(answer, (list, tuple)):
        several = [item for item in cast("list[Any]", answer) if isinstance(item, Handoff)]
        if several:
            raise WrongHandoff(team, role, [handoff.trigger for handoff in several])
    handoff = read_handoff(answer)
    if handoff is None:
        return None
    for rule in rules:
        if rule.from_role == role and rule.trigger == handoff.trigger:
            return Handed(rule, handoff.data)
    if isinstance(answer, Handoff):
        known = [rule.trigger for rule in rules if rule.from_role == role]
        raise WrongHandoff(team, role, [handoff.trigger], known)
    return None


def contribution(answer: Any, handed: Handed | None) -> Any:
    """Return what *answer* contributes to a result: the data that is handed on, else the answer."""
    return answer if handed is None else handed.data


def without_handoff(answer: Any) -> Any:
    """Return what *answer* contributes to a result: the data of a handoff, else the answer."""
    return answer.data if isinstance(answer, Handoff) else answer
