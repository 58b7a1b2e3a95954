"""SQLite's tables, how they came to be, and the view that a batch of appends goes through."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..errors import StoreCorrupt, StoreUnavailable, StoreVersionTooNew
from ..grouped.jobs import COLUMNS, Op
from .connection import patiently

__all__ = [
    "APPEND_ONE",
    "BATCH_VIEW",
    "MIGRATIONS",
    "VERSIONS",
    "insert_batch",
    "migrate",
    "schema_version",
]

# Keys of runs grow with time, so recent runs are neighbours: a batch dirties a few pages, however
# large the file is.
#
# An index holds the rowid, which is the key of the run, behind its own columns: so the runs of a state
# come out in the order of their creation, without being sorted.
#
# The journal has no rowids: with them each append dirties a page of the index as well. The price
# is that a body of more than 1 KB gets a page of its own.
VERSIONS = "CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL)"

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

_VERSION_3 = """
ALTER TABLE runs ADD COLUMN root TEXT;
ALTER TABLE runs ADD COLUMN cancel_options TEXT;
ALTER TABLE owners ADD COLUMN seen_at INTEGER;
CREATE INDEX notices_pending ON notices (run) WHERE consumed_by IS NULL;
CREATE INDEX runs_by_state ON runs (state);
CREATE INDEX runs_by_name ON runs (name, state);
CREATE INDEX runs_by_parent ON runs (parent) WHERE parent IS NOT NULL;
CREATE INDEX runs_by_root ON runs (root) WHERE root IS NOT NULL;
CREATE INDEX runs_finished ON runs (finished_at, run, parent, state) WHERE finished_at IS NOT NULL;
CREATE TABLE run_labels (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (name, value, run)
) WITHOUT ROWID;
INSERT INTO run_labels
    SELECT l.key, l.value, r.run FROM runs AS r, json_each(r.labels) AS l WHERE r.labels IS NOT NULL
"""

_VERSION_4 = """
CREATE TABLE sessions (
    session INTEGER PRIMARY KEY AUTOINCREMENT,
    agent TEXT NOT NULL,
    name TEXT NOT NULL,
    last INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,
    UNIQUE (agent, name)
);
CREATE INDEX sessions_by_use ON sessions (updated_at);
CREATE INDEX sessions_expiring ON sessions (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE session_turns (
    session INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    body BLOB NOT NULL,
    key TEXT,
    PRIMARY KEY (session, turn)
) WITHOUT ROWID;
CREATE UNIQUE INDEX turns_by_key ON session_turns (session, key) WHERE key IS NOT NULL
"""

_VERSION_5 = """
CREATE TABLE schedules (
    name TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    due_at INTEGER,
    body BLOB NOT NULL
);
CREATE INDEX schedules_due ON schedules (due_at) WHERE due_at IS NOT NULL
"""

# What waits in a queue has no owner, and is not looked for among the runs that engines have left.
_VERSION_6 = """
ALTER TABLE runs ADD COLUMN queue TEXT;
ALTER TABLE runs ADD COLUMN queue_key TEXT;
ALTER TABLE runs ADD COLUMN priority INTEGER;
ALTER TABLE owners ADD COLUMN queues TEXT;
DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (owner, queue) WHERE finished_at IS NULL;
CREATE INDEX runs_by_queue ON runs (queue) WHERE queue IS NOT NULL;
CREATE INDEX runs_queued ON runs (queue, priority DESC, run, queue_key) WHERE queue IS NOT NULL
    AND owner IS NULL AND finished_at IS NULL AND state <> 'blocked';
CREATE INDEX runs_queued_keys ON runs (queue, queue_key, priority DESC, run) WHERE queue IS NOT NULL
    AND owner IS NULL AND finished_at IS NULL AND state <> 'blocked';
CREATE INDEX runs_taken ON runs (queue, owner, queue_key) WHERE queue IS NOT NULL
    AND owner IS NOT NULL AND finished_at IS NULL;
CREATE TABLE queue_starts (
    queue TEXT NOT NULL,
    at INTEGER NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (queue, at, run)
) WITHOUT ROWID
"""

MIGRATIONS: Sequence[str] = (
    *(_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6),
)
"""The script that leads to version n stands at n - 1. Never edited after a release."""

_FENCED = """SELECT RAISE(ABORT, 'fenced') WHERE NOT EXISTS (
        SELECT 1 FROM main.runs WHERE run = new.run AND fence = new.fence
    )"""

_REOPENED = "json_extract(new.extra, '$[1]') = 0 AND finished_at IS NOT NULL"
"""What was asked of a run that has ended since is over."""

# Temporary, so that they belong to the program and not to the file.
BATCH_VIEW = f"""
CREATE TEMP VIEW batch (op, run, fence, at, seq, body, extra) AS SELECT 0, 0, 0, 0, 0, 0, 0;

CREATE TEMP TRIGGER batch_create INSTEAD OF INSERT ON batch WHEN new.op = {Op.CREATE} BEGIN
    INSERT INTO runs (
        run, run_id, name, definition_hash, input, input_blob, state, durability,
        created_at, updated_at, parent, labels, owner, fence, context, root,
        queue, queue_key, priority
    ) VALUES (
        new.run, json_extract(new.extra, '$[0]'), json_extract(new.extra, '$[1]'),
        json_extract(new.extra, '$[2]'), new.body, json_extract(new.extra, '$[8]'),
        json_extract(new.extra, '$[3]'), json_extract(new.extra, '$[4]'), new.at, new.at,
        json_extract(new.extra, '$[5]'), json_extract(new.extra, '$[6]'),
        json_extract(new.extra, '$[7]'), new.fence, json_extract(new.extra, '$[9]'),
        json_extract(new.extra, '$[10]'), json_extract(new.extra, '$[11]'),
        json_extract(new.extra, '$[12]'), json_extract(new.extra, '$[13]')
    );
    INSERT INTO run_labels
        SELECT key, value, new.run FROM json_each(json_extract(new.extra, '$[6]'));
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
        cancel_reason = CASE WHEN {_REOPENED} THEN NULL ELSE cancel_reason END,
        cancel_requested_at = CASE WHEN {_REOPENED} THEN NULL ELSE cancel_requested_at END,
        cancel_options = CASE WHEN {_REOPENED} THEN NULL ELSE cancel_options END,
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
        SELECT 1 FROM notices WHERE number = CAST(new.extra AS INTEGER)
        AND kind = 'signal' AND consumed_by IS NULL
        AND (run = new.run OR EXISTS (
            SELECT 1 FROM runs AS part, runs AS around
            WHERE part.run = new.run AND around.run = notices.run
            AND part.root = coalesce(around.root, around.run_id)
        ))
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
            connection.execute(VERSIONS)
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
