"""What the observer adds to access for browsers: a token that is entered once, forms, and headers."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from agenticaiframework.actors import printable

from ..access import Access, Auth, own_path

SESSION_COOKIE: Final = "observer_session"
FORM_COOKIE: Final = "observer_form"

UNNAMED: Final = ("token", "local")
"""The names of callers that give none: what let them in."""

HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class BrowserAccess(Access):
    """Decides which requests are let in, and whether a form was sent by its page. Its secrets are the process's."""

    def __init__(self, token: str | None, auth: Auth | None) -> None:
        super().__init__(token, auth)
        self._secret = secrets.token_bytes(32)

    async def who(self, request: Request) -> str | Response | None:
        """Return the caller's name, as `Access.who` does. Where the token or the machine let it in, the name that
        its program gives stands before that, for the record: nothing vouches for it.
        """
        who = await super().who(request)
        name = printable(request.headers.get("observer-user", ""))[:60].strip()
        return f"{name} ({who})" if name and who in UNNAMED else who

    # -- the token -----------------------------------------------------------------------------------

    def has_token(self, request: HTTPConnection) -> bool:
        """Tell whether *request* brings the token, or the cookie that is set when the token is entered."""
        if super().has_token(request):
            return True
        cookie = request.cookies.get(SESSION_COOKIE, "")
        return hmac.compare_digest(cookie.encode(), self.session().encode())

    def session(self) -> str:
        """Return the value of the cookie that is set when the token is entered."""
        return self._signed("session", self._token or "")

    # -- forms ---------------------------------------------------------------------------------------

    def form_token(self, request: Request) -> tuple[str, str]:
        """Return the value of the form's cookie, made if there is none, and the token that goes with it."""
        cookie = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
        return cookie, self._signed("form", cookie)

    def check_form(self, request: Request, given: str) -> None:
        """Raise HTTPException unless the form came from a page of this observer, in this browser."""
        self.check_origin(request)
        cookie = request.cookies.get(FORM_COOKIE, "")
        wanted = self._signed("form", cookie)
        if not cookie or not hmac.compare_digest(given.encode(), wanted.encode()):
            raise HTTPException(403, "The form has expired. Open it again, and repeat it.")

    def _signed(self, what: str, value: str) -> str:
        return hmac.new(self._secret, f"{what}:{value}".encode(), hashlib.sha256).hexdigest()


def is_open(request: Request) -> bool:
    """Tell whether *request* needs no leave: for the style, the scripts, the form that takes a token."""
    path = own_path(request)
    return path.startswith("/static/") or path == "/login"


def with_headers(send: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """Return *send*, with what browsers are told in each answer."""

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ())]
            given = {name.lower() for name, _ in headers}
            headers += [one for one in HEADERS if one[0] not in given]
            if b"cache-control" not in given:
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return sending
