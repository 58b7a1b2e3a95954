"""Peer: async-pykka, pykka's interface with an asyncio task and queue an actor.

No fairness workload: an actor whose queue never empties never gives the loop back, so the sample would not end.
"""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
from typing import Any

import async_pykka

from benchmarks.measure import now, rate, resident_bytes, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS = ("async-pykka",)


class Counter(async_pykka.AsyncioActor):
    """Count to a target, then resolve a future."""

    def __init__(self, target: int, done: asyncio.Future[None]) -> None:
        super().__init__()
        self.count = 0
        self.target = target
        self.done = done

    async def on_receive(self, message: Any) -> Any:
        self.count += 1
        if self.count == self.target:
            self.done.set_result(None)


class Producer(async_pykka.AsyncioActor):
    """Tell a counter as often as the message says."""

    def __init__(self, counter: Any) -> None:
        super().__init__()
        self.counter = counter

    async def on_receive(self, message: Any) -> None:
        tell = self.counter.tell
        for _ in range(message):
            tell("one")


def counting(job: Job) -> Outcome:
    """One producer, one counter."""

    async def main() -> float:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        counter = Counter.start(job.operations, done)
        producer = Producer.start(counter)
        await asyncio.sleep(0)
        settle()
        started = now()
        producer.tell(job.operations)
        await done
        return now() - started

    return rate(job.operations, asyncio.run(main()))


class Node(async_pykka.AsyncioActor):
    """Hand a counted-down token to the next one."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        super().__init__()
        self.next: Any = None
        self.done = done

    async def on_receive(self, message: Any) -> None:
        if not isinstance(message, int):
            self.next = message
        elif message:
            self.next.tell(message - 1)
        else:
            self.done.set_result(None)


def ring(job: Job) -> Outcome:
    """A token goes round until it is counted down."""

    async def main() -> float:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nodes = [Node.start(done) for _ in range(job.actors)]
        for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            await node.ask(following)
        settle()
        started = now()
        nodes[0].tell(job.operations)
        await done
        return now() - started

    return rate(job.operations, asyncio.run(main()))


class Peer(async_pykka.AsyncioActor):
    """Ping one neighbour after the other, answer pings."""

    def __init__(self, turn: int, pings: int) -> None:
        super().__init__()
        self.turn = turn
        self.left = pings
        self.peers: list[Any] = []
        self.done: Any = None

    async def on_receive(self, message: Any) -> None:
        if isinstance(message, tuple):
            self.peers, self.done = message
        elif message is not None:
            message.tell(None)
        elif self.left:
            self.left -= 1
            self.turn = (self.turn + 17) % len(self.peers)
            self.peers[self.turn].tell(self.actor_ref)
        else:
            self.done.set_result(None)


def big(job: Job) -> Outcome:
    """Everybody pings everybody; a ping and its pong are two messages."""
    pings = job.operations // job.actors // 2

    async def main() -> float:
        loop = asyncio.get_running_loop()
        peers = [Peer.start(i, pings) for i in range(job.actors)]
        over = [loop.create_future() for _ in peers]
        for peer, done in zip(peers, over, strict=True):
            await peer.ask((peers, done))
        settle()
        started = now()
        for peer in peers:
            peer.tell(None)
        for done in over:
            await done
        return now() - started

    return rate(pings * job.actors * 2, asyncio.run(main()))


class Echo(async_pykka.AsyncioActor):
    """Answer one."""

    async def on_receive(self, message: Any) -> Any:
        return 1


class Asker(async_pykka.AsyncioActor):
    """Ask one actor after the other, or all at once, as often as the message says."""

    def __init__(self, others: list[Any]) -> None:
        super().__init__()
        self.others = others

    async def on_receive(self, message: Any) -> Any:
        total = 0
        if len(self.others) == 1:
            for _ in range(message):
                total += await self.others[0].ask("one")
            return total
        for _ in range(message):
            futures = [other.ask("one") for other in self.others]
            total += sum([await future for future in futures])
        return total


def _asks(actors: int, rounds: int) -> Outcome:
    async def main() -> float:
        asker = Asker.start([Echo.start() for _ in range(actors)])
        await asyncio.sleep(0)
        settle()
        started = now()
        check("answers", rounds * actors, await asker.ask(rounds))
        return now() - started

    return rate(rounds * actors, asyncio.run(main()))


def ping_pong(job: Job) -> Outcome:
    """One actor asks another."""
    return _asks(1, job.operations)


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker, awaited in order."""
    return _asks(job.actors, job.operations // job.actors)


def spawn(job: Job) -> Outcome:
    """Start actors and let each task reach its wait."""

    async def main() -> float:
        settle()
        started = now()
        actors = [Echo.start() for _ in range(job.operations)]
        await asyncio.sleep(0)
        seconds = now() - started
        check("answer of the last", 1, await actors[-1].ask("one"))
        return seconds

    return rate(job.operations, asyncio.run(main()))


def idle(job: Job) -> Outcome:
    """Actors that nobody wrote to."""

    async def main() -> Outcome:
        settle()
        before = resident_bytes()
        actors = [Echo.start() for _ in range(job.operations)]
        await asyncio.sleep(0)
        return Outcome({"bytes": (resident_bytes() - before) / len(actors)})

    return asyncio.run(main())


WORKLOADS = {
    "big-async": big,
    "counting-async": counting,
    "fork-join-async": fork_join,
    "idle": idle,
    "ping-pong": ping_pong,
    "ring-async": ring,
    "spawn": spawn,
}
