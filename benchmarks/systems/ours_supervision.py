"""This project's supervision: `agenticaiframework.supervision.Supervisor`, which is OTP's supervisor."""

from __future__ import annotations

import asyncio
from typing import Any

from loguru import logger

from agenticaiframework.actors import Actor, ActorRef, ActorSystem, Exit
from agenticaiframework.supervision import (
    ChildSpec,
    Ok,
    Supervisor,
    SupervisorFlags,
    count_children,
    start_child,
)
from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check
from benchmarks.systems.ours_kernel import Echo, in_system

DISTRIBUTIONS: tuple[str, ...] = ("pykka",)

# Every system is measured with its logs off: each would time its terminal else.
logger.remove()

FLAGS = SupervisorFlags(intensity=1_000_000_000, period_s=1)
"""No limit that a benchmark could reach; the window is kept all the same."""


class Fragile(Actor):
    """Say who it is at every start; crash when told so; answer one otherwise."""

    def __init__(self, client: ActorRef[Client]) -> None:
        super().__init__()
        self.client = client

    def on_start(self) -> None:
        self.client.tell(self.actor_ref)

    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            self.exit("crashed")
        return 1


class Client(Actor):
    """Crash a child, wait for its next incarnation, ask it; so many times, then resolve the future."""

    def __init__(self, times: int, done: asyncio.Future[tuple[int, float]]) -> None:
        super().__init__()
        self.left = times
        self.answers = 0
        self.done = done
        self.started = 0.0

    async def on_receive(self, message: Any) -> Any:
        if not self.started:
            settle()
            self.started = now()
        else:
            self.answers += await message.request("one")
        if self.left:
            self.left -= 1
            message.tell("crash")
        else:
            self.done.set_result((self.answers, now() - self.started))


async def _crashes(system: ActorSystem, supervisor: ActorRef[Supervisor], times: int) -> float:
    done: asyncio.Future[tuple[int, float]] = system.loop.create_future()
    client = system.start(Client, times, done)
    await start_child(supervisor, ChildSpec("fragile", (Fragile, client)))
    answers, seconds = await done
    check("answers after a crash", times, answers)
    return seconds


def crash_restart(job: Job) -> Outcome:
    """Crash, restart, first answer, one after the other."""

    async def body(system: ActorSystem) -> Outcome:
        supervisor = system.start(Supervisor, FLAGS)
        return rate(job.operations, await _crashes(system, supervisor, job.operations))

    return in_system(body)


async def _fill(supervisor: ActorRef[Supervisor], children: int) -> None:
    for i in range(children):
        result = await start_child(supervisor, ChildSpec(i, Echo))
        if not isinstance(result, Ok):
            check("a started child", Ok, result)


class Root(Actor):
    """Start a supervisor with its children as its parent; stop it when told so, and time both."""

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exit):
            return None
        self.trap_exit = True
        settle()
        started = now()
        specs = [ChildSpec(i, Echo) for i in range(message)]
        supervisor = await self.start_link(Supervisor, FLAGS, specs)
        running = now()
        assert supervisor is not None, "its init does not decline"
        counts = await count_children(supervisor)
        check("children running", message, counts.active)
        stopping = now()
        supervisor.exit("shutdown")
        check("the exit reason", "shutdown", await self.wait_down(supervisor))
        return running - started, now() - stopping


def tree(job: Job) -> Outcome:
    """A supervisor starts with all its children, and stops them in reverse order."""

    async def body(system: ActorSystem) -> Outcome:
        root = system.start(Root)
        start_s, stop_s = await root.request(job.operations)
        check("actors left", [root], system.actors())
        return Outcome({"start_s": start_s, "stop_s": stop_s})

    return in_system(body)


def restart_among(job: Job) -> Outcome:
    """One restart among ten children, and among many."""

    async def among(system: ActorSystem, children: int) -> float:
        supervisor = system.start(Supervisor, FLAGS)
        await _fill(supervisor, children)
        return await _crashes(system, supervisor, job.operations) / job.operations * 1e6

    async def body(system: ActorSystem) -> Outcome:
        few, many = await among(system, 10), await among(system, job.actors)
        return Outcome({"times": many / few, "few_us": few, "many_us": many})

    return in_system(body)


WORKLOADS = {"crash-restart": crash_restart, "restart-among": restart_among, "tree": tree}
