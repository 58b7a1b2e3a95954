"""PostgreSQL's tables, and how they came to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

__all__ = ["BESIDE", "MIGRATIONS", "VERSIONS"]

VERSIONS: LiteralString = """
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

# The indexes are those that a list, a recovery or a purge looks into. Where a run is not in one (it is
# not a part, has no labels, has ended, has not ended), the index is partial: it costs that run nothing.
# `IF NOT EXISTS`: on a large table they may have been made before, CONCURRENTLY.
_VERSION_3: LiteralString = """
ALTER TABLE runs ADD COLUMN root text;
ALTER TABLE runs ADD COLUMN cancel_options text;
ALTER TABLE owners ADD COLUMN seen_at bigint;
ALTER TABLE owners ADD COLUMN version int;
ALTER TABLE schema_versions ADD COLUMN beside int;
ALTER TABLE runs SET (fillfactor = 85);
ALTER TABLE owners SET (fillfactor = 50);
DROP INDEX runs_open;
CREATE INDEX IF NOT EXISTS runs_held ON runs (owner, run) WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_released ON runs (run)
    WHERE owner IS NULL AND finished_at IS NULL AND state <> 'blocked';
CREATE INDEX IF NOT EXISTS runs_unfinished ON runs (run) WHERE finished_at IS NULL;
CREATE INDEX IF NOT EXISTS runs_finished ON runs (finished_at, run)
    WHERE finished_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_finished_in_state ON runs (state, finished_at, run)
    WHERE finished_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_in_state ON runs (state, run);
CREATE INDEX IF NOT EXISTS runs_of_name ON runs (name, run);
CREATE INDEX IF NOT EXISTS runs_of_definition ON runs (definition_hash);
CREATE INDEX IF NOT EXISTS runs_of_parent ON runs (parent, run) WHERE parent IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_of_root ON runs (root, run) WHERE root IS NOT NULL;
CREATE TABLE labels (
    name text NOT NULL,
    value text NOT NULL,
    run bigint NOT NULL,
    PRIMARY KEY (name, value, run)
);
INSERT INTO labels SELECT l.key, l.value, r.run FROM runs AS r, jsonb_each_text(r.labels) AS l
    WHERE r.labels IS NOT NULL;
CREATE INDEX labels_of_run ON labels (run);
CREATE UNLOGGED TABLE watches (
    run bigint PRIMARY KEY,
    run_id text NOT NULL,
    until bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS notices_pending ON notices (run) WHERE consumed_by IS NULL
"""

_VERSION_4: LiteralString = """
CREATE TABLE sessions (
    session bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent text NOT NULL,
    name text NOT NULL,
    last bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint,
    UNIQUE (agent, name)
);
CREATE INDEX sessions_by_use ON sessions (updated_at, session);
CREATE INDEX sessions_of_agent ON sessions (agent, updated_at, session);
CREATE INDEX sessions_expiring ON sessions (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE session_turns (
    session bigint NOT NULL,
    turn bigint NOT NULL,
    messages int NOT NULL,
    body bytea NOT NULL,
    key text,
    PRIMARY KEY (session, turn)
);
CREATE UNIQUE INDEX turns_by_key ON session_turns (session, key) WHERE key IS NOT NULL
"""

_VERSION_5: LiteralString = """
CREATE TABLE schedules (
    name text PRIMARY KEY,
    revision bigint NOT NULL,
    due_at bigint,
    body bytea NOT NULL
);
CREATE INDEX schedules_due ON schedules (due_at) WHERE due_at IS NOT NULL
"""

# What waits in a queue has no owner, and is not looked for among the runs that engines have left.
_VERSION_6: LiteralString = """
ALTER TABLE runs ADD COLUMN queue text;
ALTER TABLE runs ADD COLUMN queue_key text;
ALTER TABLE runs ADD COLUMN priority int;
ALTER TABLE owners ADD COLUMN queues text[];
DROP INDEX IF EXISTS runs_released;
CREATE INDEX IF NOT EXISTS runs_left ON runs (run)
    WHERE owner IS NULL AND finished_at IS NULL AND state <> 'blocked' AND queue IS NULL;
CREATE INDEX IF NOT EXISTS runs_of_queue ON runs (queue, run) WHERE queue IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_queued ON runs (queue, priority DESC, run) INCLUDE (queue_key)
    WHERE queue IS NOT NULL AND owner IS NULL AND finished_at IS NULL AND state <> 'blocked';
CREATE INDEX IF NOT EXISTS runs_queued_keys ON runs (queue, queue_key, priority DESC, run)
    WHERE queue IS NOT NULL AND owner IS NULL AND finished_at IS NULL AND state <> 'blocked';
CREATE INDEX IF NOT EXISTS runs_taken ON runs (queue, owner, run) INCLUDE (queue_key)
    WHERE queue IS NOT NULL AND owner IS NOT NULL AND finished_at IS NULL;
CREATE TABLE queue_starts (
    queue text NOT NULL,
    at bigint NOT NULL,
    run bigint NOT NULL,
    PRIMARY KEY (queue, at, run)
)
"""

MIGRATIONS: Sequence[LiteralString] = (
    *(_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6),
)
"""The script that leads to version n stands at n - 1. Never edited after a release."""

BESIDE: Final = 3
"""The oldest version whose programs may work beside the newest one."""
