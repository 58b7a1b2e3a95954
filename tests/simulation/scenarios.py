"""Small systems for the tests of the simulation, right and wrong ones."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import Actor, ActorRef
from agenticaiframework.actors.simulation import Simulation


class Counter(Actor):
    """Counts by messages: ``add``, ``get``, and ``("set", n)`` for those who count themselves."""

    crash_on_ask_error = True

    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    def on_receive(self, message: Any) -> Any:
        if message == "add":
            self.value += 1
        elif message == "get":
            return self.value
        elif isinstance(message, tuple):
            self.value = message[1]
        return self.value


class Adder(Actor):
    """Adds one by reading and writing back: wrong as soon as two of them overlap."""

    def __init__(self, counter: ActorRef[Counter]) -> None:
        super().__init__()
        self.counter = counter

    async def on_receive(self, message: Any) -> Any:
        value = await self.counter.request("get")
        self.counter.tell(("set", value + 1))
        return value


class Forwarder(Actor):
    """Sends on what it gets."""

    def __init__(self, to: ActorRef[Any]) -> None:
        super().__init__()
        self.to = to

    def on_receive(self, message: Any) -> None:
        self.to.tell(message)


class Sink(Actor):
    """Keeps what it gets; ``get`` returns it."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if message == "get":
            return list(self.got)
        self.got.append(message)
        return None


async def lost_update(sim: Simulation) -> int:
    """Two adders that may overlap: in the plain order they do not."""
    counter = Counter.start()
    first, second = Adder.start(counter), Adder.start(counter)
    first.tell("go")
    # One hop later, so that the plain order happens to be a good one.
    Forwarder.start(Forwarder.start(Forwarder.start(second))).tell("go")
    await asyncio.sleep(1)
    total = await counter.request("get", timeout=5)
    sim.expect(total == 2, "no update is lost", f"the total is {total} instead of 2")
    return int(total)


async def forgets_the_asker(sim: Simulation) -> None:
    """An actor that takes over an answer and never gives it."""

    class Forgetful(Actor):
        def on_receive(self, message: Any) -> None:
            self.kept = self.defer_reply()

    await sim.attempt(Forgetful.start().request("hello", timeout=10))


async def three_askers(sim: Simulation) -> list[Any]:
    """Three actors ask one another actor; every outcome is fine."""
    counter = Counter.start()

    class Asker(Actor):
        async def on_receive(self, message: Any) -> Any:
            return await counter.request(message, timeout=30)

    askers = [Asker.start() for _ in range(3)]
    outcomes = [
        await sim.attempt(asker.request("add", timeout=60)) for _ in range(2) for asker in askers
    ]
    return [outcome.value for outcome in outcomes]
