"""This project's kernel: `agenticaiframework.actors` on its default dispatcher."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agenticaiframework.actors import Actor, ActorRef, ActorSystem, gather
from benchmarks.fairness import observe
from benchmarks.measure import now, rate, resident_bytes, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS: tuple[str, ...] = ("pykka",)


def in_system(body: Callable[[ActorSystem], Coroutine[Any, Any, Outcome]]) -> Outcome:
    """Run *body* on a fresh loop inside a system, which is stopped afterwards."""

    async def main() -> Outcome:
        async with ActorSystem("bench") as system:
            return await body(system)

    return asyncio.run(main())


class Counter(Actor):
    """Count to a target, then resolve a future; plain handler."""

    def __init__(self, target: int, done: asyncio.Future[int]) -> None:
        super().__init__()
        self.count = 0
        self.target = target
        self.done = done

    def on_receive(self, message: Any) -> Any:
        self.count += 1
        if self.count == self.target:
            self.done.set_result(self.count)


class AsyncCounter(Counter):
    """The same with an async handler."""

    async def on_receive(self, message: Any) -> Any:
        self.count += 1
        if self.count == self.target:
            self.done.set_result(self.count)


class Producer(Actor):
    """Tell a counter as often as the message says."""

    def __init__(self, counter: ActorRef[Counter]) -> None:
        super().__init__()
        self.counter = counter

    def on_receive(self, message: Any) -> Any:
        tell = self.counter.tell
        for _ in range(message):
            tell("one")


def _counting(job: Job, counter_class: type[Counter]) -> Outcome:
    async def body(system: ActorSystem) -> Outcome:
        done: asyncio.Future[int] = system.loop.create_future()
        producer = system.start(Producer, system.start(counter_class, job.operations, done))
        settle()
        started = now()
        producer.tell(job.operations)
        check("messages counted", job.operations, await done)
        return rate(job.operations, now() - started)

    return in_system(body)


def counting(job: Job) -> Outcome:
    """One producer, one counter with a plain handler."""
    return _counting(job, Counter)


def counting_async(job: Job) -> Outcome:
    """One producer, one counter with an async handler."""
    return _counting(job, AsyncCounter)


class Node(Actor):
    """Hand a counted-down token to the next one; plain handler."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        super().__init__()
        self.next: ActorRef[Node] | None = None
        self.done = done

    def on_receive(self, message: Any) -> Any:
        if message.__class__ is not int:
            self.next = message
        elif message:
            assert self.next is not None
            self.next.tell(message - 1)
        else:
            self.done.set_result(None)


class AsyncNode(Node):
    """The same with an async handler."""

    async def on_receive(self, message: Any) -> Any:
        if message.__class__ is not int:
            self.next = message
        elif message:
            assert self.next is not None
            self.next.tell(message - 1)
        else:
            self.done.set_result(None)


def _ring(job: Job, node_class: type[Node]) -> Outcome:
    async def body(system: ActorSystem) -> Outcome:
        done: asyncio.Future[None] = system.loop.create_future()
        nodes = [system.start(node_class, done) for _ in range(job.actors)]
        for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            await node.request(following)
        settle()
        started = now()
        nodes[0].tell(job.operations)
        await done
        return rate(job.operations, now() - started)

    return in_system(body)


def ring(job: Job) -> Outcome:
    """A token goes round plain handlers."""
    return _ring(job, Node)


def ring_async(job: Job) -> Outcome:
    """A token goes round async handlers."""
    return _ring(job, AsyncNode)


class Peer(Actor):
    """Ping one neighbour after the other, answer pings; plain handler."""

    def __init__(self, turn: int, pings: int, done: asyncio.Future[None]) -> None:
        super().__init__()
        self.turn = turn
        self.left = pings
        self.done = done
        self.peers: list[ActorRef[Peer]] = []

    def on_receive(self, message: Any) -> Any:
        if message is None:
            if self.left:
                self.left -= 1
                self.turn = (self.turn + 17) % len(self.peers)
                self.peers[self.turn].tell(self.actor_ref)
            else:
                self.done.set_result(None)
        elif message.__class__ is list:
            self.peers = message
        else:
            message.tell(None)


class AsyncPeer(Peer):
    """The same with an async handler."""

    async def on_receive(self, message: Any) -> Any:
        if message is None:
            if self.left:
                self.left -= 1
                self.turn = (self.turn + 17) % len(self.peers)
                self.peers[self.turn].tell(self.actor_ref)
            else:
                self.done.set_result(None)
        elif message.__class__ is list:
            self.peers = message
        else:
            message.tell(None)


def _big(job: Job, peer_class: type[Peer]) -> Outcome:
    pings = job.operations // job.actors // 2

    async def body(system: ActorSystem) -> Outcome:
        over: list[asyncio.Future[None]] = [system.loop.create_future() for _ in range(job.actors)]
        peers = [system.start(peer_class, i, pings, done) for i, done in enumerate(over)]
        for peer in peers:
            await peer.request(peers)
        settle()
        started = now()
        for peer in peers:
            peer.tell(None)
        for done in over:
            await done
        return rate(pings * job.actors * 2, now() - started)

    return in_system(body)


def big(job: Job) -> Outcome:
    """Everybody pings everybody, plain handlers; a ping and its pong are two messages."""
    return _big(job, Peer)


def big_async(job: Job) -> Outcome:
    """Everybody pings everybody, async handlers."""
    return _big(job, AsyncPeer)


class Echo(Actor):
    """Answer one; plain handler."""

    def on_receive(self, message: Any) -> Any:
        return 1


class AsyncEcho(Actor):
    """Answer one; async handler."""

    async def on_receive(self, message: Any) -> Any:
        return 1


class Asker(Actor):
    """Ask one actor after the other."""

    async def on_receive(self, message: Any) -> Any:
        other, times = message
        total = 0
        for _ in range(times):
            total += await other.request("one")
        return total


class Gatherer(Actor):
    """Ask all actors at once."""

    async def on_receive(self, message: Any) -> Any:
        others, rounds = message
        total = 0
        for _ in range(rounds):
            total += sum(await gather(*[other.request("one") for other in others]))
        return total


def ping_pong(job: Job) -> Outcome:
    """One actor asks another, both with async handlers."""

    async def body(system: ActorSystem) -> Outcome:
        asker, echo = system.start(Asker), system.start(AsyncEcho)
        settle()
        started = now()
        check("answers", job.operations, await asker.request((echo, job.operations)))
        return rate(job.operations, now() - started)

    return in_system(body)


def _fork_join(job: Job, worker_class: type[Actor]) -> Outcome:
    rounds = job.operations // job.actors

    async def body(system: ActorSystem) -> Outcome:
        workers = [system.start(worker_class) for _ in range(job.actors)]
        gatherer = system.start(Gatherer)
        settle()
        started = now()
        check("answers", rounds * job.actors, await gatherer.request((workers, rounds)))
        return rate(rounds * job.actors, now() - started)

    return in_system(body)


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker with a plain handler, gathered."""
    return _fork_join(job, Echo)


def fork_join_async(job: Job) -> Outcome:
    """Rounds of one ask to each worker with an async handler, gathered."""
    return _fork_join(job, AsyncEcho)


class Owner(Actor):
    """Start linked actors, named or not; the links keep them, and end them with it."""

    def __init__(self) -> None:
        super().__init__()
        self.last: ActorRef[Echo] | None = None

    async def on_receive(self, message: Any) -> Any:
        count, named = message
        if named:
            for i in range(count):
                self.last = self.spawn(Echo, name=f"worker-{i}")
        else:
            for _ in range(count):
                self.last = self.spawn(Echo)
        assert self.last is not None
        return await self.last.request("one")


def spawn(job: Job) -> Outcome:
    """An actor starts linked actors until the last has answered."""

    async def body(system: ActorSystem) -> Outcome:
        owner = system.start(Owner)
        settle()
        started = now()
        check("answer of the last", 1, await owner.request((job.operations, False)))
        return rate(job.operations, now() - started)

    return in_system(body)


def fairness(job: Job) -> Outcome:
    """A flooded actor beside an idle one, a ticking loop and an HTTP server."""

    async def body(system: ActorSystem) -> Outcome:
        echo = system.start(Echo)
        handled = [0]
        flood = system.start(Flood, handled)
        for _ in range(10_000):
            flood.tell("more")
        return await observe(job.operations / 1e3, lambda: echo.request("one"), lambda: handled[0])

    return in_system(body)


class Flood(Actor):
    """Write to itself, one message for each that it handles: its mailbox never empties."""

    def __init__(self, handled: list[int]) -> None:
        super().__init__()
        self.handled = handled

    def on_receive(self, message: Any) -> Any:
        self.handled[0] += 1
        self.actor_ref.tell(message)


def idle(job: Job) -> Outcome:
    """Actors that nobody wrote to, without name and link."""

    async def body(system: ActorSystem) -> Outcome:
        settle()
        before = resident_bytes()
        for _ in range(job.operations):
            system.start(Echo)
        return Outcome({"bytes": (resident_bytes() - before) / job.operations})

    return in_system(body)


def idle_linked(job: Job) -> Outcome:
    """Actors with a name, linked to the one that started them."""

    async def body(system: ActorSystem) -> Outcome:
        owner = system.start(Owner)
        settle()
        before = resident_bytes()
        await owner.request((job.operations, True))
        return Outcome({"bytes": (resident_bytes() - before) / job.operations})

    return in_system(body)


def idle_used(job: Job) -> Outcome:
    """Actors that have answered once, without name and link."""

    async def body(system: ActorSystem) -> Outcome:
        settle()
        before = resident_bytes()
        answers = 0
        for _ in range(job.operations):
            answers += await system.start(Echo).request("one")
        check("answers", job.operations, answers)
        return Outcome({"bytes": (resident_bytes() - before) / job.operations})

    return in_system(body)


def million(job: Job) -> Outcome:
    """Start all with name and link, let every thousandth answer, stop the system."""

    async def main() -> Outcome:
        async with ActorSystem("bench", stop_timeout_s=100.0) as system:
            owner = system.start(Owner)
            settle()
            started = now()
            await owner.request((job.operations, True))
            alive = now()
            refs = system.actors()[1::1000]
            answers = sum([await ref.request("one") for ref in refs if ref is not owner])
            check("answers", sum(ref is not owner for ref in refs), answers)
            check("actors alive", job.operations + 1, len(system.actors()))
            resident = resident_bytes()
            stopping = now()
            report = await system.stop(timeout=100.0)
            stopped = now()
            check("a clean stop", True, report.clean)
            return Outcome(
                {
                    "resident_mb": resident / 1e6,
                    "start_s": alive - started,
                    "stop_s": stopped - stopping,
                }
            )

    return asyncio.run(main())


def spawn_stop(job: Job) -> Outcome:
    """Batches of actors come and go; memory before and after, once warm."""

    async def body(system: ActorSystem) -> Outcome:
        async def batch() -> None:
            refs = [system.start(Echo) for _ in range(job.actors)]
            await gather(*[ref.request("one") for ref in refs])
            for ref in refs:
                ref.exit("shutdown")
            await system.wait_ended(refs[-1])

        batches = job.operations // job.actors
        for _ in range(max(batches // 5, 2)):
            await batch()
        settle()
        before = resident_bytes()
        started = now()
        for _ in range(batches):
            await batch()
        seconds = now() - started
        settle()
        check("actors left", 0, len(system.actors()))
        leaked = max(resident_bytes() - before, 0)
        cycles = batches * job.actors
        return Outcome({"leaked_bytes": leaked / cycles, "per_s": cycles / seconds})

    return in_system(body)


WORKLOADS = {
    "big": big,
    "big-async": big_async,
    "counting": counting,
    "counting-async": counting_async,
    "fairness": fairness,
    "fork-join": fork_join,
    "fork-join-async": fork_join_async,
    "idle": idle,
    "idle-linked": idle_linked,
    "idle-used": idle_used,
    "million": million,
    "ping-pong": ping_pong,
    "ring": ring,
    "ring-async": ring_async,
    "spawn": spawn,
    "spawn-stop": spawn_stop,
}
