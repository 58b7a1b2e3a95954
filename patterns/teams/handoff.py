"""Handoffs: rules by which a member's result goes to another role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import Field, TypeAdapter, field_validator, model_validator

from agenticaiframework.actors import fields_of, is_coroutine_function, shown

from ..definition.definition import Definition
from ..vocabulary.values import Handoff, read_handoff
from .errors import WrongHandoff

USER = "user"
"""The role that stands for the team's caller: handed over to it, a team waits for the next message."""


class AgentHandoff(Definition):
    """A rule: when a member of *from_role* returns *trigger*, one of *to_role* goes on.

    *data_transform*, a plain function, makes what the next one gets of what the first one gave.
    A member triggers it by returning ``Handoff("research_complete", data)``.

    In a team with ``mode="swarm"`` a member with a model gets a tool for each rule of its role, called
    like the *trigger* (``transfer_to_writer``, if none is given) and described by *description* (by default
    by the role's). *payload* is the type of what it has to give with it. *on_handoff*, plain or
    ``async``, is called with a `HandingOver` before the next one is asked; it may change the ``data``, by
    returning others too, and the team's state.
    """

    from_role: str = Field(min_length=1)
    to_role: str = Field(min_length=1)
    trigger: str = Field(default="", min_length=1)
    data_transform: Callable[[Any], Any] | None = None
    description: str = ""
    payload: Any = None
    on_handoff: Callable[[Any], Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_trigger(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "trigger" not in data:
            fields = cast("Mapping[str, Any]", data)
            if isinstance(fields.get("to_role"), str):
                return {**fields, "trigger": default_trigger(fields["to_role"])}
        return cast(Any, data)

    @field_validator("data_transform")
    @classmethod
    def _check_plain(cls, value: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
        if value is not None and is_coroutine_function(value):
            raise ValueError("a plain function is needed, and this one is async")
        return value

    @field_validator("payload")
    @classmethod
    def _check_payload(cls, value: Any) -> Any:
        try:
            TypeAdapter(value)
        except Exception as error:
            raise ValueError(f"a type is needed, not {shown(value, 60)} ({error})") from None
        return value

    def transform(self, data: Any) -> Any:
        """Return what the next member gets."""
        return data if self.data_transform is None else self.data_transform(data)


def default_trigger(to_role: str) -> str:
    """Return the trigger of a rule that has none of its own."""
    return f"transfer_to_{to_role}"


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

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data, for JSON."""
        return fields_of(self)


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
