"""The tasks of handlers stay in the sets that they are in when a simulation begins elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.actors.simulation import run_sim


async def hash_of_handler() -> int:
    async def handle(payload: Any) -> int:
        return hash(asyncio.current_task())

    async with ActorSystem():
        return int(await Agent("a", handler=handle).ask(None))


def test_a_task_keeps_its_hash_when_a_simulation_begins() -> None:
    async def handle(payload: Any) -> bool:
        task = asyncio.current_task()
        before = hash(task)
        kept = {task}
        await asyncio.to_thread(run_sim, hash_of_handler)
        return hash(task) == before and task in kept

    async def main() -> bool:
        async with ActorSystem():
            return bool(await Agent("a", handler=handle).ask(None))

    assert asyncio.run(main())


def test_in_a_simulation_hashes_repeat() -> None:
    first, second = (run_sim(hash_of_handler, seed=1) for _ in range(2))
    assert first == second < 1_000
