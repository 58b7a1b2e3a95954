"""Tasks and their streams: each item has one outcome, callers see their context, nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

from agenticaiframework.actors import Actor, ActorRef, Registry
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.supervision import Error, Ok, TaskSupervisor

from .calm import until_calm

WHO: ContextVar[str] = ContextVar("who", default="nobody")


class _World:
    """What the run has seen."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.registry = Registry("running", keys="duplicate")
        self.all_ever = Registry("all ever", keys="duplicate")
        self.jobs = TaskSupervisor("jobs", max_children=sim.random.choice([None, 2, 5]))
        self.max_concurrency = sim.random.choice([1, 2, 4])
        self.ordered = sim.random.random() < 0.5
        self.open_sources = 0

    async def work(self, item: tuple[str, int, float]) -> int:
        """Take the time that *item* says, and fail now and then."""
        who, number, delay_s = item
        me = self.registry.register(who, number)
        self.all_ever.register(number, who)
        self.sim.expect(WHO.get() == who, "a task sees its caller's variables", WHO.get())
        WHO.set("the task's own")
        running = self.registry.lookup(who)
        few = len(running) <= self.max_concurrency
        self.sim.expect(few, "a stream runs no more tasks than it may", str(running))
        try:
            await asyncio.sleep(delay_s)
        finally:
            self.registry.unregister(who, me)
        if number % 5 == 4:
            raise ValueError(number)
        return number

    async def items(self, who: str, given: list[tuple[str, int, float]]) -> AsyncIterator[Any]:
        """Yield *given*, at times late."""
        self.open_sources += 1
        try:
            for item in given:
                if item[1] % 3 == 2:
                    await asyncio.sleep(item[2])
                yield item
        finally:
            try:
                await asyncio.sleep(0)  # it may be left just here
            finally:
                self.open_sources -= 1


async def _read(world: _World, who: str, count: int, leave_after: int | None) -> None:
    """Read a stream, to its end or until it is left."""
    sim = world.sim
    WHO.set(who)
    delays = [sim.random.choice([0.0, 0.1, 1.0]) for _ in range(count)]
    given = [(who, number, delay_s) for number, delay_s in enumerate(delays)]
    seen: list[int] = []
    left_at: float | None = None
    stream = world.jobs.stream(
        world.work,
        world.items(who, given),
        max_concurrency=world.max_concurrency,
        ordered=world.ordered,
    )
    try:
        async with aclosing(stream):
            async for outcome in stream:
                _, number, _ = outcome.item
                seen.append(number)
                if isinstance(outcome, Ok):
                    sim.expect(
                        outcome.value == number, "an outcome is that of its item", str(outcome)
                    )
                if len(seen) == leave_after:
                    left_at = sim.time()
                    break
    except Exception as error:
        sim.expect(bool(sim.landed), "a stream ends without an error", f"{who}: {error!r}")
        return
    at_once = left_at is None or sim.time() - left_at < 0.05 or bool(sim.landed)
    sim.expect(at_once, "a stream that is left waits for nothing", f"{who}: {sim.time()}")
    left = world.registry.lookup(who)
    sim.expect(not left or bool(sim.landed), "a stream leaves no task behind", str(left))
    sim.expect(len(set(seen)) == len(seen), "no item has two outcomes", f"{who}: {seen}")
    if world.ordered:
        sim.expect(seen == sorted(seen), "ordered outcomes come in order", f"{who}: {seen}")
    if leave_after is None:
        sim.expect(len(seen) == count, "each item has an outcome", f"{who}: {seen}")
    sim.expect(WHO.get() == who, "what a task sets stays with it", WHO.get())


async def _single(world: _World, who: str) -> None:
    """Start tasks one by one, and end some of them."""
    sim = world.sim
    WHO.set(who)
    for number in range(4):
        reason = sim.random.choice([None, "normal", "shutdown", "kill", "timeout"])
        try:
            task = await world.jobs.async_(_sleep_for, 1.0, value=number)
        except Exception:  # refused, or its start was made to fail
            continue
        if reason is not None:
            task.cancel(reason)
        outcome = await task.outcome(timeout=10_000)
        if reason is not None:
            ended = isinstance(outcome, Error)
            sim.expect(ended, "a cancelled task ends", f"{who}: {reason} gave {outcome}")
        elif isinstance(outcome, Ok):
            sim.expect(outcome.value == number, "a task gives its result", str(outcome))


async def _sleep_for(delay_s: float, *, value: int) -> int:
    await asyncio.sleep(delay_s)
    return value


class Owner(Actor):
    """Starts a linked task that would run for ever."""

    async def on_receive(self, message: Any) -> Any:
        return await message.async_(asyncio.sleep, 1_000_000)


async def tasks(sim: Simulation) -> None:
    """Streams and single tasks side by side; at the end nothing of them is left."""
    world = _World(sim)
    try:
        await world.jobs.start()
    except Exception:
        return  # the supervisor itself has met a fault
    try:
        owner: ActorRef[Any] = sim.system.start(Owner, _name="owner")
        linked: Any = None
        try:
            linked = await owner.request(world.jobs, timeout=100)
        except Exception:
            owner.kill()  # it was refused, or the owner has met a fault
        readers = [
            _read(
                world, f"reader-{n}", sim.random.randint(0, 9), sim.random.choice([None, None, 2])
            )
            for n in range(3)
        ]
        if linked is not None:
            if sim.random.random() < 0.5:
                owner.exit("gone")
            else:
                sim.system.end_actor(owner, "normal")
            await sim.system.wait_ended(owner)
            await asyncio.sleep(2000)
            sim.expect(linked.done, "a linked task ends with its caller", str(linked))
        await asyncio.gather(*readers, _single(world, "single"))
        await until_calm(sim, 2000)
        await asyncio.sleep(1)  # One whose start was given up ends without having begun.
        left = [ref for ref in sim.system.actors() if ref.name is None]
        sim.expect(not left, "no task is left", str(left))
    finally:
        await world.jobs.stop()
    sim.expect(world.open_sources == 0, "each source is closed", str(world.open_sources))
    for registry in (world.registry, world.all_ever):
        sim.expect(not registry.select(), "entries go with their actor", str(registry.select()))
