"""Peer: everything-is-an-actor, an asyncio task and queue an actor, restarts by the parent.

A restart puts a new instance into the same cell and task. Its messages and answers are awaited.
"""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import logging
from typing import Any

from actor_for_agents import Actor, ActorSystem, MemoryMailbox, OneForOneStrategy

from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS = ("everything-is-an-actor",)
WAIT_S = 60.0
logging.disable(logging.CRITICAL)


class Counter(Actor):
    """Count; answer the count when asked."""

    async def on_started(self) -> None:
        self.count = 0

    async def on_receive(self, message: Any) -> Any:
        if message == "how many":
            return self.count
        self.count += 1
        return 1


class Producer(Actor):
    """Tell a counter as often as the message says."""

    async def on_receive(self, message: Any) -> Any:
        counter, times = message
        for _ in range(times):
            await counter.tell("one")
        return await counter.ask("how many", timeout=WAIT_S)


class Asker(Actor):
    """Ask one actor after the other, or all at once."""

    async def on_receive(self, message: Any) -> Any:
        others, rounds = message
        total = 0
        for _ in range(rounds):
            if len(others) == 1:
                total += await others[0].ask("one")
            else:
                total += sum(
                    await asyncio.gather(*(other.ask("one", timeout=WAIT_S) for other in others))
                )
        return total


class Node(Actor):
    """Hand a counted-down token to the next one."""

    async def on_receive(self, message: Any) -> Any:
        if not isinstance(message, int):
            self.following, self.done = message
        elif message:
            await self.following.tell(message - 1)
        else:
            self.done.set_result(None)


def _mailbox(job: Job) -> MemoryMailbox:
    """Return a mailbox that holds all of the workload: the default drops what is over 256."""
    return MemoryMailbox(job.operations + 10)


def counting(job: Job) -> Outcome:
    """One producer, one counter."""

    async def main() -> float:
        system = ActorSystem("bench")
        counter = await system.spawn(Counter, "counter", mailbox=_mailbox(job))
        producer = await system.spawn(Producer, "producer")
        settle()
        started = now()
        counted = await producer.ask((counter, job.operations), timeout=WAIT_S)
        seconds = now() - started
        check("messages counted", job.operations, counted)
        return seconds

    return rate(job.operations, asyncio.run(main()))


def _asks(others: int, rounds: int) -> Outcome:
    async def main() -> float:
        system = ActorSystem("bench")
        counters = [await system.spawn(Counter, f"counter-{i}") for i in range(others)]
        asker = await system.spawn(Asker, "asker")
        settle()
        started = now()
        total = await asker.ask((counters, rounds), timeout=WAIT_S)
        seconds = now() - started
        check("answers", others * rounds, total)
        return seconds

    return rate(others * rounds, asyncio.run(main()))


def ping_pong(job: Job) -> Outcome:
    """One actor asks another."""
    return _asks(1, job.operations)


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker, gathered."""
    return _asks(job.actors, job.operations // job.actors)


def ring(job: Job) -> Outcome:
    """A token goes round until it is counted down."""

    async def main() -> float:
        system = ActorSystem("bench")
        done = asyncio.get_running_loop().create_future()
        nodes = [await system.spawn(Node, f"node-{i}") for i in range(job.actors)]
        for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            await node.ask((following, done))
        settle()
        started = now()
        await nodes[0].tell(job.operations)
        await done
        return now() - started

    return rate(job.operations, asyncio.run(main()))


def spawn(job: Job) -> Outcome:
    """Start actors, one after the other, as its interface has it."""

    async def main() -> float:
        system = ActorSystem("bench")
        settle()
        started = now()
        actors = [await system.spawn(Counter, f"counter-{i}") for i in range(job.operations)]
        seconds = now() - started
        check("answer of the last", 1, await actors[-1].ask("one"))
        return seconds

    return rate(job.operations, asyncio.run(main()))


class Fragile(Actor):
    """Crash when told so, answer one otherwise."""

    async def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise RuntimeError(message)
        return 1


class Parent(Actor):
    """Restart children for ever; start one more when told its name."""

    def supervisor_strategy(self) -> OneForOneStrategy:
        return OneForOneStrategy(max_restarts=1_000_000_000, within_seconds=1.0)

    async def on_receive(self, message: Any) -> Any:
        first, last = message
        children = [await self.context.spawn(Fragile, f"child-{i}") for i in range(first, last)]
        return children[0]


async def _crashes(child: Any, times: int) -> float:
    settle()
    started = now()
    total = 0
    for _ in range(times):
        await child.tell("crash")
        total += await child.ask("one")
    seconds = now() - started
    check("answers after a crash", times, total)
    return seconds


def crash_restart(job: Job) -> Outcome:
    """Crash, and ask the next incarnation."""

    async def main() -> float:
        parent = await ActorSystem("bench").spawn(Parent, "parent")
        return await _crashes(await parent.ask((0, 1)), job.operations)

    return rate(job.operations, asyncio.run(main()))


def tree(job: Job) -> Outcome:
    """Start and stop all children of one parent."""

    async def main() -> Outcome:
        system = ActorSystem("bench")
        parent = await system.spawn(Parent, "parent")
        settle()
        started = now()
        child = await parent.ask((0, job.operations), timeout=WAIT_S)
        running = now()
        check("answer of a child", 1, await child.ask("one"))
        stopping = now()
        parent.stop()
        await parent.join()
        return Outcome({"start_s": running - started, "stop_s": now() - stopping})

    return asyncio.run(main())


def restart_among(job: Job) -> Outcome:
    """One restart among ten children, and among many."""

    async def among(children: int) -> float:
        parent = await ActorSystem("bench").spawn(Parent, "parent")
        child = await parent.ask((0, children), timeout=WAIT_S)
        return await _crashes(child, job.operations) / job.operations * 1e6

    few, many = asyncio.run(among(10)), asyncio.run(among(job.actors))
    return Outcome({"times": many / few, "few_us": few, "many_us": many})


WORKLOADS = {
    "counting-async": counting,
    "crash-restart": crash_restart,
    "fork-join-async": fork_join,
    "ping-pong": ping_pong,
    "restart-among": restart_among,
    "ring-async": ring,
    "spawn": spawn,
    "tree": tree,
}
