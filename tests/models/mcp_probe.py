"""An MCP server for the tests, made with the official package: run as a process of its own.

``python mcp_probe.py`` speaks over its standard input and output, ``python mcp_probe.py PORT`` over HTTP.
``stubborn`` in its arguments: it ends neither with its input nor when it is terminated.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("probe", log_level="CRITICAL")


@server.tool()
def pid() -> int:
    """Tell the server's process."""
    return os.getpid()


@server.tool()
async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "waited"


@server.tool()
def refuse(why: str) -> str:
    """Refuse."""
    raise ToolError(f"no: {why}")


@server.tool()
def die() -> str:
    """End at once."""
    print("the probe dies", file=sys.stderr, flush=True)
    os._exit(3)


def main() -> None:
    arguments = sys.argv[1:]
    if "broken" in arguments:
        print("no licence found", file=sys.stderr, flush=True)
        sys.exit(4)
    stubborn = "stubborn" in arguments
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Thread(target=time.sleep, args=(120,)).start()
    ports = [int(each) for each in arguments if each.isdigit()]
    if ports:
        server.run("streamable-http", port=ports[0])
    else:
        server.run("stdio")


if __name__ == "__main__":
    main()
