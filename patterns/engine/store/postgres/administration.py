"""A PostgreSQL store as its owner sees it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import LiteralString, cast

from ..info import EngineInfo, StoreInfo
from .address import PostgresAddress
from .connection import Connection, connect, translated
from .setup import NEWEST, find_problems, grants, migrate, schema_sql, schema_version

__all__ = ["PostgresAdministration"]

_ENGINES: LiteralString = """
SELECT o.engine_id, NOT o.retired AND o.expires_at > (extract(epoch FROM clock_timestamp()) * 1e6)::bigint,
    o.seen_at, (SELECT count(*) FROM runs AS r WHERE r.owner = o.number AND r.finished_at IS NULL)
FROM owners AS o ORDER BY o.number
"""

_SIZE: LiteralString = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint,
    coalesce(max(c.reltuples) FILTER (WHERE c.relname = 'journal'), 0)::bigint
FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
"""


class PostgresAdministration:
    """The store in one schema of a database."""

    def __init__(self, url: str) -> None:
        self._address = PostgresAddress.parse(url)
        self.label = self._address.label

    def absence(self) -> str | None:
        """Return why there is nothing to look into."""
        return "; ".join(self.check()) or None

    def sql(self, role: str | None = None) -> str:
        """Return the SQL that sets the store up from nothing, with the grants for *role*."""
        schema = self._address.schema
        rights = f"\n{grants(schema, role)}" if role is not None else ""
        return schema_sql(schema) + rights

    def migrate(self) -> tuple[int, int]:
        """Make the schema, or bring it up to date."""
        with self._connected("migrating") as connection:
            before = migrate(connection, self.label, self._address.schema)
            return before, schema_version(connection, self.label)

    def check(self) -> list[str]:
        """Return what keeps engines with these rights from working with it."""
        with self._connected("checking") as connection:
            version = schema_version(connection, self.label)
            if version == 0:
                return [f"there is no schema {self._address.schema!r} that this role may use"]
            problems = find_problems(connection)
            if version < NEWEST:
                problems.insert(0, f"its schema has version {version}, this program makes {NEWEST}")
            return problems

    def info(self) -> StoreInfo:
        """Count what is in it."""
        with self._connected("reading") as connection:
            version = schema_version(connection, self.label)
            if version < NEWEST:
                return StoreInfo(self.label, version, NEWEST)
            states = connection.execute(
                "SELECT state, count(*) FROM runs GROUP BY state ORDER BY state"
            )
            runs = {cast("str", state): cast("int", count) for state, count in states.fetchall()}
            engines = tuple(
                EngineInfo(
                    cast("str", engine_id),
                    bool(alive),
                    None if seen_at is None else cast("int", seen_at) / 1e6,
                    cast("int", held),
                )
                for engine_id, alive, seen_at, held in connection.execute(_ENGINES).fetchall()
            )
            size, records = connection.execute(_SIZE).fetchone() or (0, 0)
            return StoreInfo(
                *(self.label, version, NEWEST, runs),
                *(max(0, cast("int", records)), cast("int", size), engines),
            )

    @contextmanager
    def _connected(self, doing: str) -> Generator[Connection, None, None]:
        connection = connect(self._address)
        try:
            with translated(self.label, doing):
                yield connection
        finally:
            connection.close()
