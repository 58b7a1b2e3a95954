"""What the kernel's tests share: ways to run a coroutine, and the path of their helpers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from agenticaiframework.actors import ActorSystem
from agenticaiframework.actors.simulation import run_sim

DEADLINE_S = 120.0

Main = Callable[[ActorSystem], Awaitable[Any]]


@pytest.fixture
def in_system() -> Callable[..., Any]:
    """Run ``main(system)`` on a real loop, in a system of its own, within the deadline."""

    def run(main: Main, **options: Any) -> Any:
        async def inside() -> Any:
            async with asyncio.timeout(DEADLINE_S), ActorSystem("test", **options) as system:
                return await main(system)

        return asyncio.run(inside())

    return run


@pytest.fixture
def in_sim() -> Callable[..., Any]:
    """Run ``main(system)`` in virtual time, in a system of its own."""

    def run(main: Main, *, sim_seed: int | None = None, **options: Any) -> Any:
        async def inside() -> Any:
            async with ActorSystem("test", **options) as system:
                return await main(system)

        return run_sim(inside, seed=sim_seed)

    return run


@pytest.fixture(params=["event_loop", "thread", "pinned"])
def dispatcher(request: pytest.FixtureRequest) -> str:
    """Each dispatcher whose handlers run in this process."""
    return str(request.param)


@pytest.fixture(params=["on the loop", "in threads", "two systems"])
def places(request: pytest.FixtureRequest) -> str:
    """Where the two actors of a test live."""
    return str(request.param)
