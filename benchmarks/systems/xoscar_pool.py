"""Peer: xoscar, actors in the main pool of one process; a call is an awaited method."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio

import xoscar as xo

from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS = ("xoscar",)


class Counter(xo.Actor):
    """Count."""

    def __init__(self):
        super().__init__()
        self.total = 0

    async def one(self):
        """Count one, and answer one."""
        self.total += 1
        return 1

    async def count(self):
        """Answer the count."""
        return self.total


class Asker(xo.Actor):
    """Ask one actor after the other, or all at once; or only tell."""

    def __init__(self, others):
        super().__init__()
        self.others = others

    async def ask(self, times):
        """Ask the first, one after the other."""
        total = 0
        for _ in range(times):
            total += await self.others[0].one()
        return total

    async def gather(self, rounds):
        """Ask all at once."""
        total = 0
        for _ in range(rounds):
            total += sum(await asyncio.gather(*(other.one() for other in self.others)))
        return total

    async def tell(self, times):
        """Send to the first without waiting for answers."""
        for _ in range(times):
            await self.others[0].one.tell()


class Node(xo.Actor):
    """Hand a counted-down token to the next one."""

    def __init__(self):
        super().__init__()
        self.reached = asyncio.Event()

    async def know(self, following):
        """Learn the next node."""
        self.next = following

    async def hand(self, left):
        """Pass it on."""
        if left:
            await self.next.hand.tell(left - 1)
        else:
            self.reached.set()

    @xo.no_lock
    async def wait(self):
        """Wait for the token's end here."""
        await self.reached.wait()


async def _with_pool(body):
    pool = await xo.create_actor_pool("127.0.0.1", n_process=0)
    async with pool:
        return await body(pool.external_address)


def _asks(method: str, argument: int, actors: int, answers: int) -> Outcome:
    async def main(address):
        others = [await xo.create_actor(Counter, address=address) for _ in range(actors)]
        asker = await xo.create_actor(Asker, others, address=address)
        settle()
        started = now()
        total = await getattr(asker, method)(argument)
        if method == "tell":
            total = 0
            while total < answers:
                total = await others[0].count()
        seconds = now() - started
        check("answers", answers, total)
        return seconds

    return rate(answers, asyncio.run(_with_pool(main)))


def counting(job: Job) -> Outcome:
    """One producer, one counter."""
    return _asks("tell", job.operations, 1, job.operations)


def ping_pong(job: Job) -> Outcome:
    """One actor asks another."""
    return _asks("ask", job.operations, 1, job.operations)


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker, gathered."""
    rounds = job.operations // job.actors
    return _asks("gather", rounds, job.actors, rounds * job.actors)


def ring(job: Job) -> Outcome:
    """A token goes round until it is counted down."""

    async def main(address):
        nodes = [await xo.create_actor(Node, address=address) for _ in range(job.actors)]
        for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            await node.know(following)
        last = nodes[job.operations % job.actors]
        settle()
        started = now()
        await nodes[0].hand.tell(job.operations)
        await last.wait()
        return now() - started

    return rate(job.operations, asyncio.run(_with_pool(main)))


def spawn(job: Job) -> Outcome:
    """Start actors, one after the other."""

    async def main(address):
        settle()
        started = now()
        actors = [await xo.create_actor(Counter, address=address) for _ in range(job.operations)]
        seconds = now() - started
        check("answer of the last", 1, await actors[-1].one())
        return seconds

    return rate(job.operations, asyncio.run(_with_pool(main)))


WORKLOADS = {
    "counting-async": counting,
    "fork-join-async": fork_join,
    "ping-pong": ping_pong,
    "ring-async": ring,
    "spawn": spawn,
}
