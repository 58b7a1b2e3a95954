"""Floor: an asyncio task an actor, woken by a future, mailbox a deque: what one writes by hand."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from benchmarks.fairness import observe
from benchmarks.measure import now, rate, resident_bytes, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS: tuple[str, ...] = ()

BATCH = 64


class TaskActor:
    """A mailbox and a task that empties it; the loop gets a turn after every batch."""

    __slots__ = ("mailbox", "task", "waiter")

    def __init__(self) -> None:
        self.mailbox: deque[Any] = deque()
        self.waiter: asyncio.Future[None] | None = None
        self.task = asyncio.get_running_loop().create_task(self.main())

    async def on_receive(self, message: Any) -> None:
        """Do nothing with the message."""

    def tell(self, message: Any) -> None:
        """Queue the message and wake the task if it waits."""
        self.mailbox.append(message)
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            waiter.set_result(None)

    async def main(self) -> None:
        """Handle messages for ever."""
        loop = asyncio.get_running_loop()
        mailbox = self.mailbox
        while True:
            for _ in range(min(len(mailbox), BATCH)):
                await self.on_receive(mailbox.popleft())
            if mailbox:
                await asyncio.sleep(0)
            else:
                self.waiter = loop.create_future()
                await self.waiter


class Counter(TaskActor):
    """Count to a target, then resolve a future."""

    __slots__ = ("count", "done", "target")

    def __init__(self, target: int) -> None:
        super().__init__()
        self.count = 0
        self.target = target
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def on_receive(self, message: Any) -> None:
        self.count += 1
        if self.count == self.target:
            self.done.set_result(None)


class Producer(TaskActor):
    """Tell a counter as often as the message says."""

    __slots__ = ("counter",)

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter

    async def on_receive(self, message: Any) -> None:
        tell = self.counter.tell
        for _ in range(message):
            tell("one")


def counting(job: Job) -> Outcome:
    """One producer, one counter."""

    async def main() -> float:
        counter = Counter(job.operations)
        producer = Producer(counter)
        settle()
        started = now()
        producer.tell(job.operations)
        await counter.done
        return now() - started

    return rate(job.operations, asyncio.run(main()))


class Node(TaskActor):
    """Hand a counted-down token to the next one."""

    __slots__ = ("done", "next")

    def __init__(self, done: asyncio.Future[None]) -> None:
        super().__init__()
        self.next: Node | None = None
        self.done = done

    async def on_receive(self, message: Any) -> None:
        if message:
            assert self.next is not None
            self.next.tell(message - 1)
        else:
            self.done.set_result(None)


def ring(job: Job) -> Outcome:
    """A token goes round until it is counted down."""

    async def main() -> float:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nodes = [Node(done) for _ in range(job.actors)]
        for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            node.next = following
        settle()
        started = now()
        nodes[0].tell(job.operations)
        await done
        return now() - started

    return rate(job.operations, asyncio.run(main()))


class Peer(TaskActor):
    """Ping one neighbour after the other, answer pings."""

    __slots__ = ("done", "left", "peers", "turn")

    def __init__(self, turn: int, pings: int) -> None:
        super().__init__()
        self.turn = turn
        self.left = pings
        self.peers: list[Peer] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def on_receive(self, message: Any) -> None:
        if message is not None:
            message.tell(None)
        elif self.left:
            self.left -= 1
            self.turn = (self.turn + 17) % len(self.peers)
            self.peers[self.turn].tell(self)
        else:
            self.done.set_result(None)


def big(job: Job) -> Outcome:
    """Everybody pings everybody; a ping and its pong are two messages."""
    pings = job.operations // job.actors // 2

    async def main() -> float:
        peers = [Peer(i, pings) for i in range(job.actors)]
        for peer in peers:
            peer.peers = peers
        settle()
        started = now()
        for peer in peers:
            peer.tell(None)
        for peer in peers:
            await peer.done
        return now() - started

    return rate(pings * job.actors * 2, asyncio.run(main()))


class Echo(TaskActor):
    """Resolve the future that comes as the message."""

    __slots__ = ()

    async def on_receive(self, message: Any) -> None:
        message.set_result(1)


class Asker(TaskActor):
    """Ask as often as the message says, one after the other."""

    __slots__ = ("done", "echo")

    def __init__(self, echo: Echo) -> None:
        super().__init__()
        self.echo = echo
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def on_receive(self, message: Any) -> None:
        loop = asyncio.get_running_loop()
        total = 0
        for _ in range(message):
            future: asyncio.Future[int] = loop.create_future()
            self.echo.tell(future)
            total += await future
        self.done.set_result(total)


def ping_pong(job: Job) -> Outcome:
    """One actor asks another."""

    async def main() -> float:
        asker = Asker(Echo())
        settle()
        started = now()
        asker.tell(job.operations)
        check("answers", job.operations, await asker.done)
        return now() - started

    return rate(job.operations, asyncio.run(main()))


class Join(TaskActor):
    """Ask every worker, gather, start over."""

    __slots__ = ("done", "workers")

    def __init__(self, workers: list[Echo]) -> None:
        super().__init__()
        self.workers = workers
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def on_receive(self, message: Any) -> None:
        loop = asyncio.get_running_loop()
        total = 0
        for _ in range(message):
            futures: list[asyncio.Future[int]] = []
            for worker in self.workers:
                future: asyncio.Future[int] = loop.create_future()
                worker.tell(future)
                futures.append(future)
            total += sum(await asyncio.gather(*futures))
        self.done.set_result(total)


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker, gathered."""
    rounds = job.operations // job.actors

    async def main() -> float:
        join = Join([Echo() for _ in range(job.actors)])
        await asyncio.sleep(0)
        settle()
        started = now()
        join.tell(rounds)
        check("answers", rounds * job.actors, await join.done)
        return now() - started

    return rate(rounds * job.actors, asyncio.run(main()))


def spawn(job: Job) -> Outcome:
    """Make actors and let each task reach its wait."""

    async def main() -> float:
        settle()
        started = now()
        actors = [TaskActor() for _ in range(job.operations)]
        await asyncio.sleep(0)
        seconds = now() - started
        check("tasks waiting", job.operations, sum(actor.waiter is not None for actor in actors))
        return seconds

    return rate(job.operations, asyncio.run(main()))


def idle(job: Job) -> Outcome:
    """Tasks that wait for their first message."""

    async def main() -> float:
        settle()
        before = resident_bytes()
        actors = [TaskActor() for _ in range(job.operations)]
        await asyncio.sleep(0)
        return (resident_bytes() - before) / len(actors)

    return Outcome({"bytes": asyncio.run(main())})


def million(job: Job) -> Outcome:
    """Start all, let every thousandth answer, cancel all."""

    async def main() -> Outcome:
        settle()
        started = now()
        actors = [Counter(1) for _ in range(job.operations)]
        await asyncio.sleep(0)
        alive = now()
        for actor in actors[::1000]:
            actor.tell(1)
            await actor.done
        resident = resident_bytes()
        stopping = now()
        for actor in actors:
            actor.task.cancel()
        await asyncio.wait([actor.task for actor in actors])
        return Outcome(
            {"resident_mb": resident / 1e6, "start_s": alive - started, "stop_s": now() - stopping}
        )

    return asyncio.run(main())


class Flood(TaskActor):
    """Write to itself, one message for each that it handles: its mailbox never empties."""

    __slots__ = ("handled",)

    def __init__(self) -> None:
        super().__init__()
        self.handled = 0

    async def on_receive(self, message: Any) -> None:
        self.handled += 1
        self.tell(message)


def fairness(job: Job) -> Outcome:
    """A flooded task beside an idle one, a ticking loop and an HTTP server."""

    async def main() -> Outcome:
        loop = asyncio.get_running_loop()
        echo = Echo()
        flood = Flood()
        for _ in range(10_000):
            flood.tell("more")

        async def probe() -> object:
            future: asyncio.Future[int] = loop.create_future()
            echo.tell(future)
            return await future

        return await observe(job.operations / 1e3, probe, lambda: flood.handled)

    return asyncio.run(main())


WORKLOADS = {
    "big-async": big,
    "counting-async": counting,
    "fairness": fairness,
    "fork-join-async": fork_join,
    "idle": idle,
    "million": million,
    "ping-pong": ping_pong,
    "ring-async": ring,
    "spawn": spawn,
}
