"""Expected errors: failures of one request, which end no incarnation and lose no message that waits."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import (
    ActorRef,
    Agent,
    AgentActor,
    AgentFailed,
    RequestRejected,
    is_expected,
)
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy

WELL = ("plain", "slow")
REFUSED = ("rejected", "declared", "group")
WRONG = ("bug", "mixed")


class Store(ConnectionError):
    """What the agents have declared."""


def fail(how: str) -> None:
    """Raise what belongs to *how*, if anything."""
    match how:
        case "rejected":
            raise RequestRejected("no")
        case "declared":
            raise Store("gone")
        case "group":
            raise ExceptionGroup("both", [RequestRejected("no"), Store("gone")])
        case "bug":
            raise TypeError("a bug")
        case "mixed":
            raise ExceptionGroup("both", [RequestRejected("no"), TypeError("a bug")])
        case _:
            return


def is_refusal(reason: Any) -> bool:
    """Tell whether *reason* is one of what the agents expect."""
    if isinstance(reason, ExceptionGroup):
        return all(map(is_refusal, reason.exceptions))
    return isinstance(reason, Store) or (isinstance(reason, Exception) and is_expected(reason))


class Desk:
    """Three agents: one on the loop, one in threads, and one that passes on to the first."""

    def __init__(self) -> None:
        self.handled: set[int] = set()
        options: dict[str, Any] = {"expected_errors": ConnectionError}
        self.inner = Agent("agent-inner", handler=self.serve, **options)
        self.blocking = Agent("agent-blocking", handler=self.block, **options)
        self.outer = Agent("agent-outer", handler=self.inner.ask)
        self.agents = (self.inner, self.blocking, self.outer)

    async def serve(self, payload: tuple[int, str]) -> int:
        number, how = payload
        self.handled.add(number)
        if how != "plain":
            await asyncio.sleep(0.01)
        fail(how)
        return number

    def block(self, payload: tuple[int, str]) -> int:
        number, how = payload
        self.handled.add(number)
        fail(how)
        return number


async def supervise(agents: tuple[Agent, ...], strategy: str) -> AgentSupervisor:
    """Have the agents supervised, with a budget that lasts."""
    desk = AgentSupervisor("desk", strategy, RestartPolicy(max_restarts=1000))
    for agent in agents:
        desk.add_child(agent.name, agent)
    return await desk.start()


async def expected_errors(sim: Simulation) -> None:
    """Requests that are served, refused, or meet a bug: only a bug, or a fault, ends an incarnation."""
    rng = sim.random
    desk = Desk()
    ends: list[tuple[str, Any]] = []

    def ended(actor: ActorRef[Any], reason: Any) -> None:
        if issubclass(actor.actor_class, AgentActor):
            ends.append((actor.label, reason))

    sim.system.on_actor_end(ended)
    strategy = rng.choice(["none", "one_for_one", "one_for_all", "rest_for_one"])
    if strategy != "none":
        await supervise(desk.agents, strategy)
    ways = WELL + REFUSED + (WRONG if rng.random() < 0.5 else ())
    alone = WRONG[0] not in ways or strategy in ("none", "one_for_one")
    asks: list[tuple[int, str, Any]] = []
    told: dict[int, str] = {}
    for number in range(30):
        agent, how = rng.choice(desk.agents), rng.choice(ways)
        if rng.random() < 0.6:
            asks.append((number, how, agent.request((number, how))))
        else:
            agent.tell((number, how))
            told[number] = how
        if rng.random() < 0.2:
            await asyncio.sleep(rng.choice([0, 0.01, 1]))
    outcomes = [(number, how, await sim.attempt(request)) for number, how, request in asks]
    await asyncio.sleep(10_000)

    for label, reason in ends:
        sim.expect(
            not is_refusal(reason), "no expected error ends an incarnation", f"{label}: {reason!r}"
        )
    dead = {letter[0]: how for letter, how in _letters(sim)}
    for number, how in told.items():
        sim.expect(
            number in desk.handled or number in dead, "no message that waits is lost",
            f"{how} {number} is nowhere",
        )  # fmt: skip
    if sim.landed or not alone:
        return  # a fault, or the crash of a sibling, cuts off what others are at
    for number, how, outcome in outcomes:
        if how in WELL:
            sim.expect(
                outcome.ok and outcome.value == number, "who asks for what is right is served",
                f"{how} {number}: {outcome.error!r}",
            )  # fmt: skip
        else:
            error = outcome.error
            sim.expect(
                isinstance(error, AgentFailed) and error.expected is (how in REFUSED),
                "a failure says whether it was expected", f"{how} {number}: {error!r}",
            )  # fmt: skip
    for number, how in told.items():
        sim.expect(
            (number in dead) is (how not in WELL), "a told message that failed is a dead letter",
            f"{how} {number}",
        )  # fmt: skip
    if WRONG[0] not in ways:
        sim.expect(not ends, "no expected error ends an incarnation", f"{ends}")


def _letters(sim: Simulation) -> list[tuple[tuple[int, str], str]]:
    """Return the payloads of the dead letters."""
    found: list[Any] = []
    for message in sim.observer.dead.values():
        payload = getattr(message, "payload", None)
        if isinstance(payload, tuple):
            found.append((payload, payload[1]))
    return found


__all__ = ["expected_errors"]
