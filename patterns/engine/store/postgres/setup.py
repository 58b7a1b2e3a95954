"""Making a schema ready for the store, and finding out whether it is ready for this program and role.

A role that may create makes and migrates the schema when the store is opened. One that may only read
and write finds a schema that its owner has made (`agenticaiframework store migrate`, or the SQL of
`schema_sql`), and is told at the opening what it lacks: nothing is left for a run to find out.
"""

from __future__ import annotations

from typing import Any, Final, LiteralString, cast

from psycopg import errors, sql

from ..errors import StoreCorrupt, StoreInUse, StoreNotReady, StoreVersionTooNew
from .connection import Connection
from .schema import BESIDE, MIGRATIONS, VERSIONS

__all__ = [
    "NEWEST",
    "find_problems",
    "grants",
    "migrate",
    "prepare",
    "schema_sql",
    "schema_version",
]

NEWEST: Final = len(MIGRATIONS)

MIGRATION_LOCK: Final = 7_040_196_301
"""Any number that no other program takes: one process migrates, the others wait."""

_TABLES: Final = (
    *("runs", "journal", "blobs", "notices", "owners", "definitions"),
    *("labels", "watches", "sessions", "session_turns", "schedules", "queue_starts"),
)
_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")


def prepare(connection: Connection, label: str, schema: str) -> None:
    """Make the schema ready, or raise what keeps this program from working with it.

    StoreNotReady for what its owner has to do, StoreInUse while engines of an older version hold it,
    StoreVersionTooNew.
    """
    (usable,) = _row(
        connection,
        "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = %s",
        schema,
    ) or (True,)
    if not usable:
        raise StoreNotReady(label, [f"this role may not use the schema {schema!r}"])
    version = schema_version(connection, label)
    if version >= NEWEST:
        _refuse_newer(connection, label, version)
    else:
        try:
            migrate(connection, label, schema)
        except errors.InsufficientPrivilege as error:
            wanted = f"version {NEWEST} of the schema is needed"
            found = f"it has version {version}" if version else "it is not set up"
            raise StoreNotReady(
                label, [f"{found}, {wanted}, and this role may not make it"]
            ) from error
    problems = find_problems(connection)
    if problems:
        raise StoreNotReady(label, problems)


def migrate(connection: Connection, label: str, schema: str) -> int:
    """Bring the schema to the newest version, in one transaction; return the version it had.

    Raises StoreVersionTooNew, StoreInUse.
    """
    # Locked before the transaction begins: what the process before us made would not be seen in
    # one that is under way.
    connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
    try:
        with connection.transaction():
            version = schema_version(connection, label)
            _refuse_newer(connection, label, version)
            if version == 0:
                if not _has_schema(connection, schema):
                    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
                connection.execute(VERSIONS)
            elif version < NEWEST:
                _refuse_while_in_use(connection, label, version)
            for number in range(version, NEWEST):
                connection.execute(MIGRATIONS[number])
                connection.execute("INSERT INTO schema_versions VALUES (%s)", (number + 1,))
            if version < NEWEST:
                connection.execute(
                    "UPDATE schema_versions SET beside = %s WHERE version = %s", (BESIDE, NEWEST)
                )
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))
    return version


def schema_version(connection: Connection, label: str) -> int:
    """Return the schema's version, 0 when there is none."""
    if _row(connection, "SELECT to_regclass('schema_versions')")[0] is None:
        return 0
    try:
        (version,) = _row(connection, "SELECT max(version) FROM schema_versions")
    except errors.InsufficientPrivilege as error:
        raise StoreNotReady(label, ["this role may not SELECT from schema_versions"]) from error
    if not isinstance(version, int):
        raise StoreCorrupt(label, "its schema has no version")
    return version


def find_problems(connection: Connection) -> list[str]:
    """Return what the connection's role lacks to run workflows, a sentence each."""
    wanted = [(table, right) for table in _TABLES for right in _RIGHTS]
    found = connection.execute(
        "SELECT t, r FROM unnest(%s::text[], %s::text[]) AS w (t, r) "
        "WHERE NOT coalesce(has_table_privilege(to_regclass(t), r), false)",
        ([table for table, _ in wanted], [right for _, right in wanted]),
    ).fetchall()
    lacking: dict[Any, list[str]] = {}
    for table, right in found:
        lacking.setdefault(table, []).append(cast("str", right))
    return [
        f"this role may not {', '.join(rights)} in {table}" for table, rights in lacking.items()
    ]


def schema_sql(schema: str) -> str:
    """Return what makes a schema from nothing, as SQL for its owner to run."""
    name = _quoted(schema)
    parts = [
        f"CREATE SCHEMA IF NOT EXISTS {name};",
        f"SET search_path TO {name};",
        f"{VERSIONS.strip()};",
    ]
    for number, script in enumerate(MIGRATIONS, 1):
        parts.append(f"{script.strip().rstrip(';')};")
        parts.append(f"INSERT INTO schema_versions VALUES ({number});")
    parts.append(f"UPDATE schema_versions SET beside = {BESIDE} WHERE version = {NEWEST};")
    return "BEGIN;\n\n" + "\n\n".join(parts) + "\n\nCOMMIT;\n"


def grants(schema: str, role: str) -> str:
    """Return the rights that engines need, as SQL for the schema's owner to run."""
    name, to = _quoted(schema), _quoted(role)
    return (
        f"GRANT USAGE ON SCHEMA {name} TO {to};\n"
        f"GRANT SELECT ON {name}.schema_versions TO {to};\n"
        f"GRANT {', '.join(_RIGHTS)} ON {', '.join(f'{name}.{table}' for table in _TABLES)} TO {to};\n"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _has_schema(connection: Connection, schema: str) -> bool:
    return bool(_row(connection, "SELECT 1 FROM pg_namespace WHERE nspname = %s", schema))


def _refuse_newer(connection: Connection, label: str, version: int) -> None:
    """Raise StoreVersionTooNew for a schema that programs of this version may not work with."""
    if version <= NEWEST:
        return
    (beside,) = _row(connection, "SELECT beside FROM schema_versions WHERE version = %s", version)
    if not isinstance(beside, int) or beside > NEWEST:
        raise StoreVersionTooNew(label, version, NEWEST)


def _refuse_while_in_use(connection: Connection, label: str, version: int) -> None:
    """Raise StoreInUse while engines live that could not work with the new version."""
    # Before version 3 engines did not say which version they know: it is an older one.
    known: LiteralString = "coalesce(version, 0)" if version >= 3 else "0"
    query: LiteralString = (
        f"SELECT engine_id FROM owners WHERE NOT retired AND {known} < %s "
        "AND expires_at > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint "
        "ORDER BY engine_id LIMIT 10"
    )
    found = connection.execute(query, (BESIDE,)).fetchall()
    if found:
        raise StoreInUse(label, [cast("str", engine_id) for (engine_id,) in found], version, NEWEST)


def _row(connection: Connection, query: LiteralString, *parameters: Any) -> tuple[Any, ...]:
    """Return the first row, or an empty one."""
    return connection.execute(query, parameters).fetchone() or ()
