"""The timed part of the workloads of patterns and engines, which is the same for every system.

A plug-in gives ``once``, a coroutine function that runs one pattern or workflow and returns how many steps or
branches were really run. The one call more is nothing beside the cheapest of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.measure import each, now, rate, resident_bytes, settle
from benchmarks.protocol import Job, Outcome, check

STEPS = 3
STEP_S = 0.010

Once = Callable[[], Awaitable[int]]


async def one_after_the_other(job: Job, once: Once) -> Outcome:
    """Return microseconds a run of three steps."""
    check("steps", STEPS, await once())
    settle()
    started = now()
    total = 0
    for _ in range(job.operations):
        total += await once()
    seconds = now() - started
    check("steps", STEPS * job.operations, total)
    return each(job.operations, seconds)


async def fanned_out(job: Job, once: Once) -> Outcome:
    """Return microseconds a branch, of ``job.actors`` branches a run."""
    check("branches", job.actors, await once())
    settle()
    started = now()
    total = 0
    for _ in range(job.operations):
        total += await once()
    seconds = now() - started
    check("branches", job.actors * job.operations, total)
    return each(job.actors * job.operations, seconds)


async def all_at_once(job: Job, once: Once) -> Outcome:
    """Return how long ``job.operations`` runs of three steps of `STEP_S` take at once, and the memory of each.

    Memory is looked at every half step, and the highest counts.
    """
    check("steps", STEPS, await once())
    settle()
    before = resident_bytes()
    started = now()
    runs = asyncio.gather(*(once() for _ in range(job.operations)))
    highest = before
    while not runs.done():
        await asyncio.wait([runs], timeout=STEP_S / 2)
        highest = max(highest, resident_bytes())
    seconds = now() - started
    total = sum(await runs)
    check("steps", STEPS * job.operations, total)
    return Outcome({"wall_s": seconds, "kb_a_run": (highest - before) / job.operations / 1e3})


async def durably(job: Job, once: Once) -> Outcome:
    """Return workflows a second with ``job.actors`` of them in flight."""
    check("steps", STEPS, await once())
    left = iter(range(job.operations))
    settle()
    started = now()

    async def worker() -> int:
        total = 0
        for _ in left:
            total += await once()
        return total

    total = sum(await asyncio.gather(*(worker() for _ in range(job.actors))))
    seconds = now() - started
    check("steps", STEPS * job.operations, total)
    return rate(job.operations, seconds)
