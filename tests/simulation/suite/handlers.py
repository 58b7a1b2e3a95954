"""Handlers that use what asyncio gives a task: each message has a task of its own, and its own end."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    Agent,
    MailboxFull,
    RequestTimeout,
    agent_context,
    gather,
)
from agenticaiframework.actors.simulation import InjectedCrash, Simulation

FAILURES = (ActorDied, RequestTimeout, InjectedCrash, MailboxFull)

Message = tuple[int, str]


class Notes:
    """What the handlers of the actors saw."""

    def __init__(self) -> None:
        self.known: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self.kept: dict[str, list[tuple[int, asyncio.Task[Any]]]] = {}
        self.current: dict[str, int] = {}
        self.handled: dict[str, list[int]] = {}


class Curious(Actor):
    """Handles each message in one of several ways, most of them with the task that it runs in."""

    crash_on_ask_error = True

    def __init__(
        self, sim: Simulation, notes: Notes, name: str, peers: list[ActorRef[Any]]
    ) -> None:
        super().__init__()
        self.sim = sim
        self.notes = notes
        self.name = name
        self.peers = peers

    async def on_receive(self, message: Message) -> int:
        number, how = message
        self.notes.current[self.name] = number
        self.notes.handled.setdefault(self.name, []).append(number)
        self.look_at_kept()
        self.look_at_task()
        await self.work(number, how)
        return number

    async def other(self, message: Message) -> int:
        """Handle the messages between ``become`` and ``unbecome``."""
        number, how = message
        self.notes.handled.setdefault(self.name, []).append(number)
        if how == "unbecome":
            self.become(None)
        else:
            await asyncio.sleep(0)
        return -number

    async def work(self, number: int, how: str) -> None:
        if how == "keep":
            task = asyncio.current_task()
            assert task is not None
            self.notes.kept.setdefault(self.name, []).append((number, task))
        elif how == "timeout":
            try:
                async with asyncio.timeout(0.5):
                    await asyncio.sleep(1)
            except TimeoutError:
                pass
        elif how == "group":
            async with asyncio.TaskGroup() as group:
                for _ in range(2):
                    group.create_task(asyncio.sleep(0.01))
        elif how == "become":
            self.become(self.other)
        elif how == "gather":
            await self.ask_peers(number)
        elif how == "sleep":
            await asyncio.sleep(0.01)
        elif how == "yield":
            await self.give_a_turn()
        elif how == "race":
            # The future is done in the moment in which the handler is cancelled.
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(0.01)
            except TimeoutError:
                pass
            await asyncio.sleep(0.01)
        elif how in ("know", "name"):
            task = asyncio.current_task()
            assert task is not None
            if how == "know":
                self.notes.known[task] = number
            else:
                task.set_name(f"message {number}")

    async def give_a_turn(self) -> None:
        """A bare yield gives the loop a turn: what it had been given before has run then."""
        turns: list[int] = []
        for turn in range(3):
            asyncio.get_running_loop().call_soon(turns.append, turn)
            await asyncio.sleep(0)
            self.sim.expect(
                turns == list(range(turn + 1)), "a bare yield gives the loop a turn", f"{turns}"
            )

    async def ask_peers(self, number: int) -> None:
        requests = [
            peer.request((number, "plain"), timeout=5) for peer in self.peers if peer.is_alive()
        ]
        answers = await gather(*requests, return_exceptions=True)
        for answer in answers:
            fine = isinstance(answer, FAILURES) or abs(answer) == number
            self.sim.expect(
                fine or self.sim.landed, "gather gives each its answer", f"{number}: {answer!r}"
            )

    def look_at_kept(self) -> None:
        """Whoever kept the task of an earlier message finds it done, and can do no harm with it."""
        for number, task in self.notes.kept.get(self.name, ()):
            self.sim.expect(
                task.done(), "a message's task ends with it", f"{self.name}: that of {number}"
            )
            task.cancel()

    def look_at_task(self) -> None:
        """Nothing that an earlier message did to its task, or noted of it, is true of this one's."""
        task = asyncio.current_task()
        assert task is not None
        self.sim.expect(
            task not in self.notes.known, "each message has a task of its own", f"{self.name}"
        )
        self.sim.expect(
            task.get_name() == self.name, "a task has its actor's name", task.get_name()
        )


class Answering(Actor):
    """Answers with what it is given; the peer of the others."""

    def on_receive(self, message: Message) -> int:
        return message[0]


WAYS = (
    "plain",
    "sleep",
    "keep",
    "timeout",
    "group",
    "gather",
    "become",
    "unbecome",
    "yield",
    "race",
    "know",
    "name",
)


def agents_of(sim: Simulation) -> list[Agent]:
    """Return agents whose handlers look at their context before and after they wait."""

    def reading(name: str) -> Agent:
        async def read(number: int) -> int:
            for _ in range(3):
                found = agent_context().get("number")
                sim.expect(found == number, "a handler keeps its context", f"{found}, not {number}")
                await asyncio.sleep(0.01)
            return number

        return Agent(name, handler=read)

    return [reading(f"agent{n}") for n in range(3)]


async def handlers(sim: Simulation) -> None:
    """Bursts of messages to a few actors: each is answered by what was in charge when it came."""
    rng = sim.random
    notes = Notes()
    peers: list[ActorRef[Any]] = [sim.system.start(Answering, _name=f"peer{n}") for n in range(3)]
    asked: list[tuple[str, int, str, Any]] = []
    for name in ("curious0", "curious1"):
        ref = sim.system.start(Curious, sim, notes, name, peers, _name=name)
        ways = [rng.choice(WAYS) for _ in range(24)]
        for number, how in enumerate(ways, 1):
            if not ref.is_alive():
                break
            asked.append((name, number, how, ref.request((number, how), timeout=500)))
            if rng.random() < 0.1:
                await asyncio.sleep(rng.choice([0, 0.1]))
    agents = agents_of(sim)
    read = [
        (number, rng.choice(agents).request(number, 500, context={"number": number}))
        for number in range(rng.randint(0, 12))
    ]
    for number, request in read:
        outcome = await sim.attempt(request)
        sim.expect(
            sim.landed or outcome.value == number,
            "an agent's answer is that to the question",
            f"asked {number}, got {outcome.value!r}, {outcome.error!r}",
        )
    other: dict[str, bool] = {}
    for name, number, how, request in asked:
        outcome = await sim.attempt(request)
        in_other = other.get(name, False)
        if how == "become" and not in_other:
            other[name] = True
        elif how == "unbecome" and in_other:
            other[name] = False
        if sim.landed:
            continue
        wanted = -number if in_other else number
        sim.expect(
            outcome.ok and outcome.value == wanted,
            "each message is handled by the behavior in charge",
            f"{name}: {how} {number} gave {outcome.value!r}, {outcome.error!r}",
        )
    for name, numbers in notes.handled.items():
        sim.expect(
            numbers == sorted(set(numbers)), "messages are handled once and in order",
            f"{name}: {numbers}",
        )  # fmt: skip
