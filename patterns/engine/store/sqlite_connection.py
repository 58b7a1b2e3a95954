"""Connections to one SQLite file, and its errors in the store's words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager

from .errors import StoreCorrupt, StoreFull, StoreUnavailable

__all__ = ["connect", "translated", "write_ahead"]

OLDEST_SQLITE = (3, 35, 0)
"""From here on, what the statements use is there; the tests run on 3.40."""


def connect(path: str, label: str, busy_timeout_s: float) -> sqlite3.Connection:
    """Return a connection that commits only when told to, for whichever thread uses it next."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise StoreUnavailable(
            label, "opening", f"SQLite {sqlite3.sqlite_version} is too old; {wanted} is needed"
        )
    folder = os.path.dirname(os.path.abspath(path))
    if path != ":memory:" and not os.path.isdir(folder):
        raise StoreUnavailable(label, "opening", f"there is no folder {folder!r}")
    with translated(label, "opening"):
        return sqlite3.connect(
            path,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=128,
        )


def write_ahead(connection: sqlite3.Connection, patience_s: float) -> None:
    """Put the file into WAL mode, waiting up to *patience_s* for others who open it too.

    SQLite's own timeout leaves this step out: it reads first and locks then, and to wait with
    a read lock held could be a deadlock, so the first of two who open a new file wins and the
    other gets SQLITE_BUSY at once.
    """
    pause_s = waited_s = 0.0
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited_s >= patience_s:
                raise
        pause_s = min(pause_s + 0.002, 0.05)
        time.sleep(pause_s)
        waited_s += pause_s


@contextmanager
def translated(label: str, doing: str) -> Generator[None, None, None]:
    """Turn SQLite's errors into StoreErrors, with SQLite's as the cause."""
    try:
        yield
    except sqlite3.Error as error:
        # The low byte is the kind; the bytes above it say more about the same kind.
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        detail = f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
        if kind == sqlite3.SQLITE_FULL:
            raise StoreFull(label, doing, detail) from error
        if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreCorrupt(label, detail) from error
        if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            detail += "; another process kept the file locked"
        raise StoreUnavailable(label, doing, detail) from error
