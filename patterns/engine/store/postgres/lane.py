"""Batches of appends, sent and acknowledged on the event loop itself.

A thread that waits for the server hands the interpreter over twice for each batch, and needs it back
each time from a loop that is busy: up to 5 ms. Here nothing is handed over. The socket is watched by
the loop, as a web server watches its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg import errors
from psycopg.pq import DiagnosticField, ExecStatus

from ..grouped.jobs import Write
from .batch import Batch
from .connection import Connection
from .session import Session

__all__ = ["PostgresLane"]

_BINARY: Final = [1] * 32
LARGEST: Final = 256 * 1024
"""Bytes in a batch that is sent from here: it goes into the socket's buffers in one or a few pieces."""


class PostgresLane:
    """The way of batches over the writing connection. Owned by the writer.

    `send`, `flush`, `receive` are called on the loop, `execute` and `settle` in the writer's thread; never
    at the same time.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._prepared: set[str] = set()
        """The statements that the connection knows."""
        self._sent: Connection | None = None

    def forget(self) -> None:
        """Take note that the connection is a new one."""
        self._prepared = set()

    # In the thread

    def execute(
        self, connection: Connection, batch: Batch, *, relaxed: bool, again: bool = False
    ) -> list[int]:
        """Write a batch; return what its statement tells. Raises psycopg's errors."""
        name = batch.name(relaxed=relaxed, again=again)
        pgconn = connection.pgconn
        if name not in self._prepared:
            statement = batch.statement(relaxed=relaxed, again=again)
            _check(pgconn.prepare(name.encode(), statement))
            self._prepared.add(name)
        parameters = batch.parameters()
        result = pgconn.exec_prepared(name.encode(), parameters, _BINARY[: len(parameters)])
        _check(result)
        told = (result.get_value(0, column) for column in range(result.nfields))
        return [int(value) for value in told if value is not None and value.isdigit()]

    def settle(self) -> bool:
        """Wait for the answer to what was sent; return whether it was carried out."""
        connection, self._sent = self._sent, None
        if connection is None:
            return False
        well = False
        pgconn = connection.pgconn
        while (result := pgconn.get_result()) is not None:
            well = result.status == ExecStatus.TUPLES_OK
        return well

    # On the loop

    def send(self, jobs: Sequence[Write]) -> int | None:
        """Send a batch; return the socket to watch, or None when the thread has to do it."""
        connection = self._session.live
        if connection is None:
            return None
        size = 0
        relaxed = True
        for job in jobs:
            lease = job.lease
            if lease.failed_generation == job.generation:
                return None
            size += job.size
            if job.full:
                relaxed = False
        if size > LARGEST:
            return None
        batch = Batch.of(job.rows for job in jobs)
        if batch is None:
            return None
        name = batch.name(relaxed=relaxed)
        if name not in self._prepared:
            return None
        parameters = batch.parameters()
        pgconn = connection.pgconn
        try:
            pgconn.send_query_prepared(name.encode(), parameters, _BINARY[: len(parameters)])
            socket = pgconn.socket
        except psycopg.Error:
            return None  # It has been cut; the thread finds out, and connects again.
        self._sent = connection
        return socket

    def flush(self) -> bool:
        """Send on; return whether all is sent."""
        connection = self._sent
        try:
            return connection is None or connection.pgconn.flush() == 0
        except psycopg.Error:
            return True  # What has happened comes out of `receive`.

    def receive(self) -> bool | None:
        """Return whether the batch was carried out; None while there is no answer."""
        connection = self._sent
        assert connection is not None, "a batch was sent"
        pgconn = connection.pgconn
        well = False
        try:
            pgconn.consume_input()
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    self._sent = None
                    return well
                well = result.status == ExecStatus.TUPLES_OK
        except psycopg.Error:
            self._sent = None
            return False
        return None


def _check(result: psycopg.pq.abc.PGresult) -> None:
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    if not state:
        raise psycopg.OperationalError(result.get_error_message())
    raise errors.error_from_result(result)
