"""Handlers that block: they run elsewhere, and what they send, ask and answer comes from outside."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agenticaiframework.actors import Actor, ActorDied, ActorRef, Agent, MailboxFull
from agenticaiframework.actors.simulation import Simulation


class Sink(Actor):
    """Takes what the blocking handlers send."""

    def __init__(self, got: dict[str, list[int]]) -> None:
        super().__init__()
        self.got = got

    def on_receive(self, message: tuple[str, int]) -> None:
        sender, number = message
        self.got.setdefault(sender, []).append(number)


async def threads(sim: Simulation) -> None:
    """Agents and actors whose handlers block; every ask ends, and what they tell comes in order."""
    rng = sim.random
    got: dict[str, list[int]] = {}
    handled: dict[str, list[int]] = {}
    sink = sim.system.start(Sink, got, _name="sink")
    pause_s = rng.choice([0.0, 0.01, 1.0])

    def work(name: str, number: int, target: ActorRef[Any]) -> int:
        handled.setdefault(name, []).append(number)
        if number % 3 == 0:
            time.sleep(pause_s)
        try:
            target.tell((name, number))
        except (ActorDied, MailboxFull):
            pass
        return number

    class Blocking(Actor):
        dispatcher = rng.choice(["thread", "pinned"])

        def on_receive(self, message: int) -> int:
            return work("actor", message, sink)

    def handler(name: str) -> Any:
        return lambda number: work(name, number, sink)

    agents = [Agent(f"agent{n}", handler=handler(f"agent{n}")) for n in range(2)]
    actor = sim.system.start(Blocking, _name="actor")
    asked: list[tuple[int, Any]] = []
    for number in range(1, 25):
        target: Any = rng.choice([*agents, actor])
        if target is actor and not actor.is_alive():
            continue
        if rng.random() < 0.6:
            asked.append((number, target.request(number, timeout=2000)))
        else:
            target.tell(number)
        if rng.random() < 0.2:
            await asyncio.sleep(rng.choice([0, 0.01, 2]))
    for number, request in asked:
        outcome = await sim.attempt(request)
        sim.expect(outcome.ok or sim.landed, "an ask without faults is answered", f"{number}")
        sim.expect(
            not outcome.ok or outcome.value == number, "the answer is that to the question",
            f"asked {number}, got {outcome.value!r}",
        )  # fmt: skip
    await asyncio.sleep(5000)
    for name, numbers in handled.items():
        sim.expect(
            len(set(numbers)) == len(numbers), "no message is handled twice", f"{name}: {numbers}"
        )
    if not sim.landed:
        sim.expect(got == handled, "what a thread tells arrives in order", f"{got}, not {handled}")
