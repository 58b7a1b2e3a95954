"""The status of a run is the same from the engine that ran it and from any other, for any definition."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from agenticaiframework.orchestration import EngineConfig, OrchestrationEngine, WorkflowFailed
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk

from .conftest import run_in_virtual_time


def clock() -> float:
    return 1_000_000 + asyncio.get_running_loop().time()


def any_step(rng: random.Random, number: int) -> dict[str, Any]:
    step: dict[str, Any] = {"id": f"s{number}", "agent": "work", "input": {"n": number}}
    if rng.random() < 0.4:
        step["retry"] = {"attempts": 2, "initial_delay_s": rng.choice([0, 0.3])}
    stands_in = (None, "skip", {"default": 1}, {"fallback": "work"}, {"fallback": "fail"})
    chosen = rng.choice(stands_in)
    if chosen is not None:
        step["on_error"] = chosen
    if rng.random() < 0.3:
        step["for_each"] = [1, 2, 3]
    elif rng.random() < 0.2:
        step["max_iterations"] = 3
    if rng.random() < 0.4:
        step["compensate"] = rng.choice(["work", "fail"])
    if rng.random() < 0.2:
        step["condition"] = "input.n == 1"
    if rng.random() < 0.3:
        step["depends_on"] = []
    return step


@pytest.mark.parametrize("seed", range(40))
def test_the_status_is_the_same_from_any_engine(seed: int) -> None:
    rng = random.Random(seed)
    steps = [any_step(rng, number) for number in range(rng.randint(1, 5))]
    disk = MemoryDisk()

    async def work(_: Any) -> Any:
        await asyncio.sleep(rng.choice([0, 0.1234567]))
        if rng.random() < 0.4:
            raise ValueError(f"no {rng.randrange(9)}")
        return {"done": rng.random() < 0.5}

    def fail(_: Any) -> None:
        raise ValueError("never")

    def engine() -> OrchestrationEngine:
        store = GroupedStore(MemoryBackend(clock=clock, disk=disk), clock=clock, inline=True)
        made = OrchestrationEngine(EngineConfig(state_store=store, wall_clock=clock))
        made.register_agent("work", work)
        made.register_agent("fail", fail)
        return made

    async def main() -> None:
        ran, other = engine(), engine()
        flow = {"name": "flow", "steps": steps}
        run = await ran.start_workflow(flow, {"n": rng.choice([1, 2])}, persist_state=True)
        try:
            await ran.wait(run)
        except WorkflowFailed:
            pass
        here, there = await ran.get_workflow_status(run), await other.get_workflow_status(run)
        assert here == there
        await ran.stop()
        await other.stop()

    run_in_virtual_time(main)
