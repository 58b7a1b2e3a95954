"""Programs of several parties that yield, wait, wake and cancel each other: in handlers they take their
steps in the order in which tasks do.

Virtual time without a seed has asyncio's order, and no real clock that could let two timers race.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loops import Runs, on_loop
from puppets import Puppet

from agenticaiframework.actors import ActorRef, ActorSystem

OPERATIONS = (
    "yield",
    "call soon",
    "set",
    "wait",
    "cancel",
    "event",
    "condition",
    "timeout of zero",
    "cancel a task",
    "future",
    "tell",
    "gather",
    "queue",
)
PLACES = 3
"""Futures, events, conditions and queues, of which a step uses one."""

Program = list[list[tuple[str, int]]]


def program_of(seed: int) -> Program:
    rng = random.Random(seed)
    return [
        [(rng.choice(OPERATIONS), rng.randrange(PLACES)) for _ in range(rng.randint(1, 8))]
        for _ in range(rng.randint(2, 4))
    ]


class World:
    """What the parties of one run share, and the log of their steps."""

    def __init__(self, plain: ActorRef[Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.plain = plain
        self.log: list[Any] = []
        self.tasks: dict[int, Any] = {}
        self.futures = [self.loop.create_future() for _ in range(PLACES)]
        self.events = [asyncio.Event() for _ in range(PLACES)]
        self.conditions = [asyncio.Condition() for _ in range(PLACES)]
        self.queues: list[asyncio.Queue[int]] = [asyncio.Queue(1) for _ in range(PLACES)]

    async def party(self, number: int, steps: list[tuple[str, int]]) -> None:
        self.tasks[number] = asyncio.current_task()
        say = self.log.append
        try:
            for step, (operation, place) in enumerate(steps):
                say((number, step, operation, place))
                await self.do(number, operation, place)
        except TimeoutError:
            say((number, "timed out"))
        except asyncio.CancelledError:
            say((number, "cancelled"))
            await asyncio.sleep(0)
            say((number, "cleaned up"))
        say((number, "ends"))

    async def do(self, number: int, operation: str, place: int) -> None:
        if operation == "yield":
            await asyncio.sleep(0)
        elif operation == "call soon":
            self.loop.call_soon(self.log.append, (number, "called"))
        elif operation == "set":
            _set(self.futures[place])
        elif operation == "wait":
            async with asyncio.timeout(0.02):
                await asyncio.shield(self.futures[place])
        elif operation == "cancel":
            task = self.tasks.get(place)
            if task is not None and not task.done():
                task.cancel()
        elif operation == "event":
            self.events[place].set()
            await asyncio.sleep(0)
            self.events[place].clear()
        elif operation == "condition":
            await self.use_condition(self.conditions[place])
        elif operation == "timeout of zero":
            async with asyncio.timeout(0):
                await asyncio.sleep(0)
                self.log.append((number, "went on"))
        elif operation == "cancel a task":
            task = self.loop.create_task(asyncio.sleep(0))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            self.log.append((number, task.done() and task.cancelled()))
        elif operation == "future":
            future: asyncio.Future[None] = self.loop.create_future()
            self.loop.call_soon(_set, future)
            await future
        elif operation == "tell":
            self.plain.tell(number)
        elif operation == "gather":
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0), return_exceptions=True)
        else:
            queue = self.queues[place]
            await (queue.get() if queue.full() else queue.put(number))

    async def use_condition(self, condition: asyncio.Condition) -> None:
        async with condition:
            condition.notify()
            try:
                await asyncio.wait_for(condition.wait(), 0.01)
            except TimeoutError:
                pass


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def in_tasks(_system: ActorSystem, parties: list[Callable[[], Awaitable[None]]]) -> None:
    made = [asyncio.ensure_future(party()) for party in parties]
    await asyncio.gather(*made, return_exceptions=True)


async def in_handlers(system: ActorSystem, parties: list[Callable[[], Awaitable[None]]]) -> None:
    made = [system.start(Runs).request(party) for party in parties]
    await asyncio.gather(*made, return_exceptions=True)


@pytest.mark.parametrize("seed", range(0, 400, 25))
def test_handlers_take_their_steps_in_the_order_of_tasks(seed: int) -> None:
    async def main(system: ActorSystem) -> None:
        for number in range(seed, seed + 25):
            program = program_of(number)
            logs: list[list[Any]] = []
            for run in (in_tasks, in_handlers):
                world = World(system.start(Puppet))
                await run(
                    system,
                    [
                        lambda n=n, steps=steps, world=world: world.party(n, steps)
                        for n, steps in enumerate(program)
                    ],
                )
                logs.append(world.log)
            assert logs[1] == logs[0], f"program {number}: {program}"

    on_loop("simulated", main)
