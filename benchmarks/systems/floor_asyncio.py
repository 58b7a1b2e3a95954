"""Floor of patterns and workflows: awaits, `asyncio.gather` and tasks, with nothing around them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.flows import STEP_S, STEPS, all_at_once, fanned_out, one_after_the_other
from benchmarks.measure import resident_bytes, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS: tuple[str, ...] = ()

Agent = Callable[[int], Awaitable[int]]


async def agent(value: int) -> int:
    """Add one, at once."""
    return value + 1


async def slow_agent(value: int) -> int:
    """Add one after ten milliseconds."""
    await asyncio.sleep(STEP_S)
    return value + 1


async def run(step: Agent) -> int:
    """Return the result of three steps."""
    value = 0
    for _ in range(STEPS):
        value = await step(value)
    return value


async def fan(branches: int) -> int:
    """Return how many branches answered."""
    return sum(await asyncio.gather(*(agent(0) for _ in range(branches))))


def sequential(job: Job) -> Outcome:
    """Three awaits a run."""
    return asyncio.run(one_after_the_other(job, lambda: run(agent)))


def fan_out(job: Job) -> Outcome:
    """One gather a run."""
    return asyncio.run(fanned_out(job, lambda: fan(job.actors)))


def thousand(job: Job) -> Outcome:
    """A task a run."""
    return asyncio.run(all_at_once(job, lambda: run(slow_agent)))


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
