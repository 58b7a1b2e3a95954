"""The MCP server over standard input and output: for clients that start it as a process of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO, cast

import anyio
from mcp.server.stdio import stdio_server

from .calls import Calls, FaceLimits
from .mcp_server import McpTools
from .served import Served
from .standard_streams import InputLines


async def serve_stdio(
    served: Mapping[str, Served], name: str, limits: FaceLimits, output: TextIO
) -> None:
    """Answer one client on *output* until it closes standard input."""
    calls = Calls(limits, "mcp")
    server = McpTools(name, served, lambda: calls, limits.timeout_s).server
    try:
        # The SDK's own reader cannot be cancelled while it waits for a line.
        with InputLines() as lines:
            stdin, stdout = cast("Any", lines), anyio.wrap_file(output)
            async with stdio_server(stdin, stdout) as (read, write):
                await server.run(read, write, server.create_initialization_options())
    finally:
        await calls.close()
