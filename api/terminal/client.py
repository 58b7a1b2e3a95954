"""The way to an observer elsewhere: its JSON, asked for over HTTP, with every text made harmless."""

from __future__ import annotations

import getpass
from typing import Any, Final, cast
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import httpx

from agenticaiframework.actors import AgenticError, printable

TIMEOUT_S: Final = 10.0
"""So long is an answer waited for."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""An answer that is longer is not an observer's."""

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

Answer = dict[str, Any]


class NoObserver(AgenticError, ConnectionError):
    """There is no answer from an observer at an address. ``lasting``: asking again does not help."""

    def __init__(self, said: str, *, lasting: bool = False) -> None:
        super().__init__(said)
        self.lasting = lasting


class NotShown(AgenticError, ValueError):
    """What was asked for cannot be shown: the address is not one, or there is no terminal."""


class ObserverClient:
    """Asks one observer. Owned by the loop that it is used on; to be closed.

    *url* is what `serve_observer` has given, or where `observer_app` is mounted. *user* is who actions
    are recorded for, where the observer knows no better; the user of this machine if not given.
    Raises `NotShown` for an address that is not one.
    """

    def __init__(self, url: str, token: str | None = None, user: str | None = None) -> None:
        parts = read_url(url)
        self.url = urlunsplit(parts)
        login = parts.netloc.rpartition("@")[0]
        self.shown = printable(self.url.replace(f"{login}@", "") if login else self.url)
        """The address for people, without a login in it."""
        headers = {"accept": "application/json", "observer-user": _header(user or _this_user())}
        if token:
            headers["authorization"] = f"Bearer {_header(token)}"
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=TIMEOUT_S,
            # An observer on this machine refuses what has come through a proxy.
            trust_env=parts.hostname not in LOOPBACK,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, what: str, **params: Any) -> Answer:
        """Return what the observer tells of *what*. Raises `NoObserver`, and LookupError for what is not there."""
        asked = {name: value for name, value in params.items() if value not in (None, "")}
        path = quote(what, safe="/")
        answer = await self._ask("GET", path, params=asked)
        if answer.status_code == 404:
            said = self._problem(answer)
            if said is not None:
                raise LookupError(said)
        return self._read(answer)

    async def act(self, action: str, target: str, **fields: str) -> str:
        """Have *action* done, and return what came of it. Raises `NoObserver`, and ValueError if it was refused."""
        body = {"action": action, "target": target, **fields}
        answer = await self._ask("POST", "actions", json=body)
        if answer.status_code == 409:
            raise ValueError(self._problem(answer) or "it was refused")
        return str(self._read(answer).get("result", "done"))

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self._http.request(method, f"{self.url}/api/{path}", **more)
        except httpx.TimeoutException:
            raise NoObserver(f"no answer within {TIMEOUT_S:g} s") from None
        except httpx.HTTPError as error:
            raise NoObserver(_why(error)) from error

    def _read(self, answer: httpx.Response) -> Answer:
        code = answer.status_code
        if code in (401, 403):
            raise NoObserver(
                f"{self.shown} does not let you in: give its token with --token or "
                "OBSERVER_TOKEN, if it has one",
                lasting=True,
            )
        if 300 <= code < 400:
            raise NoObserver(f"{self.shown} leads elsewhere, perhaps to a login", lasting=True)
        if code >= 500:
            raise NoObserver(f"it answers {code}")
        found = _json(answer)
        if code != 200 or not isinstance(found, dict):
            raise NoObserver(
                f"{self.shown} is not an observer: give the address that serve_observer has "
                "printed, or where the service has it mounted, such as http://host/observer",
                lasting=True,
            )
        return cast("Answer", harmless(found))

    @staticmethod
    def _problem(answer: httpx.Response) -> str | None:
        """Return what an observer says is wrong; None if that is not an observer's answer."""
        found = _json(answer)
        if not isinstance(found, dict) or "error" not in found:
            return None
        return printable(cast("dict[str, Any]", found)["error"])


def read_url(url: str) -> SplitResult:
    """Return the address of an observer in its parts, without a ``/`` at its end.

    >>> urlunsplit(read_url("localhost:4040/"))
    'http://localhost:4040'
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # its port is not a number
        right = False
    if not right or not url.isprintable():
        raise NotShown(
            f"{printable(url)!r} is not the address of an observer: http://127.0.0.1:4040 is one"
        )
    return SplitResult(parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")


def harmless(value: Any) -> Any:
    """Return plain data with no character in its texts that commands a terminal.

    >>> harmless({"a": ["\\x1b[2J"]})
    {'a': ['\\\\u001b[2J']}
    """
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        found = cast("dict[Any, Any]", value)
        return {printable(name): harmless(one) for name, one in found.items()}
    if isinstance(value, list):
        return [harmless(one) for one in cast("list[Any]", value)]
    return value


def _json(answer: httpx.Response) -> Any:
    if len(answer.content) > MOST_BYTES:
        return None
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _header(value: str) -> str:
    """Return a text as the value of a header: what has no place there is left out."""
    return "".join(c for c in value.strip() if c.isascii() and c.isprintable())[:200]


def _this_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # nobody with that number here
        return ""


def _why(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectError):
        return "nothing listens there"
    said = printable(error)
    return said or type(error).__name__


__all__ = ["TIMEOUT_S", "NoObserver", "NotShown", "ObserverClient", "harmless", "read_url"]
