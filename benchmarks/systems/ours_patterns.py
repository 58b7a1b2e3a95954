"""This project's patterns, with agents whose handlers do nothing or wait."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.orchestration import ParallelOrchestration, SequentialOrchestration
from benchmarks.flows import STEP_S, STEPS, all_at_once, fanned_out, one_after_the_other
from benchmarks.protocol import Job, Outcome
from benchmarks.systems.ours_kernel import in_system

DISTRIBUTIONS: tuple[str, ...] = ("pykka", "pydantic")


async def at_once(payload: Any) -> Any:
    """Add one, at once."""
    return payload + 1


async def slowly(payload: Any) -> Any:
    """Add one after ten milliseconds."""
    await asyncio.sleep(STEP_S)
    return payload + 1


def _sequence(agents: list[Agent]) -> SequentialOrchestration:
    return SequentialOrchestration(name="bench", steps=[{"agent": agent} for agent in agents])


def sequential(job: Job) -> Outcome:
    """Three agents, one after the other."""
    pattern = _sequence([Agent(f"agent-{i}", handler=at_once) for i in range(STEPS)])
    return in_system(lambda _: one_after_the_other(job, lambda: pattern.execute(input_data=0)))


def fan_out(job: Job) -> Outcome:
    """Many agents at once."""
    agents = [Agent(f"agent-{i}", handler=at_once) for i in range(job.actors)]
    pattern = ParallelOrchestration(name="bench", branches=[{"agent": agent} for agent in agents])

    async def once() -> int:
        results = await pattern.execute(input_data=0)
        return sum(results.values())

    return in_system(lambda _: fanned_out(job, once))


def thousand(job: Job) -> Outcome:
    """Many runs at once of three agents of their own, ten milliseconds each.

    An agent handles one message after the other, so runs that share agents would wait in line. The agents are
    started before: what is timed and weighed are the runs.
    """

    async def body(_system: object) -> Outcome:
        agents = [
            [Agent(f"agent-{i}", handler=slowly) for i in range(STEPS)]
            for _ in range(job.operations + 1)
        ]
        await asyncio.gather(*(agent.ask(0) for three in agents for agent in three))
        waiting = [_sequence(three) for three in agents]
        return await all_at_once(job, lambda: waiting.pop().execute(input_data=0))

    return in_system(body)


WORKLOADS = {"fan-out": fan_out, "sequential": sequential, "thousand": thousand}
