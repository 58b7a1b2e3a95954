"""`serve_observer`: the observer on a port of its own, beside the program that it shows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Collection, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import OrchestrationEngine

from ..access import Auth, check_host
from .app import observer_app


class _Server(uvicorn.Server):
    """A server that leaves the signals to the program around it."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serve_observer(
    system: ActorSystem,
    engine: OrchestrationEngine | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 4040,
    token: str | None = None,
    auth: Auth | None = None,
    actions: bool | Collection[str] = False,
    payloads: bool = False,
) -> AsyncGenerator[str]:
    """Serve the observer as long as the ``async with`` block runs, and give its address.

    ::

        async with serve_observer(system, engine) as url:
            print(url)
            await system.until_signal()

    Port 0 takes one that is free. On another *host* than this machine it needs *token* or *auth*:
    ValueError. Raises OSError for a port that is taken.
    """
    check_host(host, token, auth)
    app = observer_app(system, engine, token=token, auth=auth, actions=actions, payloads=payloads)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=3
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="observer")
        try:
            name = f"[{host}]" if family == socket.AF_INET6 else host
            yield f"http://{name}:{listening.getsockname()[1]}/"
        finally:
            app.end_streams()
            server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)
    finally:
        listening.close()
