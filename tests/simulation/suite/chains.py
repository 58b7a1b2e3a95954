"""Actors that have the next one handle a message at once, inside their own turn, where it is idle."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import Actor, ActorDied, ActorRef, MailboxFull
from agenticaiframework.actors.simulation import Simulation

LENGTH = 3


class Planned(Exception):
    """What a link of the chain raises where the plan says so."""


class Link(Actor):
    """Hands each number on to the next link, at once if that is idle."""

    def __init__(
        self, seen: list[list[int]], place: int, after: ActorRef[Any] | None, leaves: bool
    ) -> None:
        super().__init__()
        self.leaves = leaves
        self.seen = seen[place]
        self.after = after

    def on_start(self) -> None:
        self.seen.append(0)

    def on_receive(self, number: int) -> None:
        # The number before the first stands for the start.
        self.seen.append(number)
        if number < 0:
            return
        if number % 7 == 0:
            self.actor_ref.tell(-number)  # comes after what waits already
        if self.after is not None:
            hand_on(self.after, number)
        if number % 11 == 0:
            if not self.leaves:
                raise Planned(number)
            self.actor_ref.exit("enough")


def hand_on(ref: ActorRef[Any], number: int) -> None:
    """Have *ref* handle *number* at once if it can, and in its turn otherwise."""
    try:
        if not ref.handle_now(number):
            ref.tell(number)
    except (ActorDied, MailboxFull):
        pass


async def chains(sim: Simulation) -> None:
    """Numbers go down a chain: in order, each link's failure its own, and none before its start."""
    rng = sim.random
    seen: list[list[int]] = [[] for _ in range(LENGTH)]
    links: list[ActorRef[Any]] = []
    after: ActorRef[Any] | None = None
    leaves = rng.random() < 0.5
    for place in reversed(range(LENGTH)):
        after = sim.system.start(Link, seen, place, after, leaves, _name=f"link{place}")
        links.insert(0, after)
    dead: list[Any] = []
    sim.system.dead_letters.subscribe(dead.append)
    most = rng.choice([10, 10, 40])
    told: list[int] = []
    for number in range(1, most + 1):
        if links[0].is_alive():
            told.append(number)
            hand_on(links[0], number)
        if rng.random() < 0.2:
            await asyncio.sleep(0)
    await asyncio.sleep(1000)
    lost = {abs(letter.message) for letter in dead if isinstance(letter.message, int)}
    for place, numbers in enumerate(seen):
        positive = [number for number in numbers if number > 0]
        sim.expect(
            positive == sorted(set(positive)), "a chain keeps the order",
            f"link{place}: {positive}",
        )  # fmt: skip
        sim.expect(
            0 not in numbers[1:] and (not numbers or numbers[0] == 0),
            "nothing is handled before the start", f"link{place}: {numbers}",
        )  # fmt: skip
        if not sim.landed:
            sim.expect(
                11 not in numbers[:-1], "nothing is handled after an end", f"link{place}: {numbers}"
            )
        if not sim.landed and links[place].is_alive():
            own = sorted(-number for number in numbers if number < 0)
            sim.expect(
                own == [number for number in positive if number % 7 == 0],
                "what an actor tells itself is handled", f"link{place}: {numbers}",
            )  # fmt: skip
    handled = {number for numbers in seen for number in numbers}
    for number in told:
        waits = sim.landed and links[0].is_alive()  # behind one that hangs
        sim.expect(
            waits or number in handled | lost, "no told message vanishes", f"{number} is nowhere"
        )
    for place, ref in enumerate(links):
        failed = 11 in seen[place]
        if not sim.landed:
            sim.expect(
                ref.is_alive() != failed, "a link's failure is its own",
                f"link{place} {'lives' if ref.is_alive() else 'is dead'} after {seen[place]}",
            )  # fmt: skip
