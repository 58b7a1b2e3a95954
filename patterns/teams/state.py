"""What the members of a swarm and their tools share, beside the conversation."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Final, cast

from pydantic import BaseModel, TypeAdapter

from agenticaiframework.actors import AgenticError, agent_context

STATE: Final = "agenticaiframework.team_state"
"""Where a member's context has the `SharedState`."""


class SharedState:
    """The state of one session of a team. Owned by the members, which have the conversation in turns."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def data(self) -> Any:
        """Return the state as plain data; raises for a value that has no such form."""
        return self._form().dump_python(self.value, mode="json")

    def restore(self, data: Any) -> None:
        """Make the state again what it was when `data` returned *data*: the same object, if that can be."""
        read: Any = self._form().validate_python(data)
        if isinstance(read, BaseModel):
            names = list(type(read).model_fields)
        elif is_dataclass(read):
            names = [field.name for field in fields(read)]
        elif isinstance(read, dict):
            known = cast("dict[Any, Any]", self.value)
            known.clear()
            known.update(cast("dict[Any, Any]", read))
            return
        else:
            self.value = read
            return
        try:
            for name in names:
                setattr(self.value, name, getattr(read, name))
        except (AttributeError, TypeError, ValueError):  # it is frozen
            self.value = read

    def _form(self) -> TypeAdapter[Any]:
        return TypeAdapter(cast("type[Any]", type(self.value)))


class StateUnavailable(AgenticError):
    """A team's state was asked for where there is none."""

    def __init__(self) -> None:
        super().__init__(
            "There is no team's state here. A member of a team has one while it works for a team with "
            'TeamConfig(mode="swarm", state=MyState); its tools find it as ctx.deps, too.'
        )


def team_state() -> Any:
    """Return the state that the members of the team share which the running handler works for.

    It is one object for each session of the team. Raises `StateUnavailable` elsewhere.
    """
    state = agent_context().get(STATE)
    if not isinstance(state, SharedState):
        raise StateUnavailable
    return state.value
