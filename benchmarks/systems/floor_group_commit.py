"""Floor of a durable engine under load: the steps of all workflows that wait share one commit.

A step is acknowledged when its commit has reached the disk, never before.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable

from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check
from benchmarks.systems.floor_commit import STEPS, agent, open_journal, rows, versions
from benchmarks.victim import kill_halfway, say_ready

__all__ = ["DISTRIBUTIONS", "WORKLOADS", "versions"]

DISTRIBUTIONS: tuple[str, ...] = ()


class GroupCommit:
    """Collect rows during one turn of the loop, write them in one transaction, wake all that wait."""

    def __init__(self, journal: sqlite3.Connection) -> None:
        self.journal = journal
        self.waiting: list[tuple[tuple[int, int, str], asyncio.Future[None]]] = []
        self.loop = asyncio.get_running_loop()

    def write(self, row: tuple[int, int, str]) -> asyncio.Future[None]:
        """Return a future that is done once *row* is on disk."""
        if not self.waiting:
            self.loop.call_soon(self.commit)
        future: asyncio.Future[None] = self.loop.create_future()
        self.waiting.append((row, future))
        return future

    def commit(self) -> None:
        """Write and wake."""
        batch, self.waiting = self.waiting, []
        self.journal.execute("BEGIN")
        self.journal.executemany("INSERT INTO journal VALUES (?, ?, ?)", [row for row, _ in batch])
        self.journal.execute("COMMIT")
        for _, future in batch:
            future.set_result(None)


async def finish(journal: GroupCommit, workflow: int, first_step: int) -> None:
    """Run the steps of *workflow* from *first_step* on."""
    value = first_step
    for step in range(first_step, STEPS):
        value = await agent(value)
        await journal.write((workflow, step, str(value)))


async def workers(journal: GroupCommit, in_flight: int, work: Iterable[tuple[int, int]]) -> None:
    """Run all *work* (workflow, first step), so many at once."""
    left = iter(work)

    async def worker() -> None:
        for workflow, first_step in left:
            await finish(journal, workflow, first_step)

    await asyncio.gather(*(worker() for _ in range(in_flight)))


def durable(job: Job) -> Outcome:
    """Many workflows in flight."""
    journal = open_journal(job)

    async def main() -> float:
        group = GroupCommit(journal)
        settle()
        started = now()
        await workers(group, job.actors, ((workflow, 0) for workflow in range(job.operations)))
        return now() - started

    seconds = asyncio.run(main())
    check("steps on disk", job.operations * STEPS, rows(journal))
    return rate(job.operations, seconds)


def recovery(job: Job) -> Outcome:
    """Read what a killed process left, and run what is missing."""
    kill_halfway(__name__, job)
    settle()
    started = now()
    journal = open_journal(job)
    unfinished = journal.execute(
        "SELECT workflow, count(*) FROM journal GROUP BY workflow"
    ).fetchall()

    async def main() -> None:
        await workers(GroupCommit(journal), job.operations, unfinished)

    asyncio.run(main())
    seconds = now() - started
    finished: int = journal.execute(
        "SELECT count(*) FROM journal WHERE step = ?", (STEPS - 1,)
    ).fetchone()[0]
    return Outcome({"recover_s": seconds, "lost": job.operations - finished})


def victim(job: Job) -> Outcome:
    """Get all workflows into their second step, say so, and wait there for ever."""
    journal = open_journal(job)

    async def main() -> None:
        group = GroupCommit(journal)

        async def halfway(workflow: int) -> None:
            await group.write((workflow, 0, "1"))

        await asyncio.gather(*(halfway(workflow) for workflow in range(job.operations)))
        say_ready(job)
        await asyncio.get_running_loop().create_future()

    asyncio.run(main())
    raise AssertionError("The victim outlived its murder.")


WORKLOADS = {"durable-100": durable, "recovery": recovery, "victim": victim}
