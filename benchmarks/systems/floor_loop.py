"""Floor of the fairness workload: the same event loop, server and probes, and nothing else on it."""

from __future__ import annotations

import asyncio

from benchmarks.fairness import observe
from benchmarks.protocol import Job, Outcome

DISTRIBUTIONS: tuple[str, ...] = ()


def fairness(job: Job) -> Outcome:
    """No flood; the probe is one turn of the loop."""

    async def main() -> Outcome:
        async def probe() -> object:
            return await asyncio.sleep(0, True)

        return await observe(job.operations / 1e3, probe, lambda: 0)

    return asyncio.run(main())


WORKLOADS = {"fairness": fairness}
