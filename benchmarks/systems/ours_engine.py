"""This project's engine, in memory and with its stores at durability ``full``."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.orchestration import EngineConfig, OrchestrationEngine
from benchmarks.flows import STEP_S, STEPS, all_at_once, durably, fanned_out, one_after_the_other
from benchmarks.measure import now, resident_bytes, settle
from benchmarks.postgres import database
from benchmarks.protocol import Job, Outcome, check
from benchmarks.systems.ours_kernel import in_system
from benchmarks.victim import kill_halfway, say_ready

DISTRIBUTIONS: tuple[str, ...] = ("pykka", "pydantic")


def versions(options: object) -> dict[str, str]:
    """Return the version of the SQLite library."""
    return {"sqlite": sqlite3.sqlite_version}


async def at_once(payload: Any) -> Any:
    """Add one, at once."""
    return {"value": payload["value"] + 1}


async def slowly(payload: Any) -> Any:
    """Add one after ten milliseconds."""
    await asyncio.sleep(STEP_S)
    return {"value": payload["value"] + 1}


def _three_steps(agents: list[Agent]) -> dict[str, Any]:
    inputs = ["$input.value", "$step0.value", "$step1.value"]
    return {
        "name": "bench",
        "steps": [
            {"id": f"step{i}", "agent": agent, "input": {"value": value}}
            for i, (agent, value) in enumerate(zip(agents, inputs, strict=True))
        ],
    }


def agents_of(handler: Any, count: int = STEPS) -> list[Agent]:
    """Return agents with that *handler*."""
    return [Agent(f"agent-{i}", handler=handler) for i in range(count)]


def engine_of(
    job: Job, *, at_once: int, stored: bool = False, store: str = ""
) -> OrchestrationEngine:
    """Return an engine with a store of the sample\'s own, or with *store*."""
    return OrchestrationEngine(
        EngineConfig(
            max_concurrent_workflows=max(at_once, 1),
            max_queued_workflows=1_000_000,
            persist_state=stored,
            state_store=store or f"sqlite:///{job.scratch / 'engine.sqlite'}",
            keep_finished=100,
        )
    )


def steps(job: Job) -> Outcome:
    """Three steps in memory."""
    engine = engine_of(job, at_once=1)
    workflow = engine.register_workflow("bench", _three_steps(agents_of(at_once)))

    async def once() -> int:
        result = await engine.execute(workflow, {"value": 0})
        value: int = result["step2"]["value"]
        return value

    return in_system(lambda _: one_after_the_other(job, once))


def fan_out(job: Job) -> Outcome:
    """Many steps that depend on nothing, each with an agent of its own."""
    engine = engine_of(job, at_once=1)
    branches: list[dict[str, Any]] = [
        {"id": f"step{i}", "agent": agent, "input": {"value": "$input.value"}, "depends_on": []}
        for i, agent in enumerate(agents_of(at_once, job.actors))
    ]
    workflow = engine.register_workflow("bench", {"name": "bench", "steps": branches})

    async def once() -> int:
        result = await engine.execute(workflow, {"value": 0})
        return sum(answer["value"] for answer in result.values())

    return in_system(lambda _: fanned_out(job, once))


def thousand(job: Job) -> Outcome:
    """Many workflows at once, with agents of their own that run already, ten milliseconds a step."""

    async def body(_system: object) -> Outcome:
        engine = engine_of(job, at_once=job.operations)
        agents = [agents_of(slowly) for _ in range(job.operations + 1)]
        await asyncio.gather(*(agent.ask({"value": 0}) for three in agents for agent in three))
        waiting = [engine.check(_three_steps(three)) for three in agents]

        async def once() -> int:
            result = await engine.execute(waiting.pop(), {"value": 0})
            value: int = result["step2"]["value"]
            return value

        return await all_at_once(job, once)

    return in_system(body)


def durable(job: Job) -> Outcome:
    """Every step on disk before the next, as many workflows in flight as the job has actors."""
    engine = engine_of(job, at_once=job.actors, stored=True)
    workflow = engine.register_workflow("bench", _three_steps(agents_of(at_once)))

    async def once() -> int:
        result = await engine.execute(workflow, {"value": 0})
        value: int = result["step2"]["value"]
        return value

    return in_system(lambda _: durably(job, once))


def postgres(job: Job) -> Outcome:
    """The same with PostgreSQL."""
    with database(job) as url:
        engine = engine_of(job, at_once=job.actors, stored=True, store=url)
        workflow = engine.register_workflow("bench", _three_steps(agents_of(at_once)))

        async def once() -> int:
            result = await engine.execute(workflow, {"value": 0})
            value: int = result["step2"]["value"]
            return value

        return in_system(lambda _: durably(job, once))


def _by_name() -> dict[str, Any]:
    """Return the workflow with its agents by name: a stored run finds them again in another process."""
    workflow = _three_steps(agents_of(at_once))
    for i, step in enumerate(workflow["steps"]):
        step["agent"] = f"agent-{i}"
    return workflow


def victim(job: Job) -> Outcome:
    """Get all workflows into their second step, say so, and wait there for ever."""
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
        names = [f"agent-{i}" for i in range(STEPS)]
        engine.register_agent(names[0], Agent(names[0], handler=at_once))
        # An agent does one thing after the other; every workflow is to hang in one of its own.
        engine.register_agent(names[2], Agent(names[2], handler=at_once))
        workflow = _by_name()
        for i in range(job.operations):
            own = f"{names[1]}-{i}"
            engine.register_agent(own, Agent(own, handler=hang))
            workflow["steps"][1]["agent"] = own
            await engine.start_workflow(workflow, {"value": 0}, workflow_id=f"workflow-{i}")
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
        for name in ("agent-0", "agent-2", *(f"agent-1-{i}" for i in range(job.operations))):
            engine.register_agent(name, Agent(name, handler=at_once))
        await engine.recover()
        finished = 0
        for i in range(job.operations):
            result = await engine.wait(f"workflow-{i}", timeout=60)
            check("steps", STEPS, result["step2"]["value"])
            finished += 1
        return Outcome({"recover_s": now() - started, "lost": job.operations - finished})

    return in_system(body)


def parked(job: Job) -> Outcome:
    """Workflows that wait for a signal; at the end a few get it and finish."""

    async def body(_system: object) -> Outcome:
        engine = engine_of(job, at_once=100)
        definition = {"name": "bench", "steps": [{"id": "approval", "wait_for": "approved"}]}
        workflow = engine.register_workflow("bench", definition)
        settle()
        before = resident_bytes()
        ids = [await engine.start_workflow(workflow, {}) for _ in range(job.operations)]
        await asyncio.sleep(0.1)
        grown = resident_bytes() - before
        chosen = ids[:: max(len(ids) // 100, 1)]
        for workflow_id in chosen:
            await engine.signal_workflow(workflow_id, "approved", True)
        results = [await engine.wait(workflow_id, timeout=30) for workflow_id in chosen]
        check("approved", len(chosen), sum(result["approval"] is True for result in results))
        return Outcome({"resident_mb": grown / 1e6, "kb_a_run": grown / job.operations / 1e3})

    return in_system(body)


WORKLOADS = {
    "durable": durable,
    "durable-100": durable,
    "fan-out-workflow": fan_out,
    "parked": parked,
    "postgres": postgres,
    "postgres-100": postgres,
    "recovery": recovery,
    "steps": steps,
    "thousand-workflows": thousand,
    "victim": victim,
}
