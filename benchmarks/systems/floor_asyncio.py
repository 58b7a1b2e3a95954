"""Floor of patterns and workflows: awaits, `asyncio.gather` and tasks, with nothing around them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.measure import each, now, resident_bytes, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS: tuple[str, ...] = ()

Agent = Callable[[int], Awaitable[int]]


async def agent(value: int) -> int:
    """Add one, at once."""
    return value + 1


async def slow_agent(value: int) -> int:
    """Add one after ten milliseconds."""
    await asyncio.sleep(0.010)
    return value + 1


async def run(step: Agent) -> int:
    """Return the result of three steps."""
    value = 0
    for _ in range(3):
        value = await step(value)
    return value


def sequential(job: Job) -> Outcome:
    """Three awaits a run."""

    async def main() -> float:
        settle()
        started = now()
        for _ in range(job.operations):
            check("steps", 3, await run(agent))
        return now() - started

    return each(job.operations, asyncio.run(main()))


def fan_out(job: Job) -> Outcome:
    """One gather a run."""

    async def main() -> float:
        settle()
        started = now()
        for _ in range(job.operations):
            answers = await asyncio.gather(*(agent(0) for _ in range(job.actors)))
            check("branches", job.actors, sum(answers))
        return now() - started

    return each(job.operations * job.actors, asyncio.run(main()))


def thousand(job: Job) -> Outcome:
    """A task a run."""

    async def main() -> Outcome:
        settle()
        before = resident_bytes()
        started = now()
        runs = [asyncio.create_task(run(slow_agent)) for _ in range(job.operations)]
        await asyncio.sleep(0.015)
        during = resident_bytes()
        answers = await asyncio.gather(*runs)
        seconds = now() - started
        check("steps", 3 * job.operations, sum(answers))
        return Outcome({"wall_s": seconds, "kb_a_run": (during - before) / job.operations / 1e3})

    return asyncio.run(main())


def parked(job: Job) -> Outcome:
    """A task that waits for a future each."""

    async def main() -> Outcome:
        loop = asyncio.get_running_loop()

        async def wait_for(signal: asyncio.Future[int]) -> int:
            return await signal

        settle()
        before = resident_bytes()
        signals: list[asyncio.Future[int]] = [loop.create_future() for _ in range(job.operations)]
        runs = [asyncio.create_task(wait_for(signal)) for signal in signals]
        await asyncio.sleep(0)
        resident = resident_bytes()
        for signal in signals:
            signal.set_result(1)
        check("signals received", job.operations, sum(await asyncio.gather(*runs)))
        return Outcome(
            {
                "resident_mb": (resident - before) / 1e6,
                "kb_a_run": (resident - before) / job.operations / 1e3,
            }
        )

    return asyncio.run(main())


WORKLOADS = {
    "fan-out": fan_out,
    "fan-out-workflow": fan_out,
    "parked": parked,
    "sequential": sequential,
    "steps": sequential,
    "thousand": thousand,
    "thousand-workflows": thousand,
}
