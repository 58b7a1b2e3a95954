"""What the page's blocks need around them: a system, and agents that remember what they saw."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem

# No wait of a test is longer; everything the page does takes milliseconds.
DEADLINE_S = 120.0


class Cast:
    """Agents made through the public API, and the log of who was asked what, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        # Names are looked up in a directory that holds its agents weakly.
        self.agents: dict[str, Agent] = {}

    def agent(self, name: str, answer: Callable[[Any], Any] | None = None, **options: Any) -> Agent:
        """Return an agent that logs its payload and answers ``answer(payload)``."""

        async def handler(payload: Any) -> Any:
            self.log.append((name, payload))
            said = payload if answer is None else answer(payload)
            return await said if isinstance(said, Awaitable) else said

        made = self.agents[name] = Agent(name, handler=handler, **options)
        return made

    @property
    def asked(self) -> list[str]:
        """Who was asked, in order."""
        return [name for name, _ in self.log]

    def payloads(self, name: str) -> list[Any]:
        """What *name* was asked."""
        return [payload for asked, payload in self.log if asked == name]


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture
def in_system() -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Run a coroutine function inside a system of its own, within the deadline."""

    def run(main: Callable[[], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            async with ActorSystem(name="page"):
                async with asyncio.timeout(DEADLINE_S):
                    return await main()

        return asyncio.run(inside())

    return run
