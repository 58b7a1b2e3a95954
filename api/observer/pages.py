"""The HTML of the observer: whole views, their live parts as server-sent events, and forms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from .access import FORM_COOKIE, SESSION_COOKIE, BrowserAccess
from .actions import ACTIONS, Actions, Refused
from .rendering import environment
from .views import MENU, VIEWS, NotThere, View

if TYPE_CHECKING:
    from .data import Observed

FORM_TYPE: Final = "application/x-www-form-urlencoded"
MOST_BYTES: Final = 256 * 1024

STREAM_S: Final = 30.0
"""So long lives one stream, which its reader opens anew: a server that stops need not wait longer."""

SHARE: Final = 10
"""What takes long to show is shown so much more seldom than it takes."""


class Pages:
    """Renders what `Observed` tells. Holds no state but the templates."""

    def __init__(self, observed: Observed, access: BrowserAccess, actions: Actions) -> None:
        self._observed = observed
        self._access = access
        self._actions = actions
        self._env = environment()
        self.closing = asyncio.Event()
        """Set by what serves the app, when it ends: the streams end."""

    # -- views -------------------------------------------------------------------------------------

    async def view(self, request: Request) -> Response:
        """Answer with a whole view."""
        view = VIEWS[request.scope["view"]]
        params = self._params(request)
        status = 200
        context: dict[str, Any]
        try:
            context = {"missing": None, **await view.load(self._observed, params)}
        except NotThere as error:
            context, status = {"missing": str(error)}, 404
        live = self._path(request, f"/live/{view.name}", params)
        return self._html(request, "view.html", status, view=view, live=live, **context)

    async def live(self, request: Request) -> Response:
        """Answer with the live parts of a view, each time that they change."""
        view = VIEWS.get(request.path_params["view"])
        if view is None:
            raise HTTPException(404, "There is no such view")
        return StreamingResponse(
            self._changes(request, view), media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"},
        )  # fmt: skip

    async def _changes(self, request: Request, view: View) -> AsyncIterator[str]:
        """Yield the parts that are not what they were, as events that put each in its place."""
        params = dict(request.query_params)
        said: dict[str, str] = {}
        ends_at = time.monotonic() + STREAM_S
        yield ": live\n\n"
        while time.monotonic() < ends_at and self._observed.system.running:
            began = time.monotonic()
            try:
                context = await view.load(self._observed, params)
            except NotThere as error:
                context = {"missing": str(error)}
            changed = ""
            for part in view.live if "missing" not in context else ():
                html = self._part(request, view, part, context)
                if said.get(part) != html:
                    said[part] = html
                    changed += f'<hx-partial hx-target="#part-{part}" hx-swap="innerMorph">{html}</hx-partial>'
            if "missing" in context:
                html = self._part(request, view, "missing", context)
                yield _event(
                    f'<hx-partial hx-target="#missing" hx-swap="innerMorph">{html}</hx-partial>'
                )
                return
            # A comment, where nothing is new, finds readers that are gone.
            yield _event(changed) if changed else ": same\n\n"
            took = time.monotonic() - began
            try:
                async with asyncio.timeout(max(view.every_s, SHARE * took)):
                    await self.closing.wait()
                return
            except TimeoutError:
                pass

    def _part(self, request: Request, view: View, part: str, context: Mapping[str, Any]) -> str:
        template = self._env.get_template(f"parts/{part}.html")
        return template.render(self._common(request), view=view, **{"missing": None, **context})

    # -- actions -----------------------------------------------------------------------------------

    async def confirm(self, request: Request) -> Response:
        """Ask whether an action is meant, and for what it needs."""
        action = self._action(request.query_params.get("action", ""))
        target = request.query_params.get("target", "")
        given = {name: request.query_params.get(name, "") for name, _, _ in action.fields}
        back = _own(request.query_params.get("back", ""))
        named = request.query_params.get("named") or target
        return self._html(
            request, "confirm.html",
            action=action, target=target, named=named, given=given, back=back, problem=None,
        )  # fmt: skip

    async def act(self, request: Request) -> Response:
        """Do what was confirmed, and go back to where it was asked for."""
        fields = await _fields(request)
        self._access.check_form(request, fields.get("form", ""))
        action = self._action(fields.get("action", ""))
        target, back = fields.get("target", ""), _own(fields.get("back", ""))
        given = {name: fields.get(name, "") for name, _, _ in action.fields}
        try:
            await self._actions.do(request.state.who, action.name, target, given)
        except Refused as error:
            named = fields.get("named") or target
            return self._html(
                request, "confirm.html", 409,
                action=action, target=target, named=named, given=given, back=back, problem=str(error),
            )  # fmt: skip
        if action.name in ("restart", "stop"):
            back = "/tree"
        return RedirectResponse(f"{_base(request)}{back}", 303)

    def _action(self, name: str) -> Any:
        if name not in ACTIONS or name not in self._actions.enabled:
            raise HTTPException(403, "That is not enabled here.")
        return ACTIONS[name]

    # -- the token ---------------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        """Ask for the token, or take it."""
        if not self._access.asks_for_token:
            raise HTTPException(404, "There is no token to enter here.")
        if request.method == "GET":
            return self._html(request, "login.html", problem=None)
        fields = await _fields(request)
        self._access.check_form(request, fields.get("form", ""))
        if not self._access.accepts(fields.get("token", "")):
            await asyncio.sleep(0.5)
            return self._html(request, "login.html", 403, problem="That is not the token.")
        answer = RedirectResponse(f"{_base(request)}/", 303)
        self._cookie(request, answer, SESSION_COOKIE, self._access.session())
        return answer

    def denied(self, request: Request) -> Response:
        """Answer a request that is not let in."""
        wants_html = "text/html" in request.headers.get("accept", "")
        if self._access.asks_for_token and wants_html and request.method == "GET":
            return RedirectResponse(f"{_base(request)}/login", 303)
        said = (
            "The observer answers this machine alone, under its own name. For others it needs a "
            "token, or a rule of the service: observer_app(..., token=...) or auth=..."
        )
        return Response(said, 403, media_type="text/plain")

    async def problem(self, request: Request, error: Exception) -> Response:
        """Answer with what went wrong."""
        if not isinstance(error, HTTPException):
            raise error
        if "/api/" in request.url.path:
            return JSONResponse({"error": error.detail}, error.status_code)
        return self._html(request, "problem.html", error.status_code, said=error.detail)

    # -- rendering ---------------------------------------------------------------------------------

    def _html(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        cookie, token = self._access.form_token(request)
        page = self._env.get_template(template)
        html = page.render({**self._common(request), "form_token": token, **context})
        answer = HTMLResponse(html, status)
        if request.cookies.get(FORM_COOKIE) != cookie:
            self._cookie(request, answer, FORM_COOKIE, cookie)
        return answer

    def _common(self, request: Request) -> dict[str, Any]:
        return {
            "base": _base(request),
            "menu": [VIEWS[name] for name in MENU],
            "system": self._observed.system.name,
            "who": getattr(request.state, "who", None),
            "has_engine": self._observed.engine is not None,
            "payloads": self._observed.payloads,
            "enabled": self._actions.enabled,
            "actor_actions": self._actions.offered("actor"),
            "run_actions": self._actions.offered("run"),
            "schedule_actions": self._actions.offered("schedule"),
        }

    def _params(self, request: Request) -> dict[str, str]:
        return {**request.query_params, **request.path_params}

    def _path(self, request: Request, path: str, params: Mapping[str, str]) -> str:
        query: Any = self._env.globals["query"]
        return f"{_base(request)}{path}{query(**params)}"

    def _cookie(self, request: Request, answer: Response, name: str, value: str) -> None:
        answer.set_cookie(
            name, value, path=_base(request) or "/", httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip


def _base(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def _own(path: str) -> str:
    """Return *path* if it is one below this app; else the first view."""
    parts = urlsplit(path)
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc
    return path if plain and path.isprintable() and "\\" not in path else "/"


async def _fields(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises HTTPException for what is not one, or too much."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != FORM_TYPE:
        raise HTTPException(415, "That is not a form.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, "That is too much for a form.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None


def _event(html: str) -> str:
    lines = html.replace("\r", "").split("\n")
    return "".join(f"data: {line}\n" for line in lines) + "\n"
