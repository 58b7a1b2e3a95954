"""What other engines' transactions tell of: LISTEN and NOTIFY.

A notification costs a lock at commit that is one for the whole server, so appends send none. Signals
and cancellations do, once a transaction. The channel has the name of the schema; the payload is a JSON
list of run ids. One that is missed (it was sent while the connection was away) is found by asking, as
before.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import psycopg
from psycopg import sql

from ..grouped.backend import InThread
from .address import PostgresAddress
from .connection import Connection, connect

__all__ = ["PostgresEars", "notify"]

LARGEST: Final = 7_900
"""Bytes in a payload; the server takes less than 8,000."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0


def notify(connection: Connection, run_ids: Iterable[str]) -> None:
    """Have all listeners told of these runs once the transaction is committed."""
    payloads: list[str] = []
    some: list[str] = []
    size = 2
    for run_id in dict.fromkeys(run_ids):
        text = json.dumps(run_id)
        if size + len(text) + 1 > LARGEST and some:
            payloads.append(f"[{','.join(some)}]")
            some, size = [], 2
        if size + len(text) + 1 <= LARGEST:
            some.append(text)
            size += len(text) + 1
    if some:
        payloads.append(f"[{','.join(some)}]")
    connection.execute(
        "SELECT count(pg_notify(current_schema(), payload)) FROM unnest(%s::text[]) AS p (payload)",
        (payloads,),
    )


class PostgresEars:
    """A connection that listens. Owned by the loop; it is made in a thread."""

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_thread: InThread | None = None
        self._heard: Callable[[list[str]], None] | None = None
        self._connection: Connection | None = None
        self._socket = -1
        self._pause_s = FIRST_PAUSE_S

    def open(
        self,
        loop: asyncio.AbstractEventLoop,
        in_thread: InThread,
        heard: Callable[[list[str]], None],
    ) -> None:
        """Listen, and listen again whenever the connection was cut; *heard* is called on the loop."""
        self._loop, self._in_thread, self._heard = loop, in_thread, heard
        self._begin()

    def close(self) -> None:
        """Listen no more."""
        self._heard = None
        self._hang_up()

    def _begin(self) -> None:
        if self._heard is not None and self._in_thread is not None:
            self._in_thread(self._connect, self._connected)

    def _connect(self) -> Connection:
        connection = connect(self._address)
        try:
            channel = sql.Identifier(self._address.schema)
            connection.execute(sql.SQL("LISTEN {}").format(channel))
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self, connection: Connection | None, error: BaseException | None) -> None:
        loop = self._loop
        if connection is None or loop is None or self._heard is None:
            if connection is not None:
                connection.close()
            elif error is not None:
                self._again()
            return
        self._connection = connection
        self._socket = connection.fileno()
        try:
            loop.add_reader(self._socket, self._listen)
        except NotImplementedError:
            # A loop that watches no sockets: all is found out by asking.
            self._socket = -1
            self.close()
            return
        self._pause_s = FIRST_PAUSE_S
        self._listen()

    def _again(self) -> None:
        if self._loop is not None and self._heard is not None and not self._loop.is_closed():
            self._loop.call_later(self._pause_s, self._begin)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._loop is not None and self._socket >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
        self._socket = -1
        connection.close()

    def _listen(self) -> None:
        """Take what has come. On the loop."""
        connection, heard = self._connection, self._heard
        if connection is None or heard is None:
            return
        run_ids: dict[str, None] = {}
        pgconn = connection.pgconn
        try:
            pgconn.consume_input()
            while (told := pgconn.notifies()) is not None:
                run_ids |= dict.fromkeys(_read(told.extra))
        except psycopg.Error:
            self._hang_up()
            self._again()
        if run_ids:
            heard([*run_ids])


def _read(payload: bytes) -> list[str]:
    try:
        found: Any = json.loads(payload)
    except ValueError:
        return []  # Of another program that uses the channel.
    listed = cast("list[object]", found) if isinstance(found, list) else []
    return [each for each in listed if isinstance(each, str)]
