"""An A2A agent with its card, as an ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes.common import ServerCallContextBuilder
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agenticaiframework.actors import ActorSystem

from ..access import Auth, own_path
from .a2a_handler import WAITS, WHO, TaskHandler
from .app import FaceApp, caller_of
from .calls import Call, FaceLimits
from .served import Served


class A2aApp(FaceApp):
    """Answers A2A for one target: its card, and JSON-RPC at the path where it is mounted."""

    def __init__(
        self,
        served: Served,
        *,
        url: str | None,
        version: str,
        token: str | None,
        auth: Auth | None,
        limits: FaceLimits | None,
    ) -> None:
        super().__init__({served.name: served}, "a2a", token=token, auth=auth, limits=limits)
        self._one = served
        self._url = url
        self._version = version
        self._dispatcher: JsonRpcDispatcher | None = None

    async def opened(self, system: ActorSystem) -> None:
        """Begin without any task."""
        handler = TaskHandler(self._one, lambda: self.calls, self.limits.max_tasks)
        self._dispatcher = JsonRpcDispatcher(handler, _Contexts())

    async def answer(self, request: Request, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that has been let in."""
        path = own_path(request).rstrip("/")
        try:
            if path == AGENT_CARD_WELL_KNOWN_PATH:
                _check_method(request, "GET")
                card = JSONResponse(agent_card_to_dict(self.card(request)))
                await card(scope, receive, send)
                return
            if path:
                raise HTTPException(404, f"There are / and {AGENT_CARD_WELL_KNOWN_PATH}.")
            _check_method(request, "POST")
        except HTTPException as error:
            response = self._error(error.status_code, error.detail, error.headers)
            await response(scope, receive, send)
            return
        await self._dispatch(request, scope, receive, send)

    def error_body(self, status: int, said: str) -> Mapping[str, Any]:
        """Return an error of JSON-RPC that belongs to no request."""
        return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": said}}

    def card(self, request: Request) -> AgentCard:
        """Return what the agent says of itself, with its address as the caller of *request* sees it."""
        served = self._one
        # Starlette's own base is that of the outermost app.
        here = request.base_url.replace(path=f"{request.scope.get('root_path', '')}/")
        url = self._url or str(here)
        skill = AgentSkill(
            id=served.name,
            name=served.name,
            description=served.description,
            tags=["durable"] if served.durable else ["agent"],
        )
        card = AgentCard(
            name=served.name,
            description=served.description,
            version=self._version,
            supported_interfaces=[
                AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")
            ],
            capabilities=AgentCapabilities(streaming=True, push_notifications=False),
            default_input_modes=["text/plain", "application/json"],
            default_output_modes=["text/plain", "application/json"],
            skills=[skill],
        )
        if self._access.asks_for_token:
            bearer = SecurityScheme(
                http_auth_security_scheme=HTTPAuthSecurityScheme(scheme="bearer")
            )
            card.security_schemes["bearer"].CopyFrom(bearer)
            card.security_requirements.append(SecurityRequirement(schemes={"bearer": StringList()}))
        return card

    async def _dispatch(self, request: Request, scope: Any, receive: Any, send: Any) -> None:
        await request.body()  # what comes after it on the connection is its end
        gone = asyncio.Event()
        waited: list[Call] = []
        request.state.waits = waited.append

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            for call in waited:
                call.leave()

        async def until_gone() -> Any:
            await gone.wait()
            return {"type": "http.disconnect"}

        assert self._dispatcher is not None, "it is made before the first request is answered"
        watching = asyncio.create_task(watch(), name="faces: client")
        try:
            response: Response = await self._dispatcher.handle_requests(request)
            await response(scope, until_gone, send)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            for call in waited:
                call.leave()


class _Contexts(ServerCallContextBuilder):
    """Tells the handler the caller's name, and notes the call that the client waits for."""

    def build(self, request: Request) -> ServerCallContext:
        """Return the context of a request."""
        state = {
            WHO: caller_of(request),
            WAITS: request.state.waits,
            "headers": dict(request.headers),
        }
        return ServerCallContext(state=state)


def _check_method(request: Request, method: str) -> None:
    if request.method != method:
        raise HTTPException(405, f"{method} it.", {"allow": method})
