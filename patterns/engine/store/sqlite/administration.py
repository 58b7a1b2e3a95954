"""An SQLite store as its owner sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from ..errors import StoreNotReady
from ..grouped.backend import Clock
from ..info import EngineInfo, StoreInfo
from .connection import connect, translated
from .liveness import OwnerLocks, host_identity
from .schema import MIGRATIONS, VERSIONS, migrate, schema_version

__all__ = ["SQLiteAdministration"]

_PATIENCE_S = 10.0


class SQLiteAdministration:
    """The store in one file."""

    def __init__(self, file: Path, label: str, clock: Clock) -> None:
        self._file = file
        self.label = label
        self._clock = clock

    def absence(self) -> str | None:
        """Return why there is nothing to look into."""
        return None if self._file.exists() else f"the file {str(self._file)!r} does not exist"

    def sql(self, role: str | None = None) -> str:
        """Return the SQL that sets the store up from nothing; SQLite knows no roles."""
        parts = [f"{VERSIONS};"]
        for number, script in enumerate(MIGRATIONS, 1):
            parts.append(f"{script.strip().rstrip(';')};")
            parts.append(f"INSERT INTO schema_versions VALUES ({number}, unixepoch() * 1000000);")
        return "BEGIN;\n\n" + "\n\n".join(parts) + "\n\nCOMMIT;\n"

    def migrate(self) -> tuple[int, int]:
        """Make the schema, or bring it up to date."""
        connection = connect(str(self._file), self.label, _PATIENCE_S)
        with closing(connection), translated(self.label, "migrating"):
            before = schema_version(connection, self.label)
            migrate(connection, self.label, int(self._clock() * 1e6), patience_s=_PATIENCE_S)
            return before, schema_version(connection, self.label)

    def check(self) -> list[str]:
        """Return what keeps engines from working with it."""
        with self._reading() as connection:
            version = schema_version(connection, self.label)
            problems: list[str] = []
            if version != len(MIGRATIONS):
                problems.append(
                    f"its schema has version {version}, this program makes {len(MIGRATIONS)}"
                )
            damage = [text for (text,) in connection.execute("PRAGMA quick_check(5)")]
            return problems + [f"it is damaged: {text}" for text in damage if text != "ok"]

    def info(self) -> StoreInfo:
        """Count what is in it."""
        with self._reading() as connection:
            version = schema_version(connection, self.label)
            if version < len(MIGRATIONS):
                return StoreInfo(self.label, version, len(MIGRATIONS))
            runs = dict(
                connection.execute("SELECT state, count(*) FROM runs GROUP BY state ORDER BY state")
            )
            (records,) = connection.execute("SELECT count(*) FROM journal").fetchone()
            size = sum(
                path.stat().st_size
                for suffix in ("", "-wal")
                if (path := Path(f"{self._file}{suffix}")).exists()
            )
            engines = self._engines(connection)
            return StoreInfo(self.label, version, len(MIGRATIONS), runs, records, size, engines)

    def _engines(self, connection: sqlite3.Connection) -> tuple[EngineInfo, ...]:
        rows = connection.execute(
            "SELECT o.number, o.engine_id, o.host, o.expires_at, o.retired, o.seen_at, "
            "(SELECT count(*) FROM runs AS r WHERE r.owner = o.number AND r.finished_at IS NULL) "
            "FROM owners AS o ORDER BY o.number"
        )
        locks, here, now = OwnerLocks(str(self._file)), host_identity(), self._clock() * 1e6
        try:
            return tuple(
                EngineInfo(
                    engine_id,
                    not retired
                    and expires_at > now
                    and not (host == here and locks.is_free(number)),
                    None if seen_at is None else seen_at / 1e6,
                    held,
                )
                for number, engine_id, host, expires_at, retired, seen_at, held in rows
            )
        finally:
            locks.close()

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection, None, None]:
        absence = self.absence()
        if absence is not None:
            raise StoreNotReady(self.label, [absence])
        connection = connect(str(self._file), self.label, _PATIENCE_S, new=False)
        with closing(connection), translated(self.label, "reading"):
            connection.execute("PRAGMA query_only = ON")
            yield connection
