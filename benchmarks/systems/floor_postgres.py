"""Floor of a durable engine on PostgreSQL: the steps of all workflows that wait share one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import psycopg

from benchmarks.measure import now, rate, settle
from benchmarks.postgres import database
from benchmarks.protocol import Job, Outcome, check
from benchmarks.systems.floor_commit import STEPS, agent

DISTRIBUTIONS: tuple[str, ...] = ("psycopg",)

Row = tuple[int, int, str]


class GroupCommit:
    """Write in one transaction what waits, then what has come meanwhile, and wake those that waited."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection
        self.waiting: list[tuple[Row, asyncio.Future[None]]] = []
        self.writer: asyncio.Task[None] | None = None

    def write(self, row: Row) -> Awaitable[None]:
        """Return a future that is done once *row* is committed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((row, future))
        if self.writer is None:
            self.writer = asyncio.create_task(self._commit())
        return future

    async def _commit(self) -> None:
        while self.waiting:
            batch, self.waiting = self.waiting, []
            values = ",".join(["(%s,%s,%s)"] * len(batch))
            flat = [value for row, _ in batch for value in row]
            await self.connection.execute(f"INSERT INTO journal VALUES {values}".encode(), flat)
            for _, future in batch:
                future.set_result(None)
        self.writer = None


def durable(job: Job) -> Outcome:
    """As many workflows in flight as the job has actors."""

    async def main(url: str) -> float:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(
                "CREATE TABLE journal (workflow int, step int, output text, PRIMARY KEY (workflow, step))"
            )
            journal = GroupCommit(connection)
            left = iter(range(job.operations))

            async def worker() -> None:
                for workflow in left:
                    value = 0
                    for step in range(STEPS):
                        value = await agent(value)
                        await journal.write((workflow, step, str(value)))

            settle()
            started = now()
            await asyncio.gather(*(worker() for _ in range(job.actors)))
            seconds = now() - started
            found = await (await connection.execute("SELECT count(*) FROM journal")).fetchone()
            check("steps on disk", (job.operations * STEPS,), found)
            return seconds

    with database(job) as url:
        return rate(job.operations, asyncio.run(main(url)))


WORKLOADS = {"postgres": durable, "postgres-100": durable}
