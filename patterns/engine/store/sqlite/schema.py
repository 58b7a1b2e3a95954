"""SQLite's tables, how they came to be, and the view that a batch of appends goes through."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..errors import StoreCorrupt, StoreUnavailable, StoreVersionTooNew
from ..grouped.jobs import COLUMNS, Op
from .connection import patiently

__all__ = ["APPEND_ONE", "BATCH_VIEW", "MIGRATIONS", "insert_batch", "migrate", "schema_version"]

# Keys of runs grow with time, so recent runs are neighbours: a batch dirties a few pages, however
# large the file is.
#
# The journal has no rowids: with them each append dirties a page of the index as well. The price
# is that a body of more than 1 KB gets a page of its own.
_VERSIONS = (
    "CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL)"
)

_VERSION_1 = """
CREATE TABLE owners (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    engine_id TEXT NOT NULL,
    host TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    retired INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE definitions (
    hash TEXT NOT NULL PRIMARY KEY,
    body BLOB NOT NULL
);
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    definition_hash TEXT NOT NULL,
    input BLOB,
    input_blob TEXT,
    state TEXT NOT NULL,
    durability TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    wake_at INTEGER,
    error TEXT,
    cancel_reason TEXT,
    cancel_requested_at INTEGER,
    parent TEXT,
    labels TEXT,
    owner INTEGER,
    fence INTEGER NOT NULL
);
CREATE INDEX runs_open ON runs (owner) WHERE finished_at IS NULL;
CREATE TABLE journal (
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE TABLE blobs (
    run INTEGER NOT NULL,
    digest TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, digest)
);
CREATE TABLE notices (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    payload BLOB,
    at INTEGER NOT NULL,
    consumed_by INTEGER
);
CREATE INDEX notices_of_run ON notices (run);
"""

_VERSION_2 = "ALTER TABLE runs ADD COLUMN context TEXT"

MIGRATIONS: Sequence[str] = (_VERSION_1, _VERSION_2)
"""The script that leads to version n stands at n - 1. Never edited after a release."""

_FENCED = """SELECT RAISE(ABORT, 'fenced') WHERE NOT EXISTS (
        SELECT 1 FROM main.runs WHERE run = new.run AND fence = new.fence
    )"""

# Temporary, so that they belong to the program and not to the file.
BATCH_VIEW = f"""
CREATE TEMP VIEW batch (op, run, fence, at, seq, body, extra) AS SELECT 0, 0, 0, 0, 0, 0, 0;

CREATE TEMP TRIGGER batch_create INSTEAD OF INSERT ON batch WHEN new.op = {Op.CREATE} BEGIN
    INSERT INTO runs (
        run, run_id, name, definition_hash, input, input_blob, state, durability,
        created_at, updated_at, parent, labels, owner, fence, context
    ) VALUES (
        new.run, json_extract(new.extra, '$[0]'), json_extract(new.extra, '$[1]'),
        json_extract(new.extra, '$[2]'), new.body, json_extract(new.extra, '$[8]'),
        json_extract(new.extra, '$[3]'), json_extract(new.extra, '$[4]'), new.at, new.at,
        json_extract(new.extra, '$[5]'), json_extract(new.extra, '$[6]'),
        json_extract(new.extra, '$[7]'), new.fence, json_extract(new.extra, '$[9]')
    );
END;

CREATE TEMP TRIGGER batch_append INSTEAD OF INSERT ON batch
WHEN new.op = {Op.APPEND} OR (new.op = {Op.APPEND_UPDATE} AND new.body IS NOT NULL) BEGIN
    {_FENCED};
    INSERT INTO journal VALUES (new.run, new.seq, new.fence, new.at, new.body);
END;

CREATE TEMP TRIGGER batch_update INSTEAD OF INSERT ON batch WHEN new.op = {Op.APPEND_UPDATE} BEGIN
    {_FENCED};
    UPDATE runs SET
        updated_at = new.at,
        state = coalesce(json_extract(new.extra, '$[0]'), state),
        finished_at = CASE json_extract(new.extra, '$[1]')
            WHEN 1 THEN new.at WHEN 0 THEN NULL ELSE finished_at END,
        owner = CASE json_extract(new.extra, '$[1]') WHEN 1 THEN NULL ELSE owner END,
        error = CASE WHEN json_extract(new.extra, '$[2]') IS NULL THEN error
            ELSE nullif(json_extract(new.extra, '$[2]'), '') END,
        wake_at = CASE WHEN json_extract(new.extra, '$[3]') IS NULL THEN wake_at
            ELSE nullif(json_extract(new.extra, '$[3]'), 0) END
    WHERE run = new.run;
END;

CREATE TEMP TRIGGER batch_blob INSTEAD OF INSERT ON batch WHEN new.op = {Op.BLOB} BEGIN
    {_FENCED};
    INSERT OR IGNORE INTO blobs VALUES (new.run, new.extra, new.body);
END;

CREATE TEMP TRIGGER batch_consume INSTEAD OF INSERT ON batch WHEN new.op = {Op.CONSUME} BEGIN
    {_FENCED};
    SELECT RAISE(ABORT, 'signal') WHERE NOT EXISTS (
        SELECT 1 FROM notices WHERE number = CAST(new.extra AS INTEGER) AND run = new.run
        AND kind = 'signal' AND consumed_by IS NULL
    );
    UPDATE notices SET consumed_by = new.seq WHERE number = CAST(new.extra AS INTEGER);
END;

CREATE TEMP TRIGGER batch_define INSTEAD OF INSERT ON batch WHEN new.op = {Op.DEFINE} BEGIN
    INSERT OR IGNORE INTO definitions VALUES (new.extra, new.body);
END;
"""


APPEND_ONE = """INSERT INTO journal (run, fence, at, seq, body) SELECT ?1, ?2, ?3, ?4, ?5
WHERE EXISTS (SELECT 1 FROM runs WHERE run = ?1 AND fence = ?2)"""
"""The same as the view for one row of a journal; writes nothing when the run has another owner."""


def insert_batch(rows: int) -> str:
    """Return the statement that writes *rows* rows at once; rows of NULLs are padding."""
    row = "(" + ",".join("?" * COLUMNS) + ")"
    values = ",".join([row] * rows)
    return f"INSERT INTO batch SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL"


def migrate(
    connection: sqlite3.Connection,
    label: str,
    now: int,
    migrations: Sequence[str] = MIGRATIONS,
    patience_s: float = 10.0,
) -> None:
    """Bring the schema to the newest version, in one transaction.

    Raises StoreVersionTooNew, and StoreUnavailable for a file with other tables.
    """
    newest = len(migrations)
    if schema_version(connection, label) == newest:
        return
    patiently(connection, "BEGIN IMMEDIATE", patience_s)
    try:
        # Once more: another process may have been quicker.
        version = schema_version(connection, label)
        if version > newest:
            raise StoreVersionTooNew(label, version, newest)
        if version == 0:
            connection.execute(_VERSIONS)
        for number in range(version, newest):
            for statement in migrations[number].split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute("INSERT INTO schema_versions VALUES (?, ?)", (number + 1, now))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def schema_version(connection: sqlite3.Connection, label: str) -> int:
    """Return the file's schema version, 0 for an empty file."""
    tables = {
        name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")
    }
    if not tables:
        return 0
    if "schema_versions" not in tables:
        raise StoreUnavailable(
            label, "opening", f"the file holds other tables ({', '.join(sorted(tables))})"
        )
    (version,) = connection.execute("SELECT max(version) FROM schema_versions").fetchone()
    if not isinstance(version, int) or version < 1:
        raise StoreCorrupt(label, "its schema has no version")
    return version
