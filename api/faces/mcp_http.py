"""The MCP server over HTTP, as an ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request

from agenticaiframework.actors import ActorSystem

from ..access import Auth
from .app import FaceApp, caller_of
from .calls import FaceLimits
from .mcp_server import LEFT, Leaving, McpTools
from .served import Served


class McpApp(FaceApp):
    """An MCP server over streamable HTTP, at whatever path it is mounted."""

    def __init__(
        self,
        served: Mapping[str, Served],
        name: str,
        *,
        token: str | None,
        auth: Auth | None,
        limits: FaceLimits | None,
    ) -> None:
        super().__init__(served, "mcp", token=token, auth=auth, limits=limits)
        self._tools = McpTools(name, served, lambda: self.calls, self.limits.timeout_s)
        self._manager: StreamableHTTPSessionManager | None = None
        self._stop: asyncio.Event | None = None
        self._serving: asyncio.Task[None] | None = None

    async def answer(self, request: Request, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that has been let in."""
        manager = self._manager
        if manager is None:
            await self._error(503, "The server is about to stop.")(scope, receive, send)
            return
        who = caller_of(request)
        leaving = Leaving()
        # A session belongs to the one who has opened it.
        user = AuthenticatedUser(AccessToken(token="", client_id=who, scopes=[]))
        inner = {**scope, "user": user, LEFT: leaving}
        try:
            await manager.asgi_app(inner, receive, send)
        finally:
            leaving.left()

    def error_body(self, status: int, said: str) -> Mapping[str, Any]:
        """Return an error of JSON-RPC that belongs to no request."""
        return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": said}}

    async def opened(self, system: ActorSystem) -> None:
        """Serve sessions in *system*."""
        self._stop = asyncio.Event()
        manager = StreamableHTTPSessionManager(
            self._tools.server,
            session_idle_timeout=self.limits.session_idle_s,
            max_sessions=self.limits.max_sessions,
            max_request_body_size=self.limits.max_body_bytes,
        )
        ready = asyncio.Event()
        # The manager's tasks have to begin and end in one task, which no request's task can be.
        self._serving = asyncio.create_task(
            _serve(manager, ready, self._stop), name="faces: mcp sessions"
        )
        await ready.wait()
        self._manager = manager

    def ending(self) -> None:
        """End the sessions, and with them their streams."""
        self._manager = None
        if self._stop is not None:
            self._stop.set()

    async def closed(self) -> None:
        """Wait for the end of the sessions."""
        if self._serving is not None:
            await asyncio.gather(self._serving, return_exceptions=True)
            self._serving = None


async def _serve(
    manager: StreamableHTTPSessionManager, ready: asyncio.Event, stop: asyncio.Event
) -> None:
    async with manager.run():
        ready.set()
        await stop.wait()
