"""This project's agents with models."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, TextDelta
from agenticaiframework.models import set_provider
from benchmarks.model_calls import (
    Elsewhere,
    Halfway,
    answering,
    calling_tools,
    in_flight,
    kill_and_resume,
    one_by_one,
    streaming,
    streams,
    tool_loops,
)
from benchmarks.protocol import Job, Outcome
from benchmarks.systems.floor_pydantic_ai import function_model
from benchmarks.systems.ours_engine import engine_of
from benchmarks.systems.ours_kernel import in_system

DISTRIBUTIONS = ("pykka", "pydantic-ai-slim")


def hosted(server: Any, **how: Any) -> Agent:
    """Return an agent whose model is at *server*."""
    set_provider("bench", base_url=server.url)
    return Agent("bench", model="bench:m", instructions="Answer.", concurrency=1_000, **how)


def requests(job: Job) -> Outcome:
    """Many requests under way."""
    with answering() as server:
        agent = hosted(server)
        return in_system(lambda _: in_flight(job, server, lambda: agent.ask("hello")))


def tool_loop(job: Job) -> Outcome:
    """Runs of five tool calls each."""
    calls: list[int] = []

    async def add(n: int) -> int:
        """Add."""
        calls.append(n)
        return n

    with calling_tools() as server:
        agent = hosted(server, tools=[add])
        return in_system(lambda _: tool_loops(job, server, lambda: agent.ask("hello"), calls))


def stream(job: Job) -> Outcome:
    """Streams of 1,000 deltas, as parts."""
    with streaming() as server:
        agent = hosted(server)

        async def read() -> int:
            count = 0
            async for part in agent.stream("hello"):
                count += isinstance(part, TextDelta)
            return count

        return in_system(lambda _: streams(job, read))


def own_part(job: Job) -> Outcome:
    """One request after the other, to a model that answers at once."""
    agent = Agent("bench", model=function_model(), instructions="Answer.")
    return in_system(lambda _: one_by_one(job, lambda: agent.ask("hello")))


def victim(job: Job) -> Outcome:
    """Get all runs into their third tool, say so, and wait there for ever."""

    async def body(_system: object) -> Outcome:
        engine = engine_of(job, at_once=job.operations, stored=True)
        engine.register_agent("bench", hosted(Elsewhere(), tools=[Halfway(job).add]))
        for number in range(job.operations):
            await engine.start_workflow(LOOP, "hello", workflow_id=f"run-{number}")
        await asyncio.get_running_loop().create_future()
        raise AssertionError("it is killed before")

    return in_system(body)


def kill_resume(job: Job) -> Outcome:
    """A new engine on the same store goes on where each run was."""

    async def add(n: int) -> int:
        """Add."""
        return n

    async def resume(server: Any) -> list[str]:
        async with ActorSystem("bench"):
            engine = engine_of(job, at_once=job.operations, stored=True)
            engine.register_agent("bench", hosted(server, tools=[add]))
            await engine.recover()
            return [
                (await engine.wait(f"run-{number}", timeout=60))["loop"]
                for number in range(job.operations)
            ]

    return kill_and_resume(__name__, job, resume)


LOOP = {"name": "bench", "steps": [{"id": "loop", "agent": "bench"}]}
WORKLOADS = {
    "model-kill-resume": kill_resume,
    "model-own-part": own_part,
    "model-requests": requests,
    "model-stream": stream,
    "model-tool-loop": tool_loop,
    "victim": victim,
}
