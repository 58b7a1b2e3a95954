"""One function a protocol: each returns an ASGI app, and imports what its protocol needs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, TextIO

from agenticaiframework.actors import MissingExtra

from ..access import Auth
from .app import FaceApp
from .calls import FaceLimits
from .served import read_served


def mcp_app(
    *targets: Any,
    name: str = "agenticaiframework",
    token: str | None = None,
    auth: Auth | None = None,
    limits: FaceLimits | None = None,
) -> FaceApp:
    """Return an MCP server over streamable HTTP, with each of *targets* as a tool.

    A target is an agent, a team, a pattern, or what `serve` and `serve_workflow` return. *token*, *auth* and
    what goes without them are those of the observer: without both only this machine is answered. *name* is
    what the server calls itself. Mount it at any path: that is its URL. Needs the extra ``mcp``.
    """
    served = read_served(targets)
    try:
        from .mcp_http import McpApp
    except ImportError as error:
        raise _missing(error, "mcp_app", "mcp", "mcp", "mcp_types") from error
    return McpApp(served, name, token=token, auth=auth, limits=limits)


def openai_app(
    *targets: Any,
    token: str | None = None,
    auth: Auth | None = None,
    limits: FaceLimits | None = None,
) -> FaceApp:
    """Return an OpenAI-compatible chat endpoint, with each of *targets* as a model.

    Mount it at ``/v1``: it answers ``/v1/chat/completions``, streaming and not, and ``/v1/models``. Targets and
    access are those of `mcp_app`; clients send the token as their API key.
    """
    from .chat_app import ChatApp

    return ChatApp(read_served(targets), "openai", token=token, auth=auth, limits=limits)


def a2a_app(
    target: Any,
    *,
    url: str | None = None,
    version: str = "1.0.0",
    token: str | None = None,
    auth: Auth | None = None,
    limits: FaceLimits | None = None,
) -> FaceApp:
    """Return an A2A agent that is *target*, with its card at ``/.well-known/agent-card.json``.

    Each message is a task; the run of a workflow is one by its id, in every process. *url* is where clients
    reach it, for its card, if that is not what they ask by; *version* is the agent's own. Target and access
    are those of `mcp_app`. Needs the extra ``a2a``.
    """
    (served,) = read_served((target,)).values()
    try:
        from .a2a_http import A2aApp
    except ImportError as error:
        raise _missing(
            error, "a2a_app", "a2a", "a2a", "google", "jsonrpc", "sse_starlette"
        ) from error
    return A2aApp(served, url=url, version=version, token=token, auth=auth, limits=limits)


def agui_app(
    target: Any,
    *,
    token: str | None = None,
    auth: Auth | None = None,
    limits: FaceLimits | None = None,
) -> FaceApp:
    """Return AG-UI for front ends that talk with *target*: runs, asked for at the path of the mount.

    Target and access are those of `mcp_app`. Needs the extra ``ag-ui``.
    """
    (served,) = read_served((target,)).values()
    try:
        from .agui_http import AguiApp
    except ImportError as error:
        raise _missing(error, "agui_app", "ag-ui", "ag_ui") from error
    return AguiApp(served, token=token, auth=auth, limits=limits)


async def serve_mcp_stdio(
    *targets: Any,
    name: str = "agenticaiframework",
    limits: FaceLimits | None = None,
    output: TextIO | None = None,
) -> None:
    """Answer one MCP client on standard input and output, until it closes them.

    What handlers print goes to standard error meanwhile. *output* is where the answers go in place of
    standard output, for a program that has led that elsewhere already. Needs the extra ``mcp``.
    """
    served = read_served(targets)
    try:
        from .mcp_stdio import serve_stdio
        from .standard_streams import claimed_output
    except ImportError as error:
        raise _missing(error, "serve_mcp_stdio", "mcp", "mcp", "mcp_types") from error
    with claimed_output() if output is None else nullcontext(output) as wire:
        await serve_stdio(served, name, limits or FaceLimits(), wire)


def _missing(error: ImportError, what: str, extra: str, *packages: str) -> ImportError:
    """Return the error that names the extra, if that is what is missing."""
    if (error.name or "").partition(".")[0] in packages:
        return MissingExtra(f"agenticaiframework.faces.{what}", extra)
    return error
