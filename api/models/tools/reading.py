"""The list of tools of an agent, read and checked when the agent is made, without any model library."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias, cast

from agenticaiframework.actors import Log, shown

from .askables import ARGUMENT, input_type_of, is_askable
from .declared import AgentTool, check_tool_name, fits_as_name
from .errors import ToolDefinitionError
from .mcp import McpServer, is_mcp_source
from .signatures import check_function, check_hint, function_name

Kind: TypeAlias = Literal["function", "agent", "tool", "toolset", "native", "capability", "mcp"]

_LOG: Final = Log()


def kind_of(what: Any) -> Kind:
    """Return what *what* is to an agent that may call it; raises `ToolDefinitionError`."""
    if isinstance(what, McpServer) or is_mcp_source(what):
        return "mcp"
    found = _pydantic_ai_kind(what)
    if found is not None:
        return found
    if is_askable(what):
        return "agent"
    if callable(what) and not isinstance(what, type):
        return "function"
    raise ToolDefinitionError(_refusal(what))


def _pydantic_ai_kind(what: Any) -> Kind | None:
    # What is one of its objects has imported it already.
    if "pydantic_ai" not in sys.modules:
        return None
    from pydantic_ai import Agent, Tool
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.native_tools import AbstractNativeTool
    from pydantic_ai.toolsets import AbstractToolset

    if isinstance(what, Tool):
        return "tool"
    if isinstance(what, AbstractToolset):
        return "toolset"
    if isinstance(what, AbstractNativeTool):
        return "native"
    if isinstance(what, AbstractCapability):
        return "capability"
    if isinstance(what, Agent):
        name = what.name or "researcher"
        raise ToolDefinitionError(
            f"an agent of pydantic-ai is a tool by way of an agent of this library: "
            f"tools=[Agent({name!r}, that_agent)]"
        )
    return None


def _refusal(what: Any) -> str:
    said = shown(what, 80)
    if isinstance(what, str):
        return (
            f"a tool is a thing that can be called and not a name, and {said} is one; give the function, "
            "or the agent itself: find_agent(name)"
        )
    if isinstance(what, type):
        return (
            f"{said} is a class, and a model calls functions; give a function, or an object of it"
        )
    if isinstance(what, dict):
        return (
            f"a mapping is not a tool: {said}; give the function itself, and let its signature say what "
            "the model sees"
        )
    return (
        f"{said} is not a tool: that is a function, an agent, a team, a pattern, an MCP server "
        "(McpServer(...)), or a tool or toolset of pydantic-ai; wrap anything else in a function"
    )


def read_tools(agent: str, tools: Any) -> tuple[AgentTool, ...]:
    """Return the *tools* of *agent*, each declared, and each with its name if that is known by now.

    Raises `ToolDefinitionError` for what cannot be a tool, and for two of one name.
    """
    if isinstance(tools, (str, dict)) or not isinstance(tools, Iterable):
        raise ToolDefinitionError(
            f"the tools of agent {agent!r} are a list, not {shown(tools, 80)}: tools=[...]"
        )
    read: list[AgentTool] = []
    names: dict[str, str] = {}
    for given in cast("Iterable[Any]", tools):
        declared = given if isinstance(given, AgentTool) else AgentTool(given)
        for name in _names_of(declared):
            if name in names:
                raise ToolDefinitionError(
                    f"agent {agent!r} has two tools of the name {name!r} ({names[name]} and "
                    f"{shown(declared.what, 60)}); name one of them: tool(fn, name='...')"
                )
            names[name] = shown(declared.what, 60)
        read.append(declared)
    return tuple(read)


def _names_of(declared: AgentTool) -> list[str]:
    """Return the names that are known before anything is connected, each checked."""
    kind, what = kind_of(declared.what), declared.what
    if kind in ("function", "agent", "tool"):
        return [tool_name(declared)]
    _refuse_for_many(declared, kind)
    known = getattr(what, "tools", None) if kind == "toolset" else None
    return [str(name) for name in cast("dict[Any, Any]", known)] if isinstance(known, dict) else []


def tool_name(declared: AgentTool) -> str:
    """Return the name that the model calls a function, an agent or a tool by."""
    what = declared.what
    if declared.name is not None:
        return declared.name
    kind = kind_of(what)
    if kind == "function":
        name = function_name(what)
        check_tool_name(name, f"the function {shown(what, 60)}")
        return name
    name = cast(str, what.name)
    return fits_as_name(name) if kind == "agent" else name


def _refuse_for_many(declared: AgentTool, kind: Kind) -> None:
    """Refuse what only one tool has, where *declared* stands for several."""
    said = {
        "name": declared.name,
        "description": declared.description,
        "retries": declared.retries,
        "input_type": declared.input_type,
    }
    if kind in ("native", "capability"):
        said |= {
            "timeout": declared.timeout,
            "on_error": declared.on_error,
            "requires_approval": declared.requires_approval,
        }
    given = [word for word, value in said.items() if value is not None]
    if given:
        raise ToolDefinitionError(
            f"{', '.join(given)} cannot be said of {shown(declared.what, 60)}, which is "
            f"{'called by the provider' if kind in ('native', 'capability') else 'several tools'}; "
            "give tool(...) what it can say, and the object itself the rest"
        )


def check_tools(agent: str, tools: Any) -> tuple[AgentTool, ...]:
    """Return the *tools* of *agent*, checked as far as that goes without a model library.

    What the model will hardly make sense of is logged once for each function.
    """
    read = read_tools(agent, tools)
    for declared in read:
        kind = kind_of(declared.what)
        if kind == "function":
            _check_function(agent, declared)
        elif kind == "agent":
            _check_agent(agent, declared)
        elif isinstance(declared.what, McpServer):
            declared.what.check()
        if kind not in ("function", "agent") and declared.input_type is not None:
            raise ToolDefinitionError(
                f"input_type is what an agent takes, and {shown(declared.what, 60)} is none; it has its own"
            )
    return read


_told: Final[set[tuple[str, str]]] = set()
"""What has been logged, by agent and tool."""


def _check_function(agent: str, declared: AgentTool) -> None:
    name = tool_name(declared)
    if declared.input_type is not None:
        raise ToolDefinitionError(
            f"input_type is what an agent takes; the function {name!r} says it by its own annotations"
        )
    missing = check_function(declared.what, name)
    if declared.description is not None:
        missing = tuple(each for each in missing if not each.startswith("no description"))
    if missing and (agent, name) not in _told:
        _told.add((agent, name))
        _LOG.bind(agent=agent, tool=name).warning(
            "Of the tool {} the model of agent {} sees {}.", name, agent, " and ".join(missing)
        )


def _check_agent(agent: str, declared: AgentTool) -> None:
    name = tool_name(declared)
    if declared.what.name == agent:
        raise ToolDefinitionError(f"agent {agent!r} has itself, or its own name, among its tools")
    hint = input_type_of(declared.what, declared.input_type, name)
    check_hint(name, ARGUMENT, hint)


__all__ = ["Kind", "check_tools", "kind_of", "read_tools", "tool_name"]
