"""The stores under test, and what a test may do to the medium behind one."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agenticaiframework.patterns.engine.store import (
    JournalEntry,
    NewRun,
    Owner,
    Record,
    RunFilter,
    Store,
    ValueLimits,
    open_store,
)
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk

POSTGRES_VARIABLE = "AGENTICAI_TEST_POSTGRES"
NO_POSTGRES = f"set {POSTGRES_VARIABLE} to the URL of a PostgreSQL server to run these tests"


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@dataclass
class Medium:
    """Where stores of one kind keep their runs; each test has its own."""

    kind: str
    folder: Path
    clock: Clock = field(default_factory=Clock)
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    schema: str = field(default_factory=lambda: f"test_{uuid.uuid4().hex[:16]}")

    @property
    def url(self) -> str:
        if self.kind == "postgres":
            url = os.environ[POSTGRES_VARIABLE]
            # A name of its own, so that a test cuts only its own connections.
            own = f"schema={self.schema}&application_name={self.schema}"
            return f"{url}{'&' if '?' in url else '?'}{own}"
        if self.kind == "memory":
            return "memory://"
        if self.kind == "sqlite-memory":
            return "sqlite:///:memory:"
        return f"sqlite:///{self.path}"

    @property
    def path(self) -> Path:
        return self.folder / "state.db"

    @property
    def shared(self) -> bool:
        """Whether a second store finds what a first one has written."""
        return self.kind != "sqlite-memory"

    def store(self, **options: Any) -> Store:
        """Return a new store on this medium, not yet open."""
        if self.kind == "memory":
            limits = options.get("limits")
            backend = MemoryBackend(clock=self.clock, disk=self.disk)
            return GroupedStore(backend, clock=self.clock, limits=limits, inline=True)
        if self.kind == "sqlite-inline":
            options["inline"] = True
        return open_store(self.url, clock=self.clock, **options)

    def expire(self, owner: Owner) -> None:
        """Let the lease of *owner* end now."""
        if self.kind == "postgres":
            self.run_sql("UPDATE owners SET expires_at = 1 WHERE number = %s", owner.number)
        else:
            self.clock.now += owner.lease_s + 1

    def expire_sessions(self, lives_s: float) -> None:
        """Let the sessions that are kept for so long expire now."""
        if self.kind == "postgres":
            self.run_sql("UPDATE sessions SET expires_at = 1 WHERE expires_at IS NOT NULL")
        else:
            self.clock.now += lives_s + 1

    def run_sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement in the store's schema, past the store."""
        import psycopg

        with psycopg.connect(os.environ[POSTGRES_VARIABLE], autocommit=True) as connection:
            connection.execute(f"SET search_path TO {self.schema}".encode())
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def remove(self) -> None:
        if self.kind == "postgres":
            self.run_sql(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")


@asynccontextmanager
async def opened(medium: Medium, **options: Any) -> AsyncIterator[tuple[Store, Owner]]:
    """An open store with one owner."""
    store = medium.store(**options)
    await store.open()
    try:
        yield store, await store.register("engine-1", 60)
    finally:
        await store.close()


KINDS = ("memory", "sqlite", "sqlite-inline", "sqlite-memory", "postgres")


def new_run(run_id: str = "run-1", **changes: Any) -> NewRun:
    run = NewRun(run_id, "invoice", "hash-of-invoice", '{"name": "invoice"}', {"amount": 12})
    return run._replace(**changes)


async def held(store: Store, owner: Owner) -> set[str]:
    """Return the unfinished runs that are *owner*'s, or those of another with its engine id."""
    found = await store.list_runs(RunFilter(owner=owner.engine_id, finished=False))
    return {row.run_id for row in found.rows}


def small_limits() -> ValueLimits:
    return ValueLimits(spill_bytes=100, max_value_bytes=10_000)


def told(entries: list[JournalEntry]) -> list[tuple[int, str, str, int, Any]]:
    """Return what the entries say, without when and by whom."""
    return [(e.seq, e.kind, e.step, e.attempt, e.data) for e in entries]


STARTED = Record("step_started", "extract", 1, {"document": "d"})
FINISHED = Record("step_finished", "extract", 1, {"text": "t"})
