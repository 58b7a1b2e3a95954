"""Peer: Thespian's simple system base, all actors in one process and thread, plain handlers, no ask between actors."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import logging

from thespian.actors import ActorSystem, ActorTypeDispatcher

from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS = ("thespian",)
logging.disable(logging.CRITICAL)


class Counter(ActorTypeDispatcher):
    """Count; answer the count when asked."""

    count = 0

    def receiveMsg_int(self, message, sender):
        """Count one."""
        self.count += 1

    def receiveMsg_str(self, message, sender):
        """Answer the count."""
        self.send(sender, self.count)


class Producer(ActorTypeDispatcher):
    """Tell a counter as often as the message says, then pass on what it counted."""

    def receiveMsg_tuple(self, message, sender):
        """Produce."""
        self.client = sender
        counter, times = message
        for _ in range(times):
            self.send(counter, 1)
        self.send(counter, "how many")

    def receiveMsg_int(self, message, sender):
        """Tell the client the count."""
        self.send(self.client, message)


class Node(ActorTypeDispatcher):
    """Hand a counted-down token to the next one."""

    def receiveMsg_dict(self, message, sender):
        """Learn the next node."""
        self.next = message["next"]
        self.send(sender, "known")

    def receiveMsg_tuple(self, message, sender):
        """Pass on a token and who waits for its end."""
        left, client = message
        client = client or sender
        if left:
            self.send(self.next, (left - 1, client))
        else:
            self.send(client, "done")


class Peer(ActorTypeDispatcher):
    """Ping one neighbour after the other, answer pings."""

    def receiveMsg_dict(self, message, sender):
        """Learn the peers and the judge."""
        self.__dict__.update(message)
        self.send(sender, "known")

    def receiveMsg_str(self, message, sender):
        """Answer a ping; after a pong, send the next."""
        if message == "ping":
            self.send(sender, "pong")
        elif self.left:
            self.left -= 1
            self.turn = (self.turn + 17) % len(self.peers)
            self.send(self.peers[self.turn], "ping")
        else:
            self.send(self.judge, 1)


class Judge(ActorTypeDispatcher):
    """Start all peers and tell the client when the last has ended."""

    def receiveMsg_list(self, message, sender):
        """Start them."""
        self.client, self.left = sender, len(message)
        for peer in message:
            self.send(peer, "start")

    def receiveMsg_int(self, message, sender):
        """One has ended."""
        self.left -= 1
        if not self.left:
            self.send(self.client, "done")


def counting(job: Job) -> Outcome:
    """One producer, one counter."""
    system = ActorSystem("simpleSystemBase")
    counter = system.createActor(Counter)
    producer = system.createActor(Producer)
    settle()
    started = now()
    counted = system.ask(producer, (counter, job.operations), 60)
    seconds = now() - started
    check("messages counted", job.operations, counted)
    return rate(job.operations, seconds)


def ring(job: Job) -> Outcome:
    """A token goes round until it is counted down."""
    system = ActorSystem("simpleSystemBase")
    nodes = [system.createActor(Node) for _ in range(job.actors)]
    for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        system.ask(node, {"next": following}, 10)
    settle()
    started = now()
    said = system.ask(nodes[0], (job.operations, None), 60)
    seconds = now() - started
    check("the end", "done", said)
    return rate(job.operations, seconds)


def big(job: Job) -> Outcome:
    """Everybody pings everybody; a ping and its pong are two messages."""
    pings = job.operations // job.actors // 2
    system = ActorSystem("simpleSystemBase")
    judge = system.createActor(Judge)
    peers = [system.createActor(Peer) for _ in range(job.actors)]
    for turn, peer in enumerate(peers):
        system.ask(peer, {"peers": peers, "turn": turn, "left": pings, "judge": judge}, 10)
    settle()
    started = now()
    said = system.ask(judge, peers, 60)
    seconds = now() - started
    check("the end", "done", said)
    return rate(pings * job.actors * 2, seconds)


def spawn(job: Job) -> Outcome:
    """Start actors."""
    system = ActorSystem("simpleSystemBase")
    settle()
    started = now()
    actors = [system.createActor(Counter) for _ in range(job.operations)]
    seconds = now() - started
    check("count of the last", 0, system.ask(actors[-1], "how many", 10))
    return rate(job.operations, seconds)


WORKLOADS = {"big": big, "counting": counting, "ring": ring, "spawn": spawn}
