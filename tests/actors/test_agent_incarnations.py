"""One live incarnation of an agent at a time, also while the one before is still ending."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.actors.simulation import run_sim


@pytest.mark.parametrize("way", ["stop", "crash", "kill"])
def test_the_next_incarnation_starts_when_the_one_before_has_ended(way: str) -> None:
    alive: list[int] = []
    most = 0

    def start() -> None:
        nonlocal most
        alive.append(1)
        most = max(most, len(alive))

    async def stop() -> None:
        await asyncio.sleep(1)
        alive.pop()

    async def handle(payload: Any) -> Any:
        if payload == "crash":
            raise ValueError(payload)
        return payload

    async def main() -> float:
        async with ActorSystem("test", seed=1) as system:
            agent = Agent("worker", handler=handle, on_start=start, on_stop=stop)
            await agent.ask("hello")
            if way == "crash":
                agent.tell("crash")
            elif way == "kill":
                live = agent.address().live
                assert live is not None
                live.kill()
            else:
                stopping = asyncio.create_task(agent.stop())
            await asyncio.sleep(0.1)
            assert await agent.ask("again", timeout=60) == "again"
            if way == "stop":
                await stopping
            return system.clock()

    assert run_sim(main) >= 1.0
    assert most == 1


def test_a_last_hook_that_never_ends_holds_the_next_incarnation_back_for_its_grace() -> None:
    async def handle(payload: Any) -> Any:
        return payload

    async def stop() -> None:
        await asyncio.Event().wait()

    async def main() -> tuple[float, int]:
        async with ActorSystem("test", seed=1, cancel_grace_s=5.0) as system:
            agent = Agent("worker", handler=handle, on_stop=stop)
            await agent.ask("hello")
            stopping = asyncio.create_task(agent.stop())
            await asyncio.sleep(0.1)
            assert await agent.ask("again", timeout=60) == "again"
            await stopping
            return system.clock(), system.abandoned

    ended_at, abandoned = run_sim(main)
    assert 5.0 <= ended_at <= 5.2
    assert abandoned == 0, "told to end, it did"
