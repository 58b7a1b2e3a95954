"""Connections to PostgreSQL, and its errors in the store's words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from ..errors import StoreNotReady
from .address import PostgresAddress
from .faults import store_error

__all__ = ["Connection", "connect", "refuse_pooling", "translated"]

Connection = psycopg.Connection[tuple[object, ...]]


def connect(address: PostgresAddress) -> Connection:
    """Return a connection in autocommit mode."""
    with translated(address.label, "connecting"):
        connection = psycopg.connect(address.dsn, autocommit=True, prepare_threshold=3)
        try:
            schema = sql.Identifier(address.schema)
            connection.execute(sql.SQL("SET search_path TO {}").format(schema))
            # Another engine's claim, or a migration, takes milliseconds.
            connection.execute("SET lock_timeout TO '10s'")
        except BaseException:
            connection.close()
            raise
    return connection


def refuse_pooling(address: PostgresAddress, connection: Connection) -> None:
    """Raise StoreNotReady if *connection* goes through a proxy that pools transactions.

    Such a proxy gives each transaction whatever server process is free, so that nothing lasts from one
    to the next: no search path, no lock, no prepared statement, no LISTEN.
    """
    second = connect(address)
    try:
        with translated(address.label, "opening"):
            pids = {
                each.execute("SELECT pg_backend_pid()").fetchone() for each in (connection, second)
            }
    finally:
        second.close()
    if len(pids) == 1:
        raise StoreNotReady(
            address.label,
            [
                "two connections are one server process: a proxy that pools transactions stands between"
            ],
            "Give the server's own address, or the proxy's with session pooling",
        )


@contextmanager
def translated(label: str, doing: str) -> Generator[None, None, None]:
    """Turn PostgreSQL's errors into StoreErrors, with PostgreSQL's as the cause."""
    try:
        yield
    except psycopg.Error as error:
        raise store_error(error, label, doing) from error
