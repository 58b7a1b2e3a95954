"""Connections to PostgreSQL, and its errors in the store's words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import errors, sql

from ..errors import StoreCorrupt, StoreFull, StoreUnavailable, StoreUrlError

__all__ = ["Connection", "PostgresAddress", "connect", "translated"]

Connection = psycopg.Connection[tuple[object, ...]]

# A server that vanishes without a word must not hold the writer for the hours that TCP allows.
_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "application_name": "agenticaiframework",
}


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where the server is, and in which schema of the database the store lives."""

    dsn: str
    schema: str
    label: str
    """The URL without a password."""

    @staticmethod
    def parse(url: str) -> PostgresAddress:
        """Return what *url* says; `?schema=` is ours (default `agenticai`), the rest is libpq's.

        Raises StoreUrlError.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise StoreUrlError(url, str(error)) from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        schema = options.pop("schema", "agenticai")
        host = parts.hostname or ""
        label = f"postgresql://{parts.username + '@' if parts.username else ''}{host}"
        label += f"{f':{port}' if port else ''}{parts.path}?schema={schema}"
        if not schema.isidentifier() or len(schema) > 63:
            raise StoreUrlError(label, f"{schema!r} is not a name for a schema")
        for name, value in _PATIENCE.items():
            options.setdefault(name, value)
        query = urlencode(options, quote_via=quote)
        dsn = urlunsplit(("postgresql", parts.netloc, parts.path, query, ""))
        return PostgresAddress(dsn, schema, label)


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


@contextmanager
def translated(label: str, doing: str) -> Generator[None, None, None]:
    """Turn PostgreSQL's errors into StoreErrors, with PostgreSQL's as the cause."""
    try:
        yield
    except (errors.DiskFull, errors.OutOfMemory) as error:
        raise StoreFull(label, doing, str(error).strip()) from error
    except (errors.DataCorrupted, errors.IndexCorrupted) as error:
        raise StoreCorrupt(label, str(error).strip()) from error
    except psycopg.Error as error:
        detail = str(error).strip() or type(error).__name__
        raise StoreUnavailable(label, doing, detail) from error
