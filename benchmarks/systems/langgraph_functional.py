"""Peer: LangGraph's functional API, an entrypoint over tasks; durable runs use ``durability="sync"``.

Its checkpointers are SQLite's and PostgreSQL's. A run that was cut off goes on when it is invoked again.
"""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import itertools

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.errors import EmptyInputError
from langgraph.func import entrypoint, task
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.flows import STEP_S, all_at_once, durably, fanned_out, one_after_the_other
from benchmarks.measure import now, settle
from benchmarks.postgres import database
from benchmarks.protocol import Job, Outcome, check
from benchmarks.victim import kill_halfway, say_ready

DISTRIBUTIONS = ("langgraph", "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres")

CONNECTIONS = 8

WRITES_S = 5.0
"""How long a victim may write what it had begun to."""

hold = False
reached = 0
expected = 0
all_reached = asyncio.Event()


@task
async def agent(value: int) -> int:
    """Add one, at once."""
    return value + 1


@task
async def slow_agent(value: int) -> int:
    """Add one after ten milliseconds."""
    await asyncio.sleep(STEP_S)
    return value + 1


@task
async def second(value: int) -> int:
    """Add one, or wait there for ever."""
    global reached
    if hold:
        reached += 1
        if reached == expected:
            all_reached.set()
        await asyncio.sleep(3600)
    return value + 1


def _sequence(*tasks, checkpointer=None):
    @entrypoint(checkpointer=checkpointer)
    async def sequence(value: int) -> int:
        for one in tasks:
            value = await one(value)
        return value

    return sequence


def steps(job: Job) -> Outcome:
    """Three tasks in memory."""
    app = _sequence(agent, agent, agent)
    return asyncio.run(one_after_the_other(job, lambda: app.ainvoke(0)))


def thousand(job: Job) -> Outcome:
    """Many invocations at once, ten milliseconds a task."""
    app = _sequence(slow_agent, slow_agent, slow_agent)
    return asyncio.run(all_at_once(job, lambda: app.ainvoke(0)))


def fan_out(job: Job) -> Outcome:
    """As many tasks at once."""

    @entrypoint()
    async def fan(branches: int) -> int:
        return sum(await asyncio.gather(*(agent(0) for _ in range(branches))))

    return asyncio.run(fanned_out(job, lambda: fan.ainvoke(job.actors)))


async def _durably(job: Job, saver) -> Outcome:
    numbers = itertools.count()
    app = _sequence(agent, agent, agent, checkpointer=saver)

    async def once() -> int:
        config = {"configurable": {"thread_id": str(next(numbers))}}
        return await app.ainvoke(0, config, durability="sync")

    return await durably(job, once)


def _sqlite(job: Job):
    return AsyncSqliteSaver.from_conn_string(str(job.scratch / "langgraph.db"))


def durable(job: Job) -> Outcome:
    """Each task's result is on its way to the disk before the next begins."""

    async def main() -> Outcome:
        async with _sqlite(job) as saver:
            return await _durably(job, saver)

    return asyncio.run(main())


def postgres(job: Job) -> Outcome:
    """The same with PostgreSQL."""

    async def main(url: str) -> Outcome:
        options = {"autocommit": True, "row_factory": dict_row, "prepare_threshold": 0}
        async with AsyncConnectionPool(
            url, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options, open=False
        ) as pool:
            saver = AsyncPostgresSaver(pool)
            await saver.setup()
            return await _durably(job, saver)

    with database(job) as url:
        return asyncio.run(main(url))


def victim(job: Job) -> Outcome:
    """Get all workflows into their second task, say so, and wait there."""
    global hold, expected
    hold, expected = True, job.operations

    async def main() -> None:
        async with _sqlite(job) as saver:
            app = _sequence(agent, second, agent, checkpointer=saver)
            runs = [
                asyncio.create_task(
                    app.ainvoke(0, {"configurable": {"thread_id": str(i)}}, durability="sync")
                )
                for i in range(job.operations)
            ]
            await all_reached.wait()
            # What the first tasks returned is written beside the second ones: in peace, here.
            await asyncio.sleep(WRITES_S)
            say_ready(job)
            await asyncio.gather(*runs)

    asyncio.run(main())
    raise AssertionError("The victim outlived its murder.")


def recovery(job: Job) -> Outcome:
    """What was cut off is invoked again, by ids that the program has kept: it has no list of them."""
    kill_halfway(__name__, job)
    settle()

    async def main() -> Outcome:
        started = now()
        finished = 0
        async with _sqlite(job) as saver:
            app = _sequence(agent, second, agent, checkpointer=saver)
            for i in range(job.operations):
                config = {"configurable": {"thread_id": str(i)}}
                try:
                    result = await app.ainvoke(None, config, durability="sync")
                except EmptyInputError:
                    continue  # its first checkpoint was not on the disk when its tasks began
                check("steps", 3, result)
                finished += 1
        return Outcome({"recover_s": now() - started, "lost": job.operations - finished})

    return asyncio.run(main())


WORKLOADS = {
    "durable": durable,
    "durable-100": durable,
    "fan-out-workflow": fan_out,
    "postgres": postgres,
    "postgres-100": postgres,
    "recovery": recovery,
    "steps": steps,
    "thousand-workflows": thousand,
    "victim": victim,
}
