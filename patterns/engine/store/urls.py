"""Which store a URL means."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from agenticaiframework.actors import MissingExtra

from .contract import Store
from .errors import StoreUrlError
from .grouped.backend import Backend, Clock
from .grouped.encoding import ValueLimits
from .grouped.store import GroupedStore
from .memory import MemoryBackend
from .sqlite.backend import SQLiteBackend
from .url_parts import split_url, without_password

__all__ = [
    "check_store_url",
    "check_url",
    "kind_of_store",
    "open_store",
    "resolve_url",
    "sqlite_file",
]

SCHEMES: Final[Mapping[str, str]] = {
    "sqlite": "sqlite",
    "memory": "memory",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "postgresql+psycopg": "postgresql",
    "postgresql+psycopg2": "postgresql",
    "postgresql+asyncpg": "postgresql",
}
"""By what stands before ``://``: which store it is. Platforms and SQLAlchemy write PostgreSQL's so."""


def open_store(
    url: str,
    *,
    clock: Clock = time.time,
    limits: ValueLimits | None = None,
    inline: bool = False,
) -> Store:
    """Return the store that *url* names; `await store.open()` before using it.

    `sqlite:///state.db` (relative), `sqlite:////var/lib/state.db`, `sqlite:///:memory:`,
    `postgresql://user:password@host/database?schema=name` (`postgres://` is the same), `memory://`;
    `$DATABASE_URL` is the URL that this variable of the environment holds.
    *clock* gives seconds since the epoch, for dates and leases (PostgreSQL uses the server's).
    *inline* runs everything on the loop, without threads: for simulation. There, leases alone
    tell who is alive.

    Raises StoreUrlError, and MissingExtra when PostgreSQL's driver is not installed.
    """
    backend, threadless = _backend(url, clock, inline)
    return GroupedStore(backend, clock=clock, limits=limits, inline=threadless)


def resolve_url(url: str) -> str:
    """Return *url*, or what the variable of the environment holds that it names (``$DATABASE_URL``).

    Raises StoreUrlError for a variable that is not set.
    """
    if not url.startswith("$"):
        return url
    name = url[1:].strip("{}")
    found = os.environ.get(name, "").strip()
    if not found:
        raise StoreUrlError(url, f"the environment has no variable {name}")
    return found


def check_store_url(url: str) -> None:
    """Raise StoreUrlError for what can be told of a URL without opening anything, a variable resolved."""
    check_url(resolve_url(url))


def check_url(url: str) -> None:
    """Raise StoreUrlError for what can be told of a URL without opening anything."""
    scheme, rest = _split(url)
    if scheme == "sqlite":
        _sqlite_path(url, rest)
    elif scheme == "postgresql":
        try:
            from .postgres.address import PostgresAddress
        except ImportError:
            _split_postgres(url)  # its driver, which knows the options, is missed when it is opened
        else:
            PostgresAddress.parse(url)
    elif rest:
        raise StoreUrlError(url, "memory:// takes nothing behind it")


def _split_postgres(url: str) -> None:
    try:
        split_url(url)
    except ValueError as error:
        raise StoreUrlError(url, str(error)) from None


def _split(url: str) -> tuple[str, str]:
    """Return which store *url* means, and what follows its scheme."""
    before, mark, rest = url.partition("://")
    scheme = SCHEMES.get(before.lower()) if mark else None
    if scheme is None:
        near = difflib.get_close_matches(before.lower(), SCHEMES, 1) if mark else ()
        hint = f"; did you mean {near[0]}://?" if near else ""
        raise StoreUrlError(url, f"it does not begin with a known scheme{hint}")
    return scheme, rest


def _backend(url: str, clock: Clock, inline: bool) -> tuple[Backend, bool]:
    url = resolve_url(url)
    check_url(url)
    scheme, rest = _split(url)
    if scheme == "sqlite":
        path = _sqlite_path(url, rest)
        if inline:
            return SQLiteBackend(path, clock=clock, owner_locks=False, log_bytes=0), True
        return SQLiteBackend(path, clock=clock), False
    if scheme == "memory":
        return MemoryBackend(clock=clock), True
    if inline:
        raise StoreUrlError(url, "PostgreSQL cannot run inline, without a thread")
    try:
        from .postgres.backend import PostgresBackend
    except ImportError as error:
        raise MissingExtra(f"The store {without_password(url)!r}", "postgres") from error
    return PostgresBackend(url, clock=clock), False


def kind_of_store(url: str) -> str:
    """Return ``sqlite``, ``postgresql`` or ``memory``. Raises StoreUrlError."""
    return _split(url)[0]


def sqlite_file(url: str) -> Path | None:
    """Return the file that *url* names; None for stores that are none. Raises StoreUrlError."""
    url = resolve_url(url)
    scheme, rest = _split(url)
    path = _sqlite_path(url, rest) if scheme == "sqlite" else ":memory:"
    return None if path == ":memory:" else Path(path)


def _sqlite_path(url: str, rest: str) -> str:
    if not rest.startswith("/") or rest == "/":
        raise StoreUrlError(url, "a file's path follows sqlite:///")
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise StoreUrlError(url, "SQLite's URL takes no options")
    path = unquote(rest[1:])
    if "\0" in path:
        raise StoreUrlError(url.replace("\0", "?"), "a file's path holds no NUL character")
    return path
