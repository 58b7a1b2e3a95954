"""Where a PostgreSQL server is, as people write it: URLs, several hosts, sockets, service files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from psycopg import Error, pq
from psycopg.conninfo import make_conninfo

from agenticaiframework.actors import near_names

from ..errors import StoreUrlError
from ..url_parts import split_url

__all__ = ["DEFAULT_SCHEMA", "PostgresAddress"]

DEFAULT_SCHEMA: Final = "agenticai"

# A server that vanishes without a word must not hold the writer for the hours that TCP allows.
_PATIENCE: Final[Mapping[str, str]] = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "application_name": "agenticaiframework",
}

_SHOWN: Final = ("host", "service")
"""Options that say which server it is."""


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where the server is, and in which schema of the database the store lives."""

    dsn: str
    """What libpq connects with. Holds the password, so it is never shown."""
    schema: str
    label: str
    """The URL without a password."""

    def __repr__(self) -> str:
        return f"<PostgresAddress {self.label}>"

    @staticmethod
    def parse(url: str) -> PostgresAddress:
        """Return what *url* says; ``?schema=`` is ours (default ``agenticai``), the rest is libpq's.

        What the URL leaves open comes from libpq's environment (``PGHOST``, ``PGPASSWORD`` ...), its
        password file, and the service file that ``?service=`` names. Raises StoreUrlError.
        """
        try:
            parts = split_url(url)
        except ValueError as error:
            raise StoreUrlError(url, str(error)) from None
        options = dict(parts.options)
        schema = options.pop("schema", DEFAULT_SCHEMA)
        if not schema.isidentifier() or len(schema) > 63:
            raise StoreUrlError(url, f"{schema!r} is not a name for a schema")
        known = {found.keyword.decode() for found in pq.Conninfo.get_defaults()}
        for name in options:
            if name not in known:
                raise StoreUrlError(
                    url,
                    f"{name!r} is neither 'schema' nor an option of PostgreSQL's connections. "
                    + near_names(name, sorted({*known, "schema"})),
                )
        label = _label(parts.user, parts.hosts, parts.path, options, schema)
        given = {
            "user": parts.user,
            "password": parts.password,
            "dbname": parts.path,
            "host": ",".join(host for host, _ in parts.hosts),
            "port": ",".join(port for _, port in parts.hosts),
        }
        for name, value in given.items():
            if value is not None and value.strip(","):
                options.setdefault(name, value)
        try:
            dsn = make_conninfo(**{**_PATIENCE, **options})
        except (UnicodeEncodeError, Error):
            # Its own text might hold the password.
            raise StoreUrlError(url, "libpq cannot read it") from None
        return PostgresAddress(dsn, schema, label)


def _label(
    user: str,
    hosts: tuple[tuple[str, str], ...],
    database: str,
    options: Mapping[str, str],
    schema: str,
) -> str:
    places = ",".join(
        (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        for host, port in hosts
    )
    shown = {name: options[name] for name in _SHOWN if name in options} | {"schema": schema}
    query = "&".join(f"{name}={value}" for name, value in shown.items())
    return f"postgresql://{user}{'@' if user else ''}{places}{f'/{database}' if database else ''}?{query}"
