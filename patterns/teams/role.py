"""Roles: what a place in a team needs of the agent that takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from ..definition.definition import Definition


class AgentRole(Definition):
    """A role: its name, what it needs, and how many agents may have it (None: any number).

    ``AgentRole(name="researcher", capabilities=["web_search"], max_agents=2)``. *name* is what
    workflows of the team call it, *description* is for people and for models that choose, and
    *max_agents* bounds how many members have it. *capabilities* are what `AgentTeam.auto_assign_agents`
    matches; assigning by hand does not look at them.
    """

    name: str = Field(min_length=1)
    description: str = ""
    capabilities: Sequence[str] = ()
    max_agents: int | None = Field(default=None, ge=1)

    example: ClassVar[str] = 'AgentRole(name="writer", capabilities=["writing"], max_agents=1)'

    @field_validator("capabilities", mode="before")
    @classmethod
    def _read_capabilities(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"a list of capabilities is needed: [{value!r}]")
        return value

    @field_validator("capabilities")
    @classmethod
    def _freeze_capabilities(cls, value: Sequence[str]) -> tuple[str, ...]:
        return tuple(value)
