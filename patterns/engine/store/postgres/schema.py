"""PostgreSQL's tables, how they came to be, and the function that a batch of appends goes through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from ..errors import StoreCorrupt, StoreVersionTooNew
from ..grouped.jobs import Op
from .connection import Connection

__all__ = ["APPLY_BATCH", "MIGRATIONS", "migrate"]

_VERSIONS: LiteralString = """
CREATE TABLE schema_versions (
    version int PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""

_VERSION_1: LiteralString = """
CREATE TABLE owners (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    engine_id text NOT NULL,
    expires_at bigint NOT NULL,
    retired boolean NOT NULL DEFAULT false
);
CREATE TABLE definitions (
    hash text PRIMARY KEY,
    body bytea NOT NULL
);
CREATE TABLE runs (
    run bigint PRIMARY KEY,
    run_id text NOT NULL UNIQUE,
    name text NOT NULL,
    definition_hash text NOT NULL,
    input bytea,
    input_blob text,
    state text NOT NULL,
    durability text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    finished_at bigint,
    wake_at bigint,
    error text,
    cancel_reason text,
    cancel_requested_at bigint,
    parent text,
    labels jsonb,
    owner bigint,
    fence bigint NOT NULL
);
CREATE INDEX runs_open ON runs (owner) WHERE finished_at IS NULL;
CREATE TABLE journal (
    run bigint NOT NULL,
    seq bigint NOT NULL,
    fence bigint NOT NULL,
    at bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run, seq)
);
CREATE TABLE blobs (
    run bigint NOT NULL,
    digest text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run, digest)
);
CREATE TABLE notices (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run bigint NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    payload bytea,
    at bigint NOT NULL,
    consumed_by bigint
);
CREATE INDEX notices_of_run ON notices (run);
"""

_VERSION_2: LiteralString = "ALTER TABLE runs ADD COLUMN context text"

MIGRATIONS: Sequence[LiteralString] = (_VERSION_1, _VERSION_2)
"""The script that leads to version n stands at n - 1. Never edited after a release."""

# Temporary, so that it belongs to the program and not to the database. One call is one round
# trip and, outside of a transaction, one transaction.
#
# Locking the runs' rows (FOR KEY SHARE) holds off a claim (FOR UPDATE) until the batch is
# committed: without it, a claimer could read the journal between this function's look at the
# fencing token and its commit.
#
# A row that is there already with the same content was written by this very lease, in a batch whose
# acknowledgement a broken connection swallowed: it counts as written.
APPLY_BATCH = f"""
CREATE FUNCTION pg_temp.apply_batch(
    ops int[], keys bigint[], fences bigint[], ats bigint[], seqs bigint[], bodies bytea[],
    extras text[], relaxed boolean
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    expected bigint;
    found_rows bigint;
BEGIN
    IF relaxed THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    ELSIF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    IF ops && ARRAY[{Op.CREATE}] THEN
        INSERT INTO definitions
            SELECT DISTINCT ON (extra) extra, body
            FROM unnest(ops, bodies, extras) AS b (op, body, extra) WHERE op = {Op.DEFINE}
            ON CONFLICT DO NOTHING;
        INSERT INTO runs (
            run, run_id, name, definition_hash, input, input_blob, state, durability,
            created_at, updated_at, parent, labels, owner, fence, context
        )
            SELECT key, e ->> 0, e ->> 1, e ->> 2, body, e ->> 8, e ->> 3, e ->> 4,
                at, at, e ->> 5, (e ->> 6)::jsonb, (e ->> 7)::bigint, fence, e ->> 9
            FROM unnest(ops, keys, fences, ats, bodies, extras)
                AS b (op, key, fence, at, body, extra),
                LATERAL (SELECT CASE WHEN op = {Op.CREATE} THEN extra::jsonb END) AS j (e)
            WHERE op = {Op.CREATE}
            ON CONFLICT (run) DO NOTHING;
    END IF;

    SELECT count(*), count(held.run) INTO expected, found_rows FROM (
        SELECT DISTINCT key, fence FROM unnest(ops, keys, fences) AS b (op, key, fence)
        WHERE op <> {Op.DEFINE} ORDER BY key
    ) AS wanted LEFT JOIN LATERAL (
        SELECT run FROM runs WHERE runs.run = wanted.key AND runs.fence = wanted.fence
        FOR KEY SHARE
    ) AS held ON true;
    IF found_rows <> expected THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'AF001';
    END IF;

    INSERT INTO journal
        SELECT key, seq, fence, at, body
        FROM unnest(ops, keys, fences, ats, seqs, bodies) AS b (op, key, fence, at, seq, body)
        WHERE op IN ({Op.APPEND}, {Op.APPEND_UPDATE}) AND body IS NOT NULL
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS found_rows = ROW_COUNT;
    SELECT count(*) INTO expected FROM unnest(ops, bodies) AS b (op, body)
        WHERE op IN ({Op.APPEND}, {Op.APPEND_UPDATE}) AND body IS NOT NULL;
    IF found_rows <> expected THEN
        SELECT count(*) INTO found_rows
            FROM unnest(ops, keys, fences, seqs, bodies) AS b (op, key, fence, seq, body)
            JOIN journal AS j ON j.run = b.key AND j.seq = b.seq AND j.fence = b.fence
                AND j.body = b.body
            WHERE op IN ({Op.APPEND}, {Op.APPEND_UPDATE});
        IF found_rows <> expected THEN
            RAISE EXCEPTION 'the record is written already' USING ERRCODE = 'AF003';
        END IF;
    END IF;

    IF ops && ARRAY[{Op.APPEND_UPDATE}] THEN
        UPDATE runs SET
            updated_at = u.at,
            state = coalesce(u.e ->> 0, state),
            finished_at = CASE u.e ->> 1 WHEN '1' THEN u.at WHEN '0' THEN NULL
                ELSE finished_at END,
            owner = CASE u.e ->> 1 WHEN '1' THEN NULL ELSE owner END,
            error = CASE WHEN u.e ->> 2 IS NULL THEN error ELSE nullif(u.e ->> 2, '') END,
            wake_at = CASE WHEN u.e ->> 3 IS NULL THEN wake_at
                ELSE nullif((u.e ->> 3)::bigint, 0) END
        FROM (
            SELECT key, at, extra::jsonb FROM unnest(ops, keys, ats, extras)
                AS b (op, key, at, extra) WHERE op = {Op.APPEND_UPDATE}
        ) AS u (key, at, e)
        WHERE runs.run = u.key;
    END IF;

    IF ops && ARRAY[{Op.BLOB}] THEN
        INSERT INTO blobs
            SELECT key, extra, body FROM unnest(ops, keys, bodies, extras)
                AS b (op, key, body, extra) WHERE op = {Op.BLOB}
            ON CONFLICT DO NOTHING;
    END IF;

    IF ops && ARRAY[{Op.CONSUME}] THEN
        UPDATE notices SET consumed_by = c.seq
        FROM (
            SELECT key, seq, extra::bigint FROM unnest(ops, keys, seqs, extras)
                AS b (op, key, seq, extra) WHERE op = {Op.CONSUME}
        ) AS c (key, seq, number)
        WHERE notices.number = c.number AND notices.run = c.key AND notices.kind = 'signal'
            AND (notices.consumed_by IS NULL OR notices.consumed_by = c.seq);
        GET DIAGNOSTICS found_rows = ROW_COUNT;
        SELECT count(*) INTO expected FROM unnest(ops) AS b (op) WHERE op = {Op.CONSUME};
        IF found_rows <> expected THEN
            RAISE EXCEPTION 'signal' USING ERRCODE = 'AF002';
        END IF;
    END IF;
END
$$
""".encode()

MIGRATION_LOCK = 7_040_196_301
"""Any number that no other program takes: one process migrates, the others wait."""


def migrate(
    connection: Connection,
    label: str,
    schema: str,
    migrations: Sequence[LiteralString] = MIGRATIONS,
) -> None:
    """Bring the schema to the newest version, in one transaction.

    Raises StoreVersionTooNew.
    """
    newest = len(migrations)
    if _version(connection, label) == newest:
        return
    # Locked before the transaction begins: what the process before us made would not be seen in
    # one that is under way.
    connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
    try:
        with connection.transaction():
            version = _version(connection, label)
            if version > newest:
                raise StoreVersionTooNew(label, version, newest)
            if version == 0:
                quoted = sql.Identifier(schema)
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(quoted))
                connection.execute(_VERSIONS)
            for number in range(version, newest):
                connection.execute(migrations[number])
                connection.execute("INSERT INTO schema_versions VALUES (%s)", (number + 1,))
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))


def _version(connection: Connection, label: str) -> int:
    """Return the schema's version, 0 when there is none."""
    found = connection.execute("SELECT to_regclass('schema_versions')").fetchone()
    if found is None or found[0] is None:
        return 0
    found = connection.execute("SELECT max(version) FROM schema_versions").fetchone()
    if found is None or not isinstance(found[0], int):
        raise StoreCorrupt(label, "its schema has no version")
    return found[0]
