"""What the engine's tests share: agents that remember, virtual time, and engines in it."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import ActorSystem, Agent, AgentActor
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine

Main = Callable[[], Awaitable[Any]]

POSTGRES = "AGENTICAI_TEST_POSTGRES"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store that several engines share."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/runs.sqlite"
        return
    server = os.environ.get(POSTGRES)
    if not server:
        pytest.skip(f"set {POSTGRES} to the URL of a PostgreSQL server to run these tests")
    psycopg = pytest.importorskip("psycopg")
    schema = f"test_{uuid.uuid4().hex[:16]}"
    yield f"{server}?schema={schema}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Give the messages that are logged, whatever other sinks there are."""
    messages: list[str] = []
    sink = logger.add(messages.append, level="INFO", format="{message}")
    yield messages
    logger.remove(sink)


class Cast:
    """Agents that log what they were asked, and answer as the test says."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.done: list[str] = []
        self.stopped: list[str] = []
        self.agents: dict[str, Agent] = {}

    def agent(self, name: str, answer: Any = None, **options: Any) -> Agent:
        """Return an agent that answers *answer*: a value, or a function of the payload."""

        async def handler(payload: Any) -> Any:
            self.log.append((name, payload))
            try:
                said = answer(payload) if callable(answer) else answer
                said = await said if isinstance(said, Awaitable) else said
            except asyncio.CancelledError:
                self.stopped.append(name)
                raise
            self.done.append(name)
            return said

        agent = self.agents[name] = Agent(name, handler=handler, **options)
        return agent

    def echoes(self, *names: str) -> list[Agent]:
        """Return agents that answer with their name around the payload."""
        return [self.agent(n, lambda p, n=n: f"{n}({p})") for n in names]

    def slow(self, name: str, seconds: float, answer: Any = None) -> Agent:
        """Return an agent that takes its time."""

        async def take(payload: Any) -> Any:
            await asyncio.sleep(seconds)
            return answer(payload) if callable(answer) else answer

        return self.agent(name, take)

    def failing(self, name: str, times: int, answer: Any = "ok", error: Any = None) -> Agent:
        """Return an agent that fails *times* times before it answers."""
        left = [times]

        def take(payload: Any) -> Any:
            if left[0] > 0:
                left[0] -= 1
                raise error or ValueError(f"{name} is down")
            return answer

        return self.agent(name, take)

    @property
    def asked(self) -> list[str]:
        """Who was asked, in order."""
        return [name for name, _ in self.log]

    def payloads(self, name: str) -> list[Any]:
        """What *name* was asked, in order."""
        return [payload for asked, payload in self.log if asked == name]


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture(params=[None, 1, 2], ids=lambda seed: f"seed-{seed}")
def sim(request: pytest.FixtureRequest) -> Callable[[Main], Any]:
    """Run a test in virtual time, in several orders of what could happen at once."""
    return lambda main: run_in_virtual_time(main, request.param)


def run_in_virtual_time(main: Main, seed: int | None = None) -> Any:
    """Run *main* in a system of its own, in virtual time, and check that nothing is left of it."""

    async def inside() -> Any:
        async with ActorSystem("test", seed=7) as system:
            result = await main()
            assert await left_over(system) == []
            return result

    return run_sim(inside, seed=seed)


async def left_over(system: ActorSystem) -> list[str]:
    """Return the actors that runs have left behind: neither agents nor engines nor their keepers,
    nor coordinators that wait for another run.

    An actor that has been told to end does so in its next turn, so time passes before the look.
    """
    await asyncio.sleep(0.001)
    meant_to_stay = (
        *("AgentPool", "EngineCore", "LeaseKeeper", "Scheduler", "StoreKeeper", "TeamActor"),
    )
    return [
        ref.label
        for ref in system.actors()
        if not issubclass(ref.actor_class, AgentActor)
        and ref.actor_class.__name__ not in meant_to_stay
        and "upervisor" not in ref.actor_class.__name__
        and not getattr(ref._actor, "idle", False)
    ]


def busy_coordinator(system: ActorSystem) -> Any:
    """Return the one coordinator in *system* that has a run."""
    [found] = [
        ref
        for ref in system.actors()
        if ref.actor_class.__name__ == "RunCoordinator" and not getattr(ref._actor, "idle", True)
    ]
    return found


def engine(**config: Any) -> OrchestrationEngine:
    """Return an engine for a test."""
    return OrchestrationEngine(EngineConfig(**config))


def steps(*given: Any, **more: Any) -> dict[str, Any]:
    """Return a workflow of these steps; a name is an agent's, and its step is called the same."""
    return {
        "name": "test",
        "steps": [{"id": s, "agent": s} if isinstance(s, str) else s for s in given],
        **more,
    }
