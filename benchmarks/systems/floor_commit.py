"""Floor of a durable engine that commits every step by itself: SQLite in WAL mode, ``synchronous=FULL``."""

from __future__ import annotations

import asyncio
import sqlite3

from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS: tuple[str, ...] = ()

STEPS = 3


def open_journal(job: Job) -> sqlite3.Connection:
    """Return an empty journal on disk, with one row a finished step."""
    journal = sqlite3.connect(job.scratch / "journal.db", isolation_level=None)
    journal.execute("PRAGMA journal_mode = WAL")
    journal.execute("PRAGMA synchronous = FULL")
    journal.execute(
        "CREATE TABLE IF NOT EXISTS journal "
        "(workflow INTEGER, step INTEGER, output TEXT, PRIMARY KEY (workflow, step)) WITHOUT ROWID"
    )
    return journal


def rows(journal: sqlite3.Connection) -> int:
    """Return how many steps the journal holds."""
    count: int = journal.execute("SELECT count(*) FROM journal").fetchone()[0]
    return count


def versions(options: object) -> dict[str, str]:
    """Return the version of the SQLite library."""
    return {"sqlite": sqlite3.sqlite_version}


async def agent(value: int) -> int:
    """Add one, at once."""
    return value + 1


def durable(job: Job) -> Outcome:
    """One workflow after the other, a commit a step."""
    journal = open_journal(job)

    async def main() -> float:
        settle()
        started = now()
        for workflow in range(job.operations):
            await run(workflow)
        return now() - started

    async def run(workflow: int) -> None:
        value = 0
        for step in range(STEPS):
            value = await agent(value)
            journal.execute("INSERT INTO journal VALUES (?, ?, ?)", (workflow, step, str(value)))

    seconds = asyncio.run(main())
    check("steps on disk", job.operations * STEPS, rows(journal))
    return rate(job.operations, seconds)


WORKLOADS = {"durable": durable, "durable-100": durable}
