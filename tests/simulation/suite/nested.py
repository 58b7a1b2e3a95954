"""Nested workflows: a tree of runs ends as one, repeats nothing, and undoes all that it did."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    WorkflowExists,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk
from agenticaiframework.patterns.engine.store.simulated import simulated_store

EPOCH_S = 1_700_000_000.0


class World:
    """What survives the machine beside its disk: the workflow, and how often it was resumed."""

    def __init__(self, rng: random.Random) -> None:
        self.flow = random_flow(rng, 0, count())
        self.compensable = {step["id"] for step in _all_steps(self.flow) if "compensate" in step}
        self.cancel_after_s = rng.choice([None, None, 1.0, 4.0])
        self.rng = random.Random(rng.randrange(1 << 30))
        self.resumes = 0


def random_flow(rng: random.Random, depth: int, numbers: Iterator[int]) -> dict[str, Any]:
    """Return a workflow of a few steps, some of which are workflows; the same for the same randomness.

    No two steps of the tree have the same id.
    """
    steps: list[dict[str, Any]] = []
    for number in range(rng.randint(1, 3)):
        step: dict[str, Any] = {"id": f"s{next(numbers)}"}
        kind = rng.randrange(7)
        if kind < 3 and depth < 3:
            step["workflow"] = random_flow(rng, depth + 1, numbers)
            if kind == 0:
                step["for_each"] = [0, 1]
            if rng.random() < 0.3:
                step["retry"] = {"attempts": 2, "initial_delay_s": 0.5}
        elif kind == 3:
            step["wait_for"] = "go"
        elif kind == 4:
            step["delay"] = 1
        else:
            step |= {"agent": "work", "input": {}}
            if rng.random() < 0.7:
                step["compensate"] = {"agent": "undo", "retry": {"attempts": 50}}
            if rng.random() < 0.5:
                step["retry"] = {"attempts": 3, "initial_delay_s": 0.5}
        if number and rng.random() < 0.4:
            step["depends_on"] = [steps[0]["id"]]
        steps.append(step)
    return {"name": f"flow{depth}", "steps": steps}


def _all_steps(flow: dict[str, Any]) -> list[dict[str, Any]]:
    found = list(flow["steps"])
    for step in flow["steps"]:
        if "workflow" in step:
            found += _all_steps(step["workflow"])
    return found


async def nested(sim: Simulation) -> str:
    """A tree of runs is signalled, resumed or cancelled over faults until it has ended."""
    if "world" not in sim.disk:
        sim.disk["world"] = World(sim.random)
    world: World = sim.disk["world"]

    async def work(payload: Any) -> Any:
        await asyncio.sleep(0.2)
        if world.rng.random() < 0.15:
            raise ValueError("it did not work")
        return "done"

    async def undo(payload: Any) -> None:
        await asyncio.sleep(0.1)

    engine = OrchestrationEngine(
        EngineConfig(
            state_store=simulated_store(sim),
            persist_state=True,
            recover_on_start=True,
            recover_every_seconds=1,
            lease_seconds=3,
            max_concurrent_workflows=1,
            wall_clock=lambda: EPOCH_S + sim.time(),
        )
    )
    engine.register_agent("work", work)
    engine.register_agent("undo", undo)
    outcome = await sim.attempt(_within(engine, world))
    if not sim.injector.landed:
        expected = outcome.ok or type(outcome.error).__name__ in (
            "WorkflowFailed",
            "WorkflowCancelled",
        )
        sim.expect(expected, "a tree without faults ends", repr(outcome.error))
    sim.expect(
        type(outcome.error) is not TimeoutError, "a tree of runs comes to an end", f"{world.flow}"
    )
    await _check_journals(sim, world)
    return "completed" if outcome.ok else type(outcome.error).__name__


async def _within(engine: OrchestrationEngine, world: World) -> None:
    async with engine:
        for _ in range(20):
            try:
                await engine.start_workflow(workflow=world.flow, workflow_id="w")
                break
            except WorkflowExists:
                break
            except Exception:
                await asyncio.sleep(1)  # the store refuses for a while
        steering = asyncio.create_task(_steer(engine, world))
        try:
            while True:
                try:
                    await asyncio.wait_for(engine.wait("w"), 2000)
                    return
                except WorkflowFailed:
                    if world.resumes >= 4:
                        raise
                    world.resumes += 1
                    await engine.resume_workflow("w")
        finally:
            steering.cancel()
            await asyncio.gather(steering, return_exceptions=True)


async def _steer(engine: OrchestrationEngine, world: World) -> None:
    """Send the run what it waits for, and cancel it in the middle, if it is to be."""
    begun = asyncio.get_running_loop().time()
    while True:
        await asyncio.sleep(0.7)
        try:
            await engine.signal_workflow("w", "go")
            now = asyncio.get_running_loop().time()
            if world.cancel_after_s is not None and now > begun + world.cancel_after_s:
                await engine.cancel_workflow("w")
        except Exception:
            continue  # it has ended, or the store refuses


async def _check_journals(sim: Simulation, world: World) -> None:
    clock = sim.time
    disk: MemoryDisk = sim.disk["store"]
    reader = GroupedStore(MemoryBackend(clock=clock, disk=disk), clock=clock, inline=True)
    await reader.open()
    ids = [row.run_id for row in (await reader.list_runs(limit=1000)).rows]
    rows, journals = await reader.load_runs(ids), await reader.read_journals(ids)
    root = rows.get("w")
    for run_id, entries in journals.items():
        held: Counter[str] = Counter()
        for entry in entries:
            if entry.kind == EventKind.STEP_COMPLETED:
                held[entry.step] += 1
                sim.expect(
                    held[entry.step] == 1, "nothing is done again that was not undone",
                    f"{run_id}: {entry.step}",
                )  # fmt: skip
            elif entry.kind == EventKind.COMPENSATION_COMPLETED:
                data: dict[str, Any] = entry.data or {}
                whole = data.get("whole", True) if "item" not in data else data.get("last", False)
                if whole:  # of a list that failed, what was finished is undone
                    held[entry.step] = 0
        if root is None or not root.finished:
            continue
        sim.expect(rows[run_id].finished, "parts end with their run", f"{run_id}: {rows[run_id]}")
        if root.state in ("failed", "cancelled"):
            left = [step for step in held if held[step] > 0 and step in world.compensable]
            sim.expect(not left, "all that can be undone is", f"{run_id}: {left} of {world.flow}")
    await reader.close()
