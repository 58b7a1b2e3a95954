"""The tools of an agent as toolsets and capabilities of pydantic-ai."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from pydantic_ai import Tool
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, NativeTool
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import (
    AbstractToolset,
    FunctionToolset,
    ToolsetTool,
    WrapperToolset,
)

from .askables import askable_tool
from .calls import ToolCall, call_apart
from .declared import AgentTool
from .functions import function_tool, tool_apart
from .guarded import CallRules, GuardedToolset
from .leaves import mcp_leaves
from .mcp import McpServer, is_mcp_source
from .reading import kind_of, read_tools, tool_name


@dataclass
class BuiltTools:
    """What an agent's tools are for pydantic-ai."""

    toolsets: list[AbstractToolset[Any]] = field(default_factory=list[AbstractToolset[Any]])
    capabilities: list[AbstractCapability[Any]] = field(
        default_factory=list[AbstractCapability[Any]]
    )


class ApartToolset(WrapperToolset[Any]):
    """A toolset of the user's own kind: each call in an actor of its own."""

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        call = partial(self.wrapped.call_tool, name, tool_args, ctx, tool)
        return await call_apart(ToolCall, name, call)


def build_tools(agent: str, tools: Sequence[Any]) -> BuiltTools:
    """Return the *tools* of *agent* for pydantic-ai; raises `ToolDefinitionError`, `MissingExtra`."""
    built = BuiltTools()
    single: list[Tool[Any]] = []
    rules: dict[str, CallRules] = {}
    for declared in read_tools(agent, tools):
        kind = kind_of(declared.what)
        if kind in ("function", "agent", "tool"):
            tool = _single(declared, kind)
            timeout_s, tool.timeout = tool.timeout, None
            rules[tool.name] = _rules(declared, timeout_s)
            single.append(tool)
        elif kind == "native":
            built.capabilities.append(NativeTool(declared.what))
        elif kind == "capability":
            built.capabilities.append(declared.what)
        else:
            toolset = _several(declared)
            if declared.requires_approval:
                toolset = toolset.approval_required()
            built.toolsets.append(GuardedToolset(toolset, {}, _rules(declared), agent))
    if single:
        functions: FunctionToolset[Any] = FunctionToolset(single, id="tools")
        built.toolsets.insert(0, GuardedToolset(functions, rules, agent=agent))
    return built


def _single(declared: AgentTool, kind: str) -> Tool[Any]:
    what, name = declared.what, tool_name(declared)
    if kind == "agent":
        tool = askable_tool(what, name, declared.description, declared.input_type)
    elif kind == "function":
        tool = function_tool(what, name)
    else:
        tool = tool_apart(what)
        tool.name = name
    if declared.description is not None:
        tool.description = declared.description
    if declared.retries is not None:
        tool.max_retries = declared.retries
    if declared.requires_approval is not None:
        tool.requires_approval = declared.requires_approval
    return tool


def _rules(declared: AgentTool, timeout_s: float | None = None) -> CallRules:
    return CallRules(
        timeout_s if declared.timeout is None else declared.timeout,
        declared.on_error or "tell_model",
    )


def _several(declared: AgentTool) -> AbstractToolset[Any]:
    """Return what *declared* stands for as one toolset."""
    what = declared.what
    if isinstance(what, McpServer):
        what.check()
        from .served import FreshServer, ServedToolset

        fails = declared.on_error == "fail"
        return ServedToolset((id(what), fails), FreshServer(what, fails))
    toolset = cast("AbstractToolset[Any]", what)
    if is_mcp_source(what):
        from pydantic_ai.mcp import MCPToolset

        toolset = MCPToolset(what)
    if mcp_leaves(toolset):
        from .served import GivenServer, ServedToolset

        # By its id: toolsets compare, and some cannot be hashed. Its source keeps it.
        return ServedToolset(id(what), GivenServer(what, toolset))
    return ApartToolset(toolset)


def kept_servers(agent: AbstractAgent[Any, Any]) -> list[AbstractCapability[Any]]:
    """Return what lets the MCP servers of *agent* live with the agent of ours that wraps it."""
    if not any(map(mcp_leaves, agent.toolsets)):
        return []
    from .served import KeptServers

    return [KeptServers()]


__all__ = ["ApartToolset", "BuiltTools", "build_tools", "kept_servers"]
