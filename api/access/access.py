"""Access to an app: by a token, by the service's own rule, or from this machine alone.

Without a token and without a rule, only requests from this machine are answered that name it as their
host and did not come through a proxy: a page elsewhere that rebinds its name, or a proxy on the same
machine, gets nothing.
"""

from __future__ import annotations

import hmac
import inspect
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

Auth = Callable[[Request], Any]
"""Returns the name of the caller, or True; False or None for one that is not let in. May be async, may raise
HTTPException, and may return a Response (a redirect to a login)."""


class Access:
    """Decides which requests are let in. Its token does not change."""

    def __init__(self, token: str | None, auth: Auth | None) -> None:
        if token is not None and (not isinstance(token, str) or len(token) < 8):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("token is a text of 8 characters or more, hard to guess")
        if auth is not None and not callable(auth):
            raise TypeError(f"auth={auth!r} is not a function of a request")
        self._token = token
        self._auth = auth

    @property
    def asks_for_token(self) -> bool:
        """Whether there is a token that can be given."""
        return self._token is not None

    @property
    def only_local(self) -> bool:
        """Whether it answers this machine alone, because there is neither a token nor a rule."""
        return self._token is None and self._auth is None

    async def who(self, request: Request) -> str | Response | None:
        """Return the caller's name, the response that is given instead, or None: not allowed."""
        if self._token is not None and self.has_token(request):
            return "token"
        if self._auth is not None:
            found = self._auth(request)
            if inspect.isawaitable(found):
                found = await found
            if isinstance(found, Response):
                return found
            if found:
                return found if isinstance(found, str) else "authenticated"
            return None
        if self._token is None and is_local(request):
            return "local"
        return None

    def has_token(self, request: HTTPConnection) -> bool:
        """Tell whether *request* brings the token."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.accepts(given.strip())

    def accepts(self, token: str) -> bool:
        """Tell whether *token* is the right one, in a time that does not tell how wrong it is."""
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def check_origin(self, request: HTTPConnection) -> None:
        """Raise HTTPException for a request that a page of another site has made."""
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            if site != "same-origin":
                raise HTTPException(403, "Another site has sent this request.")
            return
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise HTTPException(403, "Another site has sent this request.")


def is_local(request: HTTPConnection) -> bool:
    """Tell whether a request comes from this machine, names it as its host, and not through a proxy."""
    headers = request.headers
    if any(name in headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via")):
        return False
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    client = "" if request.client is None else request.client.host
    return is_loopback(client) and is_loopback(host)


def is_loopback(host: str) -> bool:
    """Tell whether *host*, a name or an address, is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str, token: str | None, auth: Auth | None) -> None:
    """Raise ValueError for a *host* that other machines reach, if there is neither a token nor a rule."""
    if token is None and auth is None and not is_loopback(host):
        raise ValueError(
            f"host={host!r} can be reached from other machines: give token=... or auth=..., "
            "or stay with host='127.0.0.1'"
        )


class Guard:
    """The outermost part of an app: a request that is not let in reaches nothing behind it.

    The caller's name is ``scope["state"]["who"]`` behind it. *denied* makes the answer to a request that
    is not let in; *is_open* tells which need no leave; *sends* wraps what is sent, to add headers.
    """

    def __init__(
        self,
        app: Any,
        access: Access,
        denied: Callable[[Request], Response],
        *,
        is_open: Callable[[Request], bool] | None = None,
        sends: Callable[[Callable[[Any], Awaitable[None]]], Callable[[Any], Awaitable[None]]]
        | None = None,
    ) -> None:
        self._app = app
        self._access = access
        self._denied = denied
        self._is_open = is_open
        self._sends = sends

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        answer: Response | None = None
        if self._is_open is None or not self._is_open(request):
            try:
                who = await self._access.who(request)
            except HTTPException as error:
                answer = Response(error.detail, error.status_code, error.headers)
            else:
                if isinstance(who, Response):
                    answer = who
                elif who is None:
                    answer = self._denied(request)
                else:
                    scope.setdefault("state", {})["who"] = who
        sending = send if self._sends is None else self._sends(send)
        await (answer or self._app)(scope, receive, sending)


def own_path(request: HTTPConnection) -> str:
    """Return the path of a request below the prefix that the app is mounted at."""
    path: str = request.scope["path"]
    root: str = request.scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root) else path
