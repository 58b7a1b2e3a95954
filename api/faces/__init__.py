"""Faces for other programs: agents, teams, patterns and workflows as MCP tools, and in other protocols.

Knows every layer below by what that exports, and access. `served` says what is served, `calls` how it is
called, under limits; a protocol is a file or two on top of those, and keeps no work of its own. The state of
an app's calls is owned by the loop that they run on.
"""

from agenticaiframework.actors import MissingExtra

try:
    from .app import FaceApp
except ImportError as error:
    if (error.name or "").partition(".")[0] != "starlette":
        raise
    raise MissingExtra("agenticaiframework.faces", "faces") from error

from .apps import a2a_app, agui_app, mcp_app, openai_app, serve_mcp_stdio
from .calls import FaceLimits
from .failures import FailureKind
from .served import Served, serve, serve_workflow

__all__ = [
    "FaceApp",
    "FaceLimits",
    "FailureKind",
    "Served",
    "a2a_app",
    "agui_app",
    "mcp_app",
    "openai_app",
    "serve",
    "serve_mcp_stdio",
    "serve_workflow",
]
