"""Which store a URL means."""

from __future__ import annotations

import difflib
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agenticaiframework.actors import MissingExtra

from .contract import Store
from .errors import StoreUrlError, without_password
from .grouped.backend import Backend, Clock
from .grouped.encoding import ValueLimits
from .grouped.store import GroupedStore
from .memory import MemoryBackend
from .sqlite.backend import SQLiteBackend

__all__ = ["check_url", "open_store", "sqlite_file"]

SCHEMES = ("sqlite", "postgresql", "memory")


def open_store(
    url: str,
    *,
    clock: Clock = time.time,
    limits: ValueLimits | None = None,
    inline: bool = False,
) -> Store:
    """Return the store that *url* names; `await store.open()` before using it.

    `sqlite:///state.db` (relative), `sqlite:////var/lib/state.db`, `sqlite:///:memory:`,
    `postgresql://user:password@host/database?schema=name`, `memory://`.
    *clock* gives seconds since the epoch, for dates and leases (PostgreSQL uses the server's).
    *inline* runs everything on the loop, without threads: for simulation. There, leases alone
    tell who is alive.

    Raises StoreUrlError, and MissingExtra when PostgreSQL's driver is not installed.
    """
    backend, threadless = _backend(url, clock, inline)
    return GroupedStore(backend, clock=clock, limits=limits, inline=threadless)


def check_url(url: str) -> None:
    """Raise StoreUrlError for what can be told of a URL without opening anything."""
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        near = difflib.get_close_matches(scheme, SCHEMES, 1)
        hint = f"; did you mean {near[0]}://?" if near else ""
        raise StoreUrlError(url, f"it does not begin with a known scheme{hint}")
    if scheme == "sqlite":
        _sqlite_path(url, rest)


def _backend(url: str, clock: Clock, inline: bool) -> tuple[Backend, bool]:
    check_url(url)
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        path = _sqlite_path(url, rest)
        if inline:
            return SQLiteBackend(path, clock=clock, owner_locks=False, log_bytes=0), True
        return SQLiteBackend(path, clock=clock), False
    if scheme == "memory":
        if rest:
            raise StoreUrlError(url, "memory:// takes nothing behind it")
        return MemoryBackend(clock=clock), True
    if inline:
        raise StoreUrlError(url, "PostgreSQL cannot run inline, without a thread")
    try:
        from .postgres.backend import PostgresBackend
    except ImportError as error:
        raise MissingExtra(f"The store {without_password(url)!r}", "postgres") from error
    return PostgresBackend(url, clock=clock), False


def sqlite_file(url: str) -> Path | None:
    """Return the file that *url* names; None for stores that are none. Raises StoreUrlError."""
    scheme, _, rest = url.partition("://")
    path = _sqlite_path(url, rest) if scheme == "sqlite" else ":memory:"
    return None if path == ":memory:" else Path(path)


def _sqlite_path(url: str, rest: str) -> str:
    if not rest.startswith("/") or rest == "/":
        raise StoreUrlError(url, "a file's path follows sqlite:///")
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise StoreUrlError(url, "SQLite's URL takes no options")
    return unquote(rest[1:])
