"""A connection that comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString, TypeVar

import psycopg

from ..errors import StoreClosed, StoreNotReady
from .address import PostgresAddress
from .connection import Connection, connect, translated
from .faults import will_pass

__all__ = ["Session"]

T = TypeVar("T")

PATIENCE_S: Final = 5.0
"""How long the store itself waits for a server that is away: a restart, a failover, a full house. What
takes longer is told to the caller, which waits with its runs."""
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.5


class Session:
    """One connection to the server, made when it is needed and made again when it was cut.

    Owned by one thread at a time; `close` may be called from any other, and ends its waiting.
    """

    def __init__(
        self,
        address: PostgresAddress,
        prepare: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self._address = address
        self._prepare = prepare
        self._connection: Connection | None = None
        self._closed = threading.Event()
        self._hurrying = threading.Event()
        """Set when nothing is to be waited for any more."""
        self._failing_since: float | None = None
        """Since when nothing has worked: what queues up in an outage waits once, not one after another."""

    @property
    def live(self) -> Connection | None:
        """The connection, if there is one that has not been cut."""
        connection = self._connection
        return None if connection is None or connection.broken else connection

    def reopen(self) -> None:
        """Let it connect when it is needed, again after a `close`."""
        self._closed.clear()
        self._hurrying.clear()

    def open(self) -> None:
        """Connect, with one attempt."""
        self.reopen()
        try:
            self.connection()
        except BaseException:
            self._closed.set()
            raise

    def hurry(self) -> None:
        """Try nothing again from now on, and wait for nothing. On any thread."""
        self._hurrying.set()

    def close(self) -> None:
        """Let the connection go."""
        self._closed.set()
        self._hurrying.set()
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def connection(self) -> Connection:
        """Return the connection, a new one if the last was cut."""
        if self._closed.is_set():
            raise StoreClosed(self._address.label)
        connection = self.live
        if connection is None:
            self._drop()
            connection = connect(self._address)
            try:
                with translated(self._address.label, "opening"):
                    self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return connection

    def run(self, doing: str, work: Callable[[Connection, bool], T]) -> T:
        """Return `work(connection, again)`; call it again while what went wrong may pass.

        *again* says that an attempt before may have been carried out without our hearing of it.
        Raises StoreErrors.
        """
        pause_s = FIRST_PAUSE_S
        again = False
        while True:
            connection: Connection | None = None
            try:
                connection = self._connected()
                result = work(connection, again)
            except psycopg.Error as error:
                broken = connection is not None and connection.broken
                again = again or broken
                if error.sqlstate == "25006":
                    self._drop()
                passes = will_pass(error, connected=connection is not None and broken)
                now = time.monotonic()
                if self._failing_since is None:
                    self._failing_since = now
                if (
                    self._hurrying.is_set()
                    or not passes
                    or now + pause_s > self._failing_since + PATIENCE_S
                ):
                    with translated(self._address.label, doing if connection else "connecting"):
                        raise
            else:
                self._failing_since = None
                return result
            self._hurrying.wait(pause_s)
            if self._closed.is_set():
                raise StoreClosed(self._address.label)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _connected(self) -> Connection:
        try:
            return self.connection()
        except Exception as error:
            # In the driver's words, which say whether another try can help.
            if isinstance(error.__cause__, psycopg.Error) and not isinstance(error, StoreNotReady):
                raise error.__cause__ from None
            raise

    def rows(self, query: LiteralString, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement inside of `run`, on the connection as it is; return its rows."""
        connection = self._connection
        assert connection is not None, "run has connected"
        cursor = connection.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []
