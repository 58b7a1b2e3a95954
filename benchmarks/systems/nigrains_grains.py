"""Peer: nigrains, virtual actors addressed by key; a call is an awaited method, there is no mailbox and no tell."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio

from nigrains import Grain, Runtime

from benchmarks.measure import now, rate, resident_bytes, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS = ("nigrains",)


class Echo(Grain):
    """Answer one."""

    grain_type = "echo"

    async def one(self) -> int:
        """Answer one."""
        return 1


class Asker(Grain):
    """Ask grains, one after the other or all at once."""

    grain_type = "asker"
    runtime: Runtime

    async def ask(self, times: int) -> int:
        """Ask one grain, one after the other."""
        echo = self.runtime.reference(Echo, "0")
        total = 0
        for _ in range(times):
            total += await echo.one()
        return total

    async def gather(self, rounds: int, workers: int) -> int:
        """Ask all grains at once."""
        echoes = [self.runtime.reference(Echo, str(i)) for i in range(workers)]
        total = 0
        for _ in range(rounds):
            total += sum(await asyncio.gather(*(echo.one() for echo in echoes)))
        return total


def _runtime() -> Runtime:
    runtime = Asker.runtime = Runtime()
    runtime.register(Echo)
    runtime.register(Asker)
    return runtime


def ping_pong(job: Job) -> Outcome:
    """One grain asks another."""

    async def main() -> float:
        async with _runtime() as runtime:
            asker = runtime.reference(Asker, "0")
            await asker.ask(1)
            settle()
            started = now()
            check("answers", job.operations, await asker.ask(job.operations))
            return now() - started

    return rate(job.operations, asyncio.run(main()))


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker, gathered."""
    rounds = job.operations // job.actors

    async def main() -> float:
        async with _runtime() as runtime:
            asker = runtime.reference(Asker, "0")
            await asker.gather(1, job.actors)
            settle()
            started = now()
            check("answers", rounds * job.actors, await asker.gather(rounds, job.actors))
            return now() - started

    return rate(rounds * job.actors, asyncio.run(main()))


def spawn(job: Job) -> Outcome:
    """The first call of a grain is what starts it."""

    async def main() -> float:
        async with _runtime() as runtime:
            settle()
            started = now()
            total = 0
            for i in range(job.operations):
                total += await runtime.reference(Echo, str(i)).one()
            check("answers", job.operations, total)
            return now() - started

    return rate(job.operations, asyncio.run(main()))


def idle_used(job: Job) -> Outcome:
    """Grains that have answered once; before that there is nothing."""

    async def main() -> float:
        async with _runtime() as runtime:
            settle()
            before = resident_bytes()
            for i in range(job.operations):
                await runtime.reference(Echo, str(i)).one()
            return (resident_bytes() - before) / job.operations

    return Outcome({"bytes": asyncio.run(main())})


WORKLOADS = {
    "fork-join-async": fork_join,
    "idle-used": idle_used,
    "ping-pong": ping_pong,
    "spawn": spawn,
}
