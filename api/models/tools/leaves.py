"""Which toolsets of pydantic-ai talk to MCP servers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_ai.mcp import MCPToolset
    from pydantic_ai.toolsets import AbstractToolset


def mcp_leaves(toolset: AbstractToolset[Any]) -> list[MCPToolset[Any]]:
    """Return the toolsets in *toolset* that talk to MCP servers; nothing is imported for it."""
    if "pydantic_ai.mcp" not in sys.modules:
        return []
    from pydantic_ai.mcp import MCPToolset

    found: list[MCPToolset[Any]] = []

    def look(leaf: AbstractToolset[Any]) -> None:
        if isinstance(leaf, MCPToolset):
            found.append(leaf)

    toolset.apply(look)
    return found


__all__ = ["mcp_leaves"]
