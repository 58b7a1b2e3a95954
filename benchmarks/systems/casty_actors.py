"""Peer: casty, virtual actors over a Rust core; an actor is an async function that reads its inbox.

Supervision is the restart of a body that raised, after a backoff, which is set to nothing here.
"""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from casty import ActorSystem, Askable, Backoff, Context, actor

from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS = ("casty",)


@dataclass(frozen=True)
class One:
    """A message to count."""


@dataclass(frozen=True)
class Crash:
    """A message that crashes its reader."""


@dataclass(frozen=True)
class Ask(Askable[int]):
    """A question for a number."""


@dataclass(frozen=True)
class Work(Askable[int]):
    """How often to ask how many others."""

    rounds: int
    others: int


@actor(initial=0)
async def counter(ctx: Context[int, One | Ask]) -> None:
    """Count in a local variable: the state is for what must survive."""
    count = 0
    async for message in ctx.inbox:
        match message:
            case One():
                count += 1
            case Ask():
                message.reply_to.tell(count)


@actor(initial=0)
async def echo(ctx: Context[int, Ask]) -> None:
    """Answer one."""
    async for message in ctx.inbox:
        message.reply_to.tell(1)


@actor(initial=0)
async def fragile(ctx: Context[int, Crash | Ask]) -> None:
    """Crash or answer one."""
    async for message in ctx.inbox:
        match message:
            case Crash():
                raise RuntimeError("crashed")
            case Ask():
                message.reply_to.tell(1)


@actor(initial=0, ask_timeout=timedelta(minutes=1))
async def asker(ctx: Context[int, Work]) -> None:
    """Ask one after the other, or all at once."""
    async for message in ctx.inbox:
        total = 0
        others = [ctx.system.ref(echo, str(i)) for i in range(message.others)]
        for _ in range(message.rounds):
            if len(others) == 1:
                total += await others[0].ask(Ask())
            else:
                total += sum(await asyncio.gather(*(other.ask(Ask()) for other in others)))
        message.reply_to.tell(total)


@actor(initial=0, ask_timeout=timedelta(minutes=1))
async def producer(ctx: Context[int, Work]) -> None:
    """Tell a counter as often as the message says, then answer what it has counted."""
    async for message in ctx.inbox:
        target = ctx.system.ref(counter, "0")
        for _ in range(message.rounds):
            target.tell(One())
        message.reply_to.tell(await target.ask(Ask()))


def counting(job: Job) -> Outcome:
    """One producer, one counter."""

    async def main() -> float:
        async with ActorSystem(ask_timeout=timedelta(minutes=1)) as system:
            client = system.ref(producer, "0")
            check("warm-up", 1, await client.ask(Work(1, 1)))
            settle()
            started = now()
            check("messages counted", job.operations + 1, await client.ask(Work(job.operations, 1)))
            return now() - started

    return rate(job.operations, asyncio.run(main()))


def _asks(others: int, rounds: int) -> Outcome:
    async def main() -> float:
        async with ActorSystem(ask_timeout=timedelta(minutes=1)) as system:
            client = system.ref(asker, "0")
            await client.ask(Work(1, others))
            settle()
            started = now()
            check("answers", rounds * others, await client.ask(Work(rounds, others)))
            return now() - started

    return rate(rounds * others, asyncio.run(main()))


def ping_pong(job: Job) -> Outcome:
    """One actor asks another."""
    return _asks(1, job.operations)


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker, gathered."""
    return _asks(job.actors, job.operations // job.actors)


def crash_restart(job: Job) -> Outcome:
    """Crash, and ask until the next incarnation answers: the mailbox is kept, so one ask is enough."""

    async def main() -> float:
        at_once = Backoff(first=timedelta(0), limit=timedelta(0), factor=1)
        async with ActorSystem(backoff=at_once, observer=_silent) as system:
            child = system.ref(fragile, "0")
            check("warm-up", 1, await child.ask(Ask()))
            settle()
            started = now()
            total = 0
            for _ in range(job.operations):
                child.tell(Crash())
                total += await child.ask(Ask())
            check("answers after a crash", job.operations, total)
            return now() - started

    return rate(job.operations, asyncio.run(main()))


def _silent(event: object) -> None:
    """Drop the event: the failures are wanted."""


WORKLOADS = {
    "counting-async": counting,
    "crash-restart": crash_restart,
    "fork-join-async": fork_join,
    "ping-pong": ping_pong,
}
