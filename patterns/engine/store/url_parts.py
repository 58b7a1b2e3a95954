"""A store's URL taken apart, and shown without its secrets.

People write passwords as they are: with ``@``, ``/``, ``?`` or ``%`` in them. Both the parser and what
shows a URL take them so, and nothing here says a word of a password.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

__all__ = ["UrlParts", "split_url", "without_password"]

SECRET_OPTIONS: Final = re.compile(r"pass(word|phrase)?|secret|token|key$", re.IGNORECASE)
"""Names of options whose values are not shown."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_HOSTS: Final = r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/?#@,\[\]]*)(?::\d*)?"
_PLAIN: Final = re.compile(
    rf"(?:(?P<login>[^/?#]*)@)?(?P<hosts>{_HOSTS}(?:,{_HOSTS})*)"
    r"(?:/(?P<path>[^/?#@]*))?(?:\?(?P<query>[^#]*))?"
)
_ODD: Final = re.compile(
    rf"(?:(?P<login>.*)@)?(?P<hosts>{_HOSTS}(?:,{_HOSTS})*)"
    r"(?:/(?P<path>[^/?#@]*))?(?:\?(?P<query>[^#]*))?",
    re.DOTALL,
)
"""For a login with characters that should have been encoded."""


@dataclass(frozen=True, slots=True)
class UrlParts:
    """The parts of ``scheme://user:password@hosts/path?options``, decoded."""

    scheme: str
    user: str
    password: str | None
    hosts: tuple[tuple[str, str], ...]
    """Host and port as texts, in order; both may be empty."""
    path: str
    options: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<UrlParts {self.shown}>"

    @property
    def shown(self) -> str:
        """The URL without its secrets."""
        user = f"{self.user}@" if self.user else ""
        hosts = ",".join(
            f"{_bracketed(host)}:{port}" if port else _bracketed(host) for host, port in self.hosts
        )
        shown = [
            f"{name}={'***' if SECRET_OPTIONS.search(name) else value}"
            for name, value in self.options.items()
        ]
        path = f"/{self.path}" if self.path else ""
        return f"{self.scheme}://{user}{hosts}{path}{'?' if shown else ''}{'&'.join(shown)}"


def split_url(url: str) -> UrlParts:
    """Return the parts of *url*; raises ValueError, whose text says nothing of a password."""
    scheme, mark, rest = url.partition("://")
    found = (_PLAIN.fullmatch(rest) or _ODD.fullmatch(rest)) if mark else None
    if found is None:
        raise ValueError(
            "it does not read as scheme://user:password@host:port/database?option=value"
        )
    login, hosts, path, query = found.group("login", "hosts", "path", "query")
    user, colon, password = (login or "").partition(":")
    options = parse_qsl(query or "", keep_blank_values=True)
    counts = Counter(name for name, _ in options)
    double = next((name for name, count in counts.items() if count > 1), None)
    if double is not None:
        raise ValueError(f"the option {double!r} is given twice")
    places = tuple(_host_and_port(each) for each in hosts.split(","))
    return UrlParts(
        scheme.lower(),
        unquote(user),
        unquote(password) if colon else None,
        places,
        unquote(path or ""),
        dict(options),
    )


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = text.partition(":")
    return unquote(host), port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def without_password(url: str) -> str:
    """Return *url*, whatever it is, fit to be shown."""
    scheme, mark, rest = str(url).partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        # Not a URL at all, but perhaps a part of one.
        login, at, address = str(url).rpartition("@")
        return f"***@{address}" if at and login else str(url)
    found = _PLAIN.fullmatch(rest) or _ODD.fullmatch(rest)
    if found is None:
        login, at, address = rest.rpartition("@")
        user, colon, _ = login.partition(":")
        shown = f"{user}{':***' if colon else ''}{at}" if at else ""
        if not at:
            # What stands where a port should may be the password of a URL that was cut.
            address = re.sub(r":(?!\d+(?:[/?]|$)).*", ":***", address, count=1, flags=re.DOTALL)
        return f"{scheme}://{shown}{_without_secret_options(address)}"
    login, hosts, path, query = found.group("login", "hosts", "path", "query")
    user, colon, _ = (login or "").partition(":")
    shown = "" if login is None else f"{user}{':***' if colon else ''}@"
    shown += hosts + ("" if path is None else f"/{path}")
    return f"{scheme}://{shown}{'' if query is None else _without_secret_options('?' + query)}"


def _without_secret_options(text: str) -> str:
    def hide(match: re.Match[str]) -> str:
        name = match.group(2)
        return f"{match.group(1)}{name}=***" if SECRET_OPTIONS.search(name) else match.group()

    return re.sub(r"([?&])([^=&]*)=([^&]*)", hide, text)
