"""A store with many runs, made by SQL: a schema of PostgreSQL that has been in use for long."""

from __future__ import annotations

__all__ = ["fill_script"]

# Finished and open runs of several names; parts, labels, a few failures; two engines that are alive and
# one that is dead; signals, most of them consumed.
_FILL: tuple[str, ...] = (
    "INSERT INTO owners (engine_id, expires_at, retired) VALUES "
    "('alive-1', 9e18, false), ('alive-2', 9e18, false), ('dead', 1, false)",
    "INSERT INTO definitions SELECT 'hash-' || n, '{{\"name\": \"w\"}' FROM generate_series(0, 9) n",
    "INSERT INTO runs (run, run_id, name, definition_hash, input, state, durability, created_at, "
    "updated_at, finished_at, parent, labels, owner, fence, root) "
    "SELECT (1600000000000000 + n * 1000) * 4096, 'run-' || n, 'name-' || n % 10, 'hash-' || n % 10, "
    "'{}', CASE WHEN n % 100 = 0 THEN 'waiting' WHEN n % 1000 = 1 THEN 'failed' ELSE 'completed' END, "
    "'full', 1600000000000000 + n * 1000, 1600000000000000 + n * 1000, "
    "CASE WHEN n % 100 = 0 THEN NULL ELSE 1600000000000000 + n * 1000 END, "
    "CASE WHEN n % 50 = 7 THEN 'run-' || n - 7 END, "
    "CASE WHEN n % 3 = 0 THEN jsonb_build_object('env', 'prod', 'customer', (n % 500)::text) END, "
    "CASE WHEN n % 100 = 0 THEN CASE WHEN n % 500 = 0 THEN 3 ELSE 1 + n / 100 % 2 END END, "
    "1, CASE WHEN n % 50 = 7 THEN 'run-' || n - 7 END "
    "FROM generate_series(1, RUNS) n",
    'INSERT INTO journal SELECT run, s, 1, created_at, \'[["n","",0,1]]\' '
    "FROM runs, generate_series(1, 3) s",
    "INSERT INTO notices (run, kind, name, payload, at, consumed_by) "
    "SELECT run, 'signal', 'go', '1', created_at, CASE WHEN finished_at IS NULL THEN NULL ELSE 2 END "
    "FROM runs WHERE run % 40960000 = 0",
    "INSERT INTO labels SELECT l.key, l.value, run FROM runs, jsonb_each_text(labels) l",
    "ANALYZE",
)


def fill_script(runs: int) -> str:
    """Return the statements that fill an empty schema with so many runs."""
    return "; ".join(_FILL).replace("RUNS", str(runs))
