"""Workflows that are kept in memory: what they give is right, however their steps come out."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from agenticaiframework.actors import Agent
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store.simulated import EPOCH_S


def random_flow(rng: random.Random) -> dict[str, Any]:
    """Return a workflow of a few steps, each of which adds one to what it is given."""
    steps: list[dict[str, Any]] = []
    for number in range(rng.randint(1, 4)):
        step: dict[str, Any] = {"id": f"s{number}", "agent": "add", "input": {"n": 0}}
        if number and rng.random() < 0.7:
            step["depends_on"] = [f"s{rng.randrange(number)}"]
            step["input"] = {"n": f"${step['depends_on'][0]}"}
        kind = rng.randrange(5)
        if kind == 0:
            step["timeout_seconds"] = 50
        elif kind == 1:
            step["on_error"] = {"default": -1}
        elif kind == 2:
            step["retry"] = {"attempts": 3, "initial_delay_s": 0.5}
        steps.append(step)
    if rng.random() < 0.5:
        each: dict[str, Any] = {"id": "each", "agent": "add", "for_each": [0, 1, 2]}
        each |= {"input": {"n": "$item"}, "retry": {"attempts": 5, "initial_delay_s": 0.5}}
        if rng.random() < 0.5:
            each["max_concurrency"] = 2
        steps.append(each)
    return {"name": "flow", "steps": steps}


def outputs(flow: dict[str, Any]) -> dict[str, Any]:
    """Return what the steps of *flow* give when nothing goes wrong."""
    made: dict[str, Any] = {}
    for step in flow["steps"]:
        if "for_each" in step:
            made[step["id"]] = [number + 1 for number in step["for_each"]]
            continue
        needs = step.get("depends_on")
        made[step["id"]] = (made[needs[0]] if needs else 0) + 1
    return made


async def in_memory(sim: Simulation) -> None:
    """Some workflows at once, and then some more by the same engine, over failing agents."""
    rng = sim.random
    flows = [random_flow(rng) for _ in range(rng.randint(1, 4))]
    pause_s = rng.choice([None, 0, 0.01, 1.0])
    flaky = rng.random() < 0.5
    failed: set[Any] = set()

    async def add(payload: Any) -> int:
        if flaky and payload["n"] not in failed:
            failed.add(payload["n"])
            raise ValueError("once")
        if pause_s is not None:
            await asyncio.sleep(pause_s)
        return int(payload["n"]) + 1

    engine = OrchestrationEngine(EngineConfig(wall_clock=lambda: EPOCH_S + sim.time()))
    engine.register_agent("add", Agent("Worker add", handler=add) if rng.random() < 0.7 else add)
    async with engine:
        for _ in range(rng.randint(1, 3)):
            outcomes = await asyncio.gather(
                *(sim.attempt(engine.execute(workflow=flow)) for flow in flows)
            )
            for flow, outcome in zip(flows, outcomes, strict=True):
                tolerant = any("on_error" in step for step in flow["steps"])
                guarded = all("retry" in step or "on_error" in step for step in flow["steps"])
                sim.expect(
                    outcome.ok or sim.landed or (flaky and not guarded),
                    "a workflow without faults completes", f"{flow}: {outcome.error!r}",
                )  # fmt: skip
                if outcome.ok and not tolerant:
                    sim.expect(
                        dict(outcome.value) == outputs(flow),
                        "each step gets what the one before it gave",
                        f"{flow}: {outcome.value!r}",
                    )
