"""What an agent may call, and how: `tool`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias, cast, get_args, overload

from agenticaiframework.actors import near_names, shown

from .errors import ToolDefinitionError

OnError: TypeAlias = Literal["tell_model", "fail"]
"""What becomes of an error of a tool: the model is told, or the request fails."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""What all providers take for the name of a tool."""


@dataclass(frozen=True, slots=True, eq=False)
class AgentTool:
    """*what* an agent may call, and how it is called; made by `tool`. Calling it calls *what*.

    None leaves a thing as *what* has it, or as the agent has it for all its tools.
    """

    what: Any
    name: str | None = None
    description: str | None = None
    timeout: float | None = None
    retries: int | None = None
    requires_approval: bool | None = None
    on_error: OnError | None = None
    input_type: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.what(*args, **kwargs)


_OPTIONS: Final = tuple(each.name for each in fields(AgentTool) if each.name != "what")


@overload
def tool(
    what: Any,
    /,
    *,
    name: str | None = ...,
    description: str | None = ...,
    timeout: float | None = ...,
    retries: int | None = ...,
    requires_approval: bool | None = ...,
    on_error: OnError | None = ...,
    input_type: Any = ...,
) -> AgentTool: ...
@overload
def tool(
    *,
    name: str | None = ...,
    description: str | None = ...,
    timeout: float | None = ...,
    retries: int | None = ...,
    requires_approval: bool | None = ...,
    on_error: OnError | None = ...,
    input_type: Any = ...,
) -> Callable[[Any], AgentTool]: ...
def tool(
    what: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    requires_approval: bool | None = None,
    on_error: OnError | None = None,
    input_type: Any = None,
    **unknown: Any,
) -> AgentTool | Callable[[Any], AgentTool]:
    """Return *what* as a tool, with how it is called; without *what*, a decorator.

    *what* is a function, an agent, a team or a pattern, a tool or toolset of pydantic-ai, or an MCP
    server; *timeout* and *on_error* of a toolset hold for each of its tools. *name* and *description*
    (the docstring, if not given) are what the model sees. *timeout* is in seconds for each call: one
    that takes longer is cancelled, and left behind if it does not obey. *retries* is how often the
    model may correct its arguments. With *requires_approval* it is not called before that is granted.
    *on_error*: ``"tell_model"`` (what is done if nothing is said) answers the model with the error, so
    that it can try something else; ``"fail"`` fails the request. *input_type* is what an agent takes.
    """
    if unknown:
        option = next(iter(unknown))
        raise ToolDefinitionError(
            f"{'a tool' if what is None else _label(what)} has no parameter {option!r}. "
            f"{near_names(option, _OPTIONS)}"
        )
    if what is None:

        def declare(fn: Any) -> AgentTool:
            return _declared(
                fn, name, description, timeout, retries, requires_approval, on_error, input_type
            )

        return declare
    return _declared(
        what, name, description, timeout, retries, requires_approval, on_error, input_type
    )


def _declared(
    what: Any,
    name: Any,
    description: Any,
    timeout: Any,
    retries: Any,
    requires_approval: Any,
    on_error: Any,
    input_type: Any,
) -> AgentTool:
    if isinstance(what, AgentTool):
        what = _beneath(what, name, description, timeout, retries, requires_approval, on_error)
        if isinstance(what, AgentTool):
            return what
    label = _label(what)
    if name is not None:
        check_tool_name(name, label)
    if description is not None and not isinstance(description, str):
        raise ToolDefinitionError(
            f"the description of {label} is a text, not {shown(description, 60)}"
        )
    if timeout is not None and not _is_seconds(timeout):
        raise ToolDefinitionError(
            f"the timeout of {label} is a number of seconds above 0, not {shown(timeout, 60)}"
        )
    if retries is not None and (type(retries) is not int or retries < 0):
        raise ToolDefinitionError(
            f"the retries of {label} are a whole number, 0 or more, not {shown(retries, 60)}"
        )
    if requires_approval is not None and type(requires_approval) is not bool:
        raise ToolDefinitionError(
            f"requires_approval of {label} is True or False, not {shown(requires_approval, 60)}; "
            "for some calls only, raise pydantic_ai.ApprovalRequired in the tool"
        )
    if on_error is not None and on_error not in get_args(OnError):
        raise ToolDefinitionError(
            f"on_error of {label} is 'tell_model' or 'fail', not {shown(on_error, 60)}"
        )
    return AgentTool(
        what, name, description, timeout, retries, requires_approval, on_error, input_type
    )


def _beneath(declared: AgentTool, *given: Any) -> Any:
    """Return *declared* itself if nothing more is given; else refuse to say it in two places."""
    if all(each is None for each in given):
        return declared
    raise ToolDefinitionError(
        f"{_label(declared.what)} is a tool already; give all that is to be said of it in one tool(...)"
    )


def _label(what: Any) -> str:
    name = getattr(what, "__name__", None) or getattr(what, "name", None)
    return f"the tool {name!r}" if isinstance(name, str) else f"the tool {shown(what, 60)}"


def check_tool_name(name: Any, label: str) -> None:
    """Raise `ToolDefinitionError` unless *name* is one that providers take."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ToolDefinitionError(
            f"{shown(name, 80)} cannot be the name of {label}: models take letters, digits, '_' and "
            "'-', at most 64, beginning with a letter; name it with tool(fn, name='...')"
        )


def fits_as_name(name: str) -> str:
    """Return *name* with what models do not take in a tool's name as underscores.

    >>> fits_as_name("Support team (EU)"), fits_as_name("2nd line")
    ('Support_team_EU', '_2nd_line')
    """
    fitting = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "agent"
    return (fitting if fitting[0].isalpha() else f"_{fitting}")[:64]


def _is_seconds(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and not math.isnan(value)
        and cast(float, value) > 0
    )


__all__ = ["AgentTool", "OnError", "check_tool_name", "fits_as_name", "tool"]
