"""`observer_app`: the observer as an ASGI app, to mount in a service or to run alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from agenticaiframework.actors import ActorSystem, WrongUse
from agenticaiframework.patterns.engine import OrchestrationEngine

from ..access import Auth, Guard
from .access import BrowserAccess, is_open, with_headers
from .actions import Actions, read_actions
from .data import Observed
from .json_api import JsonApi
from .pages import Pages
from .rendering import STATIC

ROUTES = (
    ("/", "overview"),
    ("/tree", "tree"),
    ("/actors", "actors"),
    ("/actors/{pid:int}", "actor"),
    ("/runs", "runs"),
    ("/runs/{run:path}", "run"),
    ("/queues", "queues"),
    ("/models", "models"),
    ("/events", "events"),
    ("/letters", "letters"),
    ("/system", "system"),
    ("/search", "search"),
)


class ObserverApp:
    """The ASGI app that `observer_app` returns. ``observed`` is its data, for tests and programs."""

    def __init__(
        self,
        observed: Observed,
        access: BrowserAccess,
        actions: Actions,
    ) -> None:
        self.observed = observed
        self._pages = pages = Pages(observed, access, actions)
        api = JsonApi(observed, access, actions)

        def shows(name: str) -> Any:
            async def show(request: Request) -> Response:
                request.scope["view"] = name
                return await pages.view(request)

            return show

        routes = [Route(path, shows(name)) for path, name in ROUTES]
        self._app = Guard(
            Starlette(
                routes=[
                    Route("/login", pages.login, methods=["GET", "POST"]),
                    Route("/act", pages.confirm, methods=["GET"]),
                    Route("/act", pages.act, methods=["POST"]),
                    Route("/live/{view}", pages.live),
                    Route("/api/actions", api.act, methods=["POST"]),
                    Route("/api/{what}", api.get),
                    Route("/api/{what}/{id:path}", api.get),
                    # Editable installations may link to the files.
                    Mount(
                        "/static",
                        StaticFiles(directory=STATIC, follow_symlink=True),
                        name="static",
                    ),
                    *routes,
                ],
                exception_handlers={HTTPException: pages.problem},
            ),
            access,
            pages.denied,
            is_open=is_open,
            sends=with_headers,
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    async def drain(self, deadline_s: float) -> None:
        """Drain the engine, which can be watched until then, and end the streams of all who look.

        For ``drain_on_signal([engine, observer])``: a server such as uvicorn ends once no stream is open.
        On the server's loop.
        """
        engine = self.observed.engine
        try:
            if engine is not None and self.observed.system.running:
                await self.observed.here(lambda: engine.drain(deadline_s))
        finally:
            self.end_streams()

    def end_streams(self) -> None:
        """End the streams of all who look: the server is about to stop. On the server's loop."""
        self._pages.closing.set()


def observer_app(
    system: ActorSystem,
    engine: OrchestrationEngine | None = None,
    *,
    token: str | None = None,
    auth: Auth | None = None,
    actions: bool | Collection[str] = False,
    payloads: bool = False,
) -> ObserverApp:
    """Return an ASGI app that shows *system*, and the runs of *engine*, to be mounted or served.

    Without *token* and *auth* only requests from this machine are answered. *token* is what has to be
    entered, or sent as ``Authorization: Bearer``. *auth* is a function of the request, plain or async, that
    returns the caller's name (or True), or False; it may raise `HTTPException`, and return a response,
    such as a redirect to a login. *actions* enables all actions, or those that are named; each is
    confirmed, and recorded with the name of who did it. With *payloads* messages, outputs and what
    else may hold the data of users is shown; without, their classes are.
    Raises ValueError and TypeError for what cannot be meant.
    """
    if not isinstance(system, ActorSystem):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongUse(
            f"observer_app({system!r}, ...) needs the actor system that is to be shown: "
            "observer_app(ActorSystem.current(), engine)"
        )
    access = BrowserAccess(token, auth)
    observed = Observed(system, engine, payloads=payloads)
    return ObserverApp(observed, access, Actions(observed, read_actions(actions)))
