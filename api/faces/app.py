"""`FaceApp`: what all protocols have in common as ASGI apps: access, limits, and their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import strict_json

from ..access import Access, Auth, Guard
from .calls import Calls, FaceLimits
from .failures import Failure, FailureKind
from .served import Served

_LARGE_BODY: Final = 64 * 1024
"""Bytes of a body that is looked at in a thread, so that other calls go on meanwhile."""


def _check_json(body: bytes) -> None:
    """Refuse JSON that says two things at once, or that could not be said again.

    That is a key that stands twice in one object, NaN, and an escape that is half of a surrogate pair: an
    answer that repeats it, as those of JSON-RPC repeat ids, could not be sent. What is not JSON is for the
    protocol to say.
    """
    try:
        value = strict_json(body)
        if b"\\ud" in body.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise HTTPException(400, "The body holds half of a surrogate pair.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        pass
    except ValueError as error:
        raise HTTPException(400, f"The body is not JSON as it is meant: {error}.") from None


class FaceApp:
    """An ASGI app that answers one protocol, to be mounted in a service or served alone.

    It works in the actor system that runs on its server's loop, and ends with that. `drain` has it take no
    more calls before; so it can be given to `drain_on_signal` beside an engine.
    """

    def __init__(
        self,
        served: Mapping[str, Served],
        face: str,
        *,
        token: str | None,
        auth: Auth | None,
        limits: FaceLimits | None,
    ) -> None:
        self.served = served
        """What is served, by name."""
        self.limits = limits or FaceLimits()
        self._face = face
        self._access = Access(token, auth)
        self._guard = Guard(self._within_limits, self._access, self._denied, is_open=self.is_open)
        self._calls: Calls | None = None
        self._system: ActorSystem | None = None
        self._ready = asyncio.Event()

    # -- what a protocol is --------------------------------------------------------------------------

    async def answer(self, request: Request, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that has been let in, and whose body has been read."""
        raise NotImplementedError

    def error_body(self, status: int, said: str) -> Mapping[str, Any]:
        """Return the body of an HTTP error in the protocol's words."""
        raise NotImplementedError

    def is_open(self, request: Request) -> bool:
        """Tell whether *request* needs no leave: none does not, unless a protocol says so."""
        return False

    async def opened(self, system: ActorSystem) -> None:
        """Make what the protocol needs in *system*; before its first call there."""

    async def closed(self) -> None:
        """Undo that."""

    def ending(self) -> None:
        """End streams that wait for no call: the server is about to stop."""

    # -- what all have ---------------------------------------------------------------------------------

    @property
    def calls(self) -> Calls:
        """The calls in the system that runs here."""
        assert self._calls is not None, "it is made before the first request is answered"
        return self._calls

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        await self._guard(scope, receive, send)

    async def drain(self, deadline_s: float = 20.0) -> None:
        """Take no more calls, let those under way finish within *deadline_s* seconds, and end streams."""
        if self._calls is not None:
            await self._calls.drain(deadline_s)
            self.ending()

    async def close(self) -> None:
        """End all calls and streams. It can be used again, in another system."""
        calls, self._calls, self._system = self._calls, None, None
        if calls is not None:
            await self._end(calls)

    async def _end(self, calls: Calls) -> None:
        await calls.close()
        self.ending()
        await self.closed()

    async def _open(self) -> None:
        system = ActorSystem.current()
        if self._system is not system:
            before = self._calls
            self._system, self._calls = system, Calls(self.limits, self._face)
            self._ready = asyncio.Event()
            system.at_stop(lambda: self._close_with(system))
            if before is not None:
                await self._end(before)  # its system has ended with another loop, or without a word
            await self.opened(system)
            self._ready.set()
        # Requests that come meanwhile find the protocol's own things made.
        await self._ready.wait()

    async def _close_with(self, system: ActorSystem) -> None:
        if self._system is system:
            await self.close()

    async def _within_limits(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            if not self.is_open(request):
                if "authorization" not in request.headers:
                    # What a browser sends by itself must not be of use to another site's page.
                    self._access.check_origin(request)
                await self._open()
            if request.method == "POST":
                receive = await self._read(request, receive)
        except HTTPException as error:
            await self._error(error.status_code, error.detail)(scope, receive, send)
            return
        await self.answer(Request(scope, receive), scope, receive, send)

    async def _read(self, request: Request, receive: Any) -> Callable[[], Awaitable[Any]]:
        """Read the body, within the limits, and return a `receive` that begins with it."""
        limit = self.limits.max_body_bytes
        said = request.headers.get("content-length", "0")
        parts: list[bytes] = []
        size = int(said) if said.isdigit() else 0
        if size <= limit:
            size = 0
            try:
                async with asyncio.timeout(self.limits.body_timeout_s):
                    more = True
                    while more and size <= limit:
                        message = await receive()
                        if message["type"] != "http.request":
                            raise HTTPException(400, "The body has not arrived.")
                        part: bytes = message.get("body", b"")
                        size += len(part)
                        parts.append(part)
                        more = bool(message.get("more_body"))
            except TimeoutError:
                raise HTTPException(408, "The body took too long to arrive.") from None
        if size > limit:
            raise HTTPException(413, f"The body is larger than {limit:,} bytes.")
        whole = b"".join(parts)
        if len(whole) < _LARGE_BODY:
            _check_json(whole)
        else:
            await asyncio.to_thread(_check_json, whole)
        body = {"type": "http.request", "body": whole, "more_body": False}
        given = False

        async def replay() -> Any:
            nonlocal given
            if not given:
                given = True
                return body
            return await receive()

        return replay

    def _denied(self, request: Request) -> Response:
        if self._access.only_local:
            said = (
                "This machine alone is answered, under its own name. For others the service gives a "
                "token=... or auth=... to the app."
            )
            return self._error(403, said)
        said = "The caller is not known here: send Authorization: Bearer with the right token."
        return self._error(401, said, {"www-authenticate": "Bearer"})

    def _error(self, status: int, said: str, headers: Mapping[str, str] | None = None) -> Response:
        return JSONResponse(
            self.error_body(status, said),
            status,
            headers={"cache-control": "no-store", **(headers or {})},
        )

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


HTTP_STATUS: Mapping[FailureKind, int] = {
    FailureKind.BAD_INPUT: 400,
    FailureKind.NOT_FOUND: 404,
    FailureKind.BUSY: 429,
    FailureKind.UNAVAILABLE: 503,
    FailureKind.TIMED_OUT: 504,
    FailureKind.CANCELLED: 409,
    FailureKind.FAILED: 502,
}
"""The status by which a failure is told where a protocol tells failures by HTTP."""


def retry_headers(failure: Failure) -> dict[str, str]:
    """Return the headers that say when to ask again."""
    if failure.retry_after_s is None:
        return {}
    return {"retry-after": str(max(1, round(failure.retry_after_s)))}


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object that is the body of *request*; raises HTTPException."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "The body has to be application/json.")
    try:
        found: Any = json.loads(await request.body())
    except ValueError as error:
        raise HTTPException(400, f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise HTTPException(400, "The body is nested too deep.") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "The body is not a JSON object.")
    return cast("dict[str, Any]", found)


def caller_of(request: Request) -> str:
    """Return the caller's name, which the guard has found out."""
    who: str = request.scope["state"]["who"]
    return who
