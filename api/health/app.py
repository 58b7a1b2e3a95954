"""An ASGI application, without any dependency, that answers how a system is."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from agenticaiframework.actors import ActorSystem, CheckState, HealthCheck, SystemHealth

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_FRESH: Final = (b"cache-control", b"no-store")


def health_app(
    system: ActorSystem | Callable[[], ActorSystem | None] | None = None, *, details: bool = True
) -> App:
    """Return an application with ``/health/live``, ``/health/ready`` and, with all checks, ``/health``.

    Mount it at ``/`` or at ``/health``, or run it alone; only the last part of a path counts. ``live``
    answers 503 when a restart of the process would help, ``ready`` when it cannot take work, ``/health``
    when anything has failed; else 200. The body says which checks have found what, and why; without
    *details* the state alone. *system* is a system, or a function that returns it, for programs that make
    theirs later; the one that runs on the server's loop if None. Until there is one it is live, and not ready.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            status, body = await _answer(scope, system, details)
            await _send(send, status, body, scope["method"] == "HEAD")

    return app


async def _answer(
    scope: Scope, given: ActorSystem | Callable[[], ActorSystem | None] | None, details: bool
) -> tuple[int, Mapping[str, Any]]:
    question = scope["path"].rstrip("/").rpartition("/")[2]
    # Mounted at a path of any name, its root asks for everything.
    root = (scope.get("root_path") or "").rstrip("/")
    if question not in ("live", "ready") and scope["path"].rstrip("/") not in ("", "/health", root):
        return 404, {"error": "there are /health/live, /health/ready and /health"}
    if scope["method"] not in ("GET", "HEAD"):
        return 405, {"error": "GET it"}
    system = given() if callable(given) else given
    if system is None and given is None:
        system = ActorSystem.current_or_none()
    if system is None:
        health = _not_started()
    else:
        health = await system.health(only_live=question == "live")
    well = health.live if question == "live" else health.ready
    data = health.to_dict() if details else {"state": health.state.value}
    return 200 if well else 503, data


def _not_started() -> SystemHealth:
    check = HealthCheck("system", CheckState.FAILED, "it has not been started")
    return SystemHealth("", {"system": check})


async def _send(send: Send, status: int, body: Mapping[str, Any], head: bool) -> None:
    content = json.dumps(body).encode()
    headers = [_JSON, _FRESH, (b"content-length", str(len(content)).encode())]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else content})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
