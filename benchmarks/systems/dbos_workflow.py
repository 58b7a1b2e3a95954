"""Peer: DBOS, durable by nature; its system database is SQLite here, or PostgreSQL where that is measured.

Its tables need SQLite 3.42; so it gets a newer library than the interpreter may have.
"""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import sys

import pysqlite3

sys.modules["sqlite3"] = pysqlite3
sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2

from dbos import DBOS, DBOSConfig, SetWorkflowID  # noqa: E402

from benchmarks.flows import STEP_S, all_at_once, durably, fanned_out, one_after_the_other  # noqa: E402
from benchmarks.measure import now, settle  # noqa: E402
from benchmarks.postgres import database  # noqa: E402
from benchmarks.protocol import Job, Outcome, check  # noqa: E402
from benchmarks.victim import kill_halfway, say_ready  # noqa: E402

DISTRIBUTIONS = ("dbos",)


def versions(options: object) -> dict[str, str]:
    """Return the version of the SQLite library."""
    return {"sqlite": pysqlite3.sqlite_version}


wait_s = 0.0
hold = False
reached = 0
all_reached = asyncio.Event()
expected = 0


@DBOS.step()
async def agent(value: int) -> int:
    """Add one."""
    if wait_s:
        await asyncio.sleep(wait_s)
    return value + 1


@DBOS.step()
async def second(value: int) -> int:
    """Add one, or wait there for ever."""
    global reached
    if hold:
        reached += 1
        if reached == expected:
            all_reached.set()
        await asyncio.sleep(3600)
    return await agent(value)


@DBOS.workflow()
async def sequence() -> int:
    """Three steps."""
    return await agent(await second(await agent(0)))


@DBOS.workflow()
async def fan(branches: int) -> int:
    """As many steps at once."""
    return sum(await asyncio.gather(*(agent(0) for _ in range(branches))))


def _launch(job: Job, url: str = "") -> None:
    config: DBOSConfig = {
        "name": "benchmark",
        "system_database_url": url or f"sqlite:///{job.scratch / 'dbos.sqlite'}",
        "log_level": "CRITICAL",
        "application_version": "1",
        "executor_id": "one",
    }
    DBOS(config=config)
    DBOS.launch()


def steps(job: Job) -> Outcome:
    """Three durable steps: it has no others."""
    _launch(job)
    return asyncio.run(one_after_the_other(job, sequence))


def durable(job: Job) -> Outcome:
    """Three steps, many in flight."""
    _launch(job)
    return asyncio.run(durably(job, sequence))


def postgres(job: Job) -> Outcome:
    """Three steps, many in flight, with PostgreSQL."""
    with database(job) as url:
        _launch(job, url)
        return asyncio.run(durably(job, sequence))


def fan_out(job: Job) -> Outcome:
    """Many steps at once in one workflow."""
    _launch(job)
    return asyncio.run(fanned_out(job, lambda: fan(job.actors)))


def thousand(job: Job) -> Outcome:
    """Many workflows at once, ten milliseconds a step."""
    global wait_s
    wait_s = STEP_S
    _launch(job)
    return asyncio.run(all_at_once(job, sequence))


def victim(job: Job) -> Outcome:
    """Get all workflows into their second step, say so, and wait there."""
    global hold, expected
    hold, expected = True, job.operations
    _launch(job)

    async def main() -> None:
        for i in range(job.operations):
            with SetWorkflowID(f"workflow-{i}"):
                await DBOS.start_workflow_async(sequence)
        await all_reached.wait()
        say_ready(job)
        await asyncio.sleep(3600)

    asyncio.run(main())
    raise AssertionError("The victim outlived its murder.")


def recovery(job: Job) -> Outcome:
    """Launching recovers what the killed process left."""
    kill_halfway(__name__, job)
    settle()
    started = now()
    _launch(job)
    finished = 0
    for i in range(job.operations):
        result = DBOS.retrieve_workflow(f"workflow-{i}").get_result()
        check("steps", 3, result)
        finished += 1
    return Outcome({"recover_s": now() - started, "lost": job.operations - finished})


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
