"""Peer: pykka's ThreadingActor, a thread and a queue an actor."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import threading
from typing import Any

import pykka

from benchmarks.measure import now, rate, resident_bytes, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS = ("pykka",)


class Counter(pykka.ThreadingActor):
    """Count to a target, then set an event."""

    def __init__(self, target: int, done: threading.Event) -> None:
        super().__init__()
        self.count = 0
        self.target = target
        self.done = done

    def on_receive(self, message: Any) -> Any:
        self.count += 1
        if self.count == self.target:
            self.done.set()
        return 1


class Producer(pykka.ThreadingActor):
    """Tell a counter as often as the message says."""

    def __init__(self, counter: Any) -> None:
        super().__init__()
        self.counter = counter

    def on_receive(self, message: Any) -> None:
        tell = self.counter.tell
        for _ in range(message):
            tell("one")


def counting(job: Job) -> Outcome:
    """One producer, one counter."""
    done = threading.Event()
    counter = Counter.start(job.operations, done)
    producer = Producer.start(counter)
    settle()
    started = now()
    producer.tell(job.operations)
    done.wait()
    return rate(job.operations, now() - started)


class Node(pykka.ThreadingActor):
    """Hand a counted-down token to the next one."""

    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self.next: Any = None
        self.done = done

    def on_receive(self, message: Any) -> None:
        if not isinstance(message, int):
            self.next = message
        elif message:
            self.next.tell(message - 1)
        else:
            self.done.set()


def ring(job: Job) -> Outcome:
    """A token goes round until it is counted down."""
    done = threading.Event()
    nodes = [Node.start(done) for _ in range(job.actors)]
    for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        node.ask(following)
    settle()
    started = now()
    nodes[0].tell(job.operations)
    done.wait()
    return rate(job.operations, now() - started)


class Peer(pykka.ThreadingActor):
    """Ping one neighbour after the other, answer pings."""

    def __init__(self, turn: int, pings: int, over: threading.Semaphore) -> None:
        super().__init__()
        self.turn = turn
        self.left = pings
        self.over = over
        self.peers: list[Any] = []

    def on_receive(self, message: Any) -> None:
        if isinstance(message, list):
            self.peers = message
        elif message is not None:
            message.tell(None)
        elif self.left:
            self.left -= 1
            self.turn = (self.turn + 17) % len(self.peers)
            self.peers[self.turn].tell(self.actor_ref)
        else:
            self.over.release()


def big(job: Job) -> Outcome:
    """Everybody pings everybody; a ping and its pong are two messages."""
    pings = job.operations // job.actors // 2
    over = threading.Semaphore(0)
    peers = [Peer.start(i, pings, over) for i in range(job.actors)]
    for peer in peers:
        peer.ask(peers)
    settle()
    started = now()
    for peer in peers:
        peer.tell(None)
    for _ in peers:
        over.acquire()
    return rate(pings * job.actors * 2, now() - started)


class Echo(pykka.ThreadingActor):
    """Answer one."""

    def on_receive(self, message: Any) -> Any:
        return 1


class Asker(pykka.ThreadingActor):
    """Ask one other actor, or many at once, as often as the message says."""

    def __init__(self, others: list[Any]) -> None:
        super().__init__()
        self.others = others

    def on_receive(self, message: Any) -> Any:
        total = 0
        for _ in range(message):
            futures = [other.ask("one", block=False) for other in self.others]
            total += sum(future.get() for future in futures)
        return total


def _asks(actors: int, rounds: int) -> Outcome:
    asker = Asker.start([Echo.start() for _ in range(actors)])
    settle()
    started = now()
    total = asker.ask(rounds)
    seconds = now() - started
    check("answers", rounds * actors, total)
    return rate(total, seconds)


def ping_pong(job: Job) -> Outcome:
    """One actor asks another."""
    return _asks(1, job.operations)


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker, gathered."""
    return _asks(job.actors, job.operations // job.actors)


def spawn(job: Job) -> Outcome:
    """Start actors; each has its thread running when ``start`` returns."""
    settle()
    started = now()
    actors = [Echo.start() for _ in range(job.operations)]
    seconds = now() - started
    check("actors alive", job.operations, sum(actor.is_alive() for actor in actors))
    return rate(job.operations, seconds)


def idle(job: Job) -> Outcome:
    """Actors that nobody wrote to."""
    settle()
    before = resident_bytes()
    actors = [Echo.start() for _ in range(job.operations)]
    return Outcome({"bytes": (resident_bytes() - before) / len(actors)})


def idle_used(job: Job) -> Outcome:
    """Actors that have answered once."""
    settle()
    before = resident_bytes()
    actors = [Echo.start() for _ in range(job.operations)]
    answers = sum(actor.ask("one") for actor in actors)
    check("answers", job.operations, answers)
    return Outcome({"bytes": (resident_bytes() - before) / len(actors)})


def spawn_stop(job: Job) -> Outcome:
    """Batches of actors come and go; memory before and after, once warm."""

    def batch() -> None:
        actors = [Echo.start() for _ in range(job.actors)]
        for actor in actors:
            actor.stop()

    batches = job.operations // job.actors
    for _ in range(max(batches // 5, 2)):
        batch()
    settle()
    before = resident_bytes()
    started = now()
    for _ in range(batches):
        batch()
    seconds = now() - started
    settle()
    cycles = batches * job.actors
    return Outcome(
        {"leaked_bytes": max(resident_bytes() - before, 0) / cycles, "per_s": cycles / seconds}
    )


WORKLOADS = {
    "big": big,
    "counting": counting,
    "fork-join": fork_join,
    "idle": idle,
    "idle-used": idle_used,
    "ping-pong": ping_pong,
    "ring": ring,
    "spawn": spawn,
    "spawn-stop": spawn_stop,
}
