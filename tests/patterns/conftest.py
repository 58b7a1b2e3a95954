"""What the tests of patterns and teams share: agents that remember, and virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, AgentActor
from agenticaiframework.actors.simulation import run_sim

Main = Callable[[ActorSystem], Awaitable[Any]]


class Cast:
    """Agents that log what they were asked, and answer as the test says."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.done: list[str] = []
        self.agents: dict[str, Agent] = {}
        self.answers: dict[str, Any] = {}

    def agent(self, name: str, answer: Any = None, **options: Any) -> Agent:
        """Return an agent that answers *answer*: a value, or a plain or async function of the payload.

        One that has been made already answers that from now on.
        """
        self.answers[name] = answer
        if name in self.agents and not options:
            return self.agents[name]

        async def handler(payload: Any) -> Any:
            self.log.append((name, payload))
            answer = self.answers[name]
            said = answer(payload) if callable(answer) else answer
            said = await said if isinstance(said, Awaitable) else said
            self.done.append(name)
            return said

        agent = self.agents[name] = Agent(name, handler=handler, **options)
        return agent

    def echoes(self, *names: str) -> list[Agent]:
        """Return agents that answer with their name around the payload."""
        return [self.agent(n, lambda p, n=n: f"{n}({p})") for n in names]

    @property
    def asked(self) -> list[str]:
        """Who was asked, in order."""
        return [name for name, _ in self.log]

    def payloads(self, name: str) -> list[Any]:
        """What *name* was asked, in order."""
        return [payload for asked, payload in self.log if asked == name]


class Hanging:
    """A function that comes back only when it is stopped, and counts how many of it run."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0

    async def hang(self, payload: Any) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(3600)
        finally:
            self.running -= 1


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture(params=[None, 1, 2, 3], ids=lambda seed: f"seed-{seed}")
def sim(request: pytest.FixtureRequest) -> Callable[[Main], Any]:
    """Run a test in virtual time, in four different orders of what could happen at once."""

    def run(main: Main) -> Any:
        async def inside() -> Any:
            async with ActorSystem("test", seed=7) as system:
                return await main(system)

        return run_sim(inside, seed=request.param)

    return run


@pytest.fixture
def sim_once() -> Callable[[Main], Any]:
    """Run a test in virtual time, in the order of a plain asyncio loop."""

    def run(main: Main) -> Any:
        async def inside() -> Any:
            async with ActorSystem("test", seed=7) as system:
                return await main(system)

        return run_sim(inside)

    return run


async def left_over(system: ActorSystem) -> list[str]:
    """Return the actors that are neither agents nor meant to stay: what executions left behind.

    An actor that has been told to end does so in its next turn, so time passes before the look.
    """
    await asyncio.sleep(0.001)
    meant_to_stay = ("AgentPool", "TeamActor", "LimiterActor", "BulkheadActor", "CircuitActor")
    return [
        ref.label
        for ref in system.actors()
        if not issubclass(ref.actor_class, AgentActor)
        and ref.actor_class.__name__ not in meant_to_stay
        and "upervisor" not in ref.actor_class.__name__
    ]
