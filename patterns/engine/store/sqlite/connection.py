"""Connections to one SQLite file, and its errors in the store's words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreCorrupt, StoreFull, StoreUnavailable

__all__ = ["LOOK_AGAIN_S", "connect", "is_busy", "patiently", "translated"]

OLDEST_SQLITE = (3, 35, 0)
"""The first version with everything that the statements use; the tests run on 3.40."""
LOOK_AGAIN_S = 0.008
"""The timeout of a connection that writes: 1, 2 and 5 ms are SQLite's first waits for a lock."""


def connect(
    path: str, label: str, busy_timeout_s: float, *, new: bool = True
) -> sqlite3.Connection:
    """Return a connection that commits only when told to, for whichever thread uses it next.

    Without *new*, a file that is not there is an error.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise StoreUnavailable(
            label, "opening", f"SQLite {sqlite3.sqlite_version} is too old; {wanted} is needed"
        )
    folder = os.path.dirname(os.path.abspath(path))
    if path != ":memory:" and not os.path.isdir(folder):
        raise StoreUnavailable(label, "opening", f"there is no folder {folder!r}")
    if new and path != ":memory:":
        make_private(path)
    with translated(label, "opening"):
        return sqlite3.connect(
            path if new else f"{Path(path).absolute().as_uri()}?mode=rw",
            uri=not new,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=128,
        )


def make_private(path: str) -> None:
    """Make the file, if it is not there, for its owner alone: it holds what agents were told and said.

    SQLite gives the files beside it the same rights.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError:
        pass  # it is there, or SQLite says what is wrong with the place


def patiently(
    connection: sqlite3.Connection,
    statement: str,
    patience_s: float,
    hurry: Callable[[], bool] = bool,
) -> None:
    """Execute *statement*, which takes a lock, waiting up to *patience_s* while other connections hold it.

    SQLite's own timeout looks ever more seldom, every 100 ms in the end, and so hardly ever hits
    the moment that a busy writer lets go for between two commits: on a slow disk one engine would
    keep another out until that gives up. It also leaves `PRAGMA journal_mode` out, because to
    wait with a read lock held could be a deadlock: of two that open a new file, one gets
    SQLITE_BUSY at once. So SQLite waits for `LOOK_AGAIN_S`, and is asked again. Once *hurry* says so,
    it is given up.
    """
    begun = time.monotonic()
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() - begun >= patience_s or hurry():
                raise
        time.sleep(0.001)


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Tell whether another connection's lock was in the way."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


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
