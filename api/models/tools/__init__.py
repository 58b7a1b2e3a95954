"""Tools of agents: functions, agents, toolsets and MCP servers, called as actors are.

Knows `agenticaiframework.actors`; pydantic-ai where tools are built, which the first request does.
A call is an actor of its own; an MCP server is owned by its keeper, an actor that lives with the agent.
"""

from .declared import AgentTool, OnError, tool
from .errors import ToolCallFailed, ToolDefinitionError, ToolTimeout, UntellableResult
from .mcp import McpServer, McpServerUnavailable
from .reading import check_tools

__all__ = [
    "AgentTool",
    "McpServer",
    "McpServerUnavailable",
    "OnError",
    "ToolCallFailed",
    "ToolDefinitionError",
    "ToolTimeout",
    "UntellableResult",
    "check_tools",
    "tool",
]
