"""This project's engine with workflows written as code, in memory and with its stores."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from agenticaiframework.orchestration import OrchestrationEngine, WorkflowRun, workflow
from benchmarks.flows import all_at_once, durably, fanned_out, one_after_the_other
from benchmarks.measure import now, settle
from benchmarks.postgres import database
from benchmarks.protocol import Job, Outcome, check
from benchmarks.systems.ours_engine import agents_of, at_once, engine_of, slowly
from benchmarks.systems.ours_kernel import in_system
from benchmarks.victim import kill_halfway, say_ready

DISTRIBUTIONS: tuple[str, ...] = ("pykka", "pydantic")


def versions(options: object) -> dict[str, str]:
    """Return the version of the SQLite library."""
    return {"sqlite": sqlite3.sqlite_version}


def _three_steps(agents: list[Any]) -> Any:
    """Return the workflow that asks three agents, one after the other."""

    @workflow(name="bench")
    async def bench(run: WorkflowRun, given: dict[str, int]) -> int:
        for agent in agents:
            given = await run.ask(agent, given)
        return given["value"]

    return bench


def _once(engine: OrchestrationEngine, code: Any) -> Any:
    async def once() -> int:
        value: int = await engine.execute(code, {"value": 0})
        return value

    return once


def steps(job: Job) -> Outcome:
    """Three calls in memory."""
    engine = engine_of(job, at_once=1)
    code = _three_steps(agents_of(at_once))
    return in_system(lambda _: one_after_the_other(job, _once(engine, code)))


def fan_out(job: Job) -> Outcome:
    """Many calls at once, each of an agent of its own."""
    engine = engine_of(job, at_once=1)
    agents = agents_of(at_once, job.actors)

    @workflow(name="bench")
    async def bench(run: WorkflowRun, given: dict[str, int]) -> int:
        answers = await run.gather(*(run.ask(agent, given) for agent in agents))
        return sum(answer["value"] for answer in answers)

    return in_system(lambda _: fanned_out(job, _once(engine, bench)))


def thousand(job: Job) -> Outcome:
    """Many workflows at once, with agents of their own that run already, ten milliseconds a call."""

    async def body(_system: object) -> Outcome:
        engine = engine_of(job, at_once=job.operations)
        agents = [agents_of(slowly) for _ in range(job.operations + 1)]
        await asyncio.gather(*(agent.ask({"value": 0}) for three in agents for agent in three))
        waiting = [_three_steps(three) for three in agents]

        async def once() -> int:
            return int(await _once(engine, waiting.pop())())

        return await all_at_once(job, once)

    return in_system(body)


def durable(job: Job) -> Outcome:
    """Every call on disk before the next, as many workflows in flight as the job has actors."""
    engine = engine_of(job, at_once=job.actors, stored=True)
    code = _three_steps(agents_of(at_once))
    return in_system(lambda _: durably(job, _once(engine, code)))


def postgres(job: Job) -> Outcome:
    """The same with PostgreSQL."""
    with database(job) as url:
        engine = engine_of(job, at_once=job.actors, stored=True, store=url)
        code = _three_steps(agents_of(at_once))
        return in_system(lambda _: durably(job, _once(engine, code)))


@workflow(name="bench")
async def by_name(run: WorkflowRun, given: dict[str, int]) -> int:
    """Ask agents by name: a stored run finds them again in another process."""
    value = {"value": 0}
    for name in ("agent-0", f"agent-1-{given['number']}", "agent-2"):
        value = await run.ask(name, value)
    return value["value"]


def _named(engine: OrchestrationEngine, second: Any, job: Job) -> None:
    first, _, third = agents_of(at_once)
    engine.register_workflow("bench", by_name)
    engine.register_agent("agent-0", first)
    engine.register_agent("agent-2", third)
    for number, agent in enumerate(agents_of(second, job.operations)):
        engine.register_agent(f"agent-1-{number}", agent)


def victim(job: Job) -> Outcome:
    """Get all workflows into their second call, say so, and wait there for ever."""
    reached = 0
    all_reached = asyncio.Event()

    async def hang(payload: Any) -> Any:
        nonlocal reached
        reached += 1
        if reached == job.operations:
            all_reached.set()
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        engine = engine_of(job, at_once=job.operations, stored=True)
        _named(engine, hang, job)
        for i in range(job.operations):
            await engine.start_workflow(by_name, {"number": i}, workflow_id=f"workflow-{i}")
        await all_reached.wait()
        say_ready(job)
        await asyncio.get_running_loop().create_future()

    asyncio.run(main())
    raise AssertionError("The victim outlived its murder.")


def recovery(job: Job) -> Outcome:
    """A new engine on the same store finishes what the killed process left."""
    kill_halfway(__name__, job)
    settle()

    async def body(_system: object) -> Outcome:
        started = now()
        engine = engine_of(job, at_once=job.operations, stored=True)
        _named(engine, at_once, job)
        await engine.recover()
        finished = 0
        for i in range(job.operations):
            check("steps", 3, await engine.wait(f"workflow-{i}", timeout=60))
            finished += 1
        return Outcome({"recover_s": now() - started, "lost": job.operations - finished})

    return in_system(body)


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
