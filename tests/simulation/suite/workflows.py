"""Durable workflows: whatever fails or stops when, the journal is one line and no work is redone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

from agenticaiframework.actors import agent_context
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    WorkflowExists,
)
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk
from agenticaiframework.patterns.engine.store.simulated import simulated_store

EPOCH_S = 1_700_000_000.0


class World:
    """What survives the machine beside its disk: the workflow, and what agents did outside."""

    def __init__(self, rng: random.Random) -> None:
        self.flow = random_flow(rng)
        self.runs = rng.choice([1, 1, 2])
        self.effects: list[tuple[str, int, float]] = []
        self.keys: dict[str, str] = {}
        """Which step or item each idempotency key stood for."""


def random_flow(rng: random.Random) -> dict[str, Any]:
    """Return a workflow of a few steps; the same for the same randomness."""
    steps: list[dict[str, Any]] = []
    fan = rng.random() < 0.4  # then all but the first step may overlap
    for number in range(rng.randint(1, 4)):
        step: dict[str, Any] = {"id": f"s{number}", "agent": "work", "input": {"n": number}}
        kind = rng.randrange(6)
        if number and (fan or kind < 2):
            needs = f"s{0 if fan else rng.randrange(number)}"
            step |= {"depends_on": [needs], "input": {"n": number, "from": f"${needs}"}}
        elif kind == 2:
            step |= {"for_each": ["x", "y"], "input": {"n": number}}
        elif kind == 3:
            step = {"id": f"s{number}", "delay": 2}
        elif kind == 4:
            step["timeout_seconds"] = 20
        if "agent" in step:
            step["retry"] = {"attempts": 4, "initial_delay_s": 0.5}
        steps.append(step)
    return {"name": "flow", "steps": steps}


async def workflows(sim: Simulation) -> str:
    """A workflow or two run to their end over store faults, stopped machines and failing agents."""
    if "world" not in sim.disk:
        sim.disk["world"] = World(sim.random)
    world: World = sim.disk["world"]

    async def work(payload: Any) -> Any:
        context = agent_context()
        item = f"[{context['item']}]" if "item" in context else ""
        made = f"{context['workflow_id']}:{context['step']}{item}:{context['attempt']}"
        world.effects.append((made, sim.boot, sim.time()))
        key = context["idempotency_key"]
        work = f"{context['workflow_id']}:{context['step']}{item}"
        sim.expect(
            world.keys.setdefault(key, work) == work
            and list(world.keys.values()).count(work) == 1,
            "all attempts at a piece of work have its one key", f"{key}: {work}",
        )  # fmt: skip
        await asyncio.sleep(0.2)
        if payload["n"] == 2 and context["attempt"] == 1:
            raise ConnectionError("the answer is lost")
        return {"n": payload["n"], "pair": (1, 2)}

    store = simulated_store(sim)
    engine = OrchestrationEngine(
        EngineConfig(
            state_store=store,
            persist_state=True,
            recover_on_start=True,
            recover_every_seconds=1,
            lease_seconds=3,
            wall_clock=lambda: EPOCH_S + sim.time(),
        )
    )
    engine.register_agent("work", work)

    async def one(run_id: str) -> Any:
        for _ in range(20):
            try:
                await engine.start_workflow(workflow=world.flow, workflow_id=run_id)
                break
            except WorkflowExists:
                break
            except Exception:
                await asyncio.sleep(1)  # the store refuses for a while
        result = await asyncio.wait_for(engine.wait(run_id), 2000)
        for output in result.values():
            for each in output if isinstance(output, list) else [output]:
                pair = each.get("pair") if isinstance(each, dict) else None
                sim.expect(
                    pair is None or type(pair) is list,
                    "a run sees the stored form of its values", f"{run_id}: {each}",
                )  # fmt: skip
        return result

    outcome = await sim.attempt(_within(engine, one, world.runs))
    # A store that does not take what happens in a run delays the run, and does nothing else to it.
    harmless = all(
        landed.fault.kind in ("fail_store", "fill_disk", "slow_store")
        and landed.where.endswith(", append")
        for landed in sim.injector.landed
    )
    if harmless:
        sim.expect(outcome.ok, "a workflow without other faults completes", repr(outcome.error))
    sim.expect(
        type(outcome.error) is not TimeoutError, "a stored run comes to an end", f"{world.flow}"
    )
    await _check_journals(sim, world)
    return "completed" if outcome.ok else type(outcome.error).__name__


async def _within(engine: OrchestrationEngine, one: Any, runs: int) -> None:
    async with engine:
        outcomes = await asyncio.gather(
            *(one(f"r{number}") for number in range(runs)), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome


async def _check_journals(sim: Simulation, world: World) -> None:
    clock = sim.time
    disk: MemoryDisk = sim.disk["store"]
    reader = GroupedStore(MemoryBackend(clock=clock, disk=disk), clock=clock, inline=True)
    await reader.open()
    ids = [row.run_id for row in (await reader.list_runs(limit=100)).rows]
    journals = await reader.read_journals(ids)
    rows = await reader.load_runs(ids)
    ended: dict[str, float] = {}
    for run_id, entries in journals.items():
        sim.expect(
            [entry.seq for entry in entries] == list(range(1, len(entries) + 1)),
            "a journal has no gap", f"{run_id}: {[entry.seq for entry in entries]}",
        )  # fmt: skip
        fences = [entry.fence for entry in entries]
        sim.expect(fences == sorted(fences), "one owner after the other", f"{run_id}: {fences}")
        for kind in (EventKind.STEP_COMPLETED, EventKind.ITEM_COMPLETED):
            counts = Counter(
                (e.step, (e.data or {}).get("item")) for e in entries if e.kind == kind
            )
            twice = [key for key, count in counts.items() if count > 1]
            sim.expect(not twice, "no step completes twice", f"{run_id}: {twice}")
        if rows[run_id].state == "completed":
            done = {e.step for e in entries if e.kind == EventKind.STEP_COMPLETED}
            steps = {step["id"] for step in world.flow["steps"]}
            sim.expect(
                done == steps, "completed means every step is", f"{run_id}: {steps - done} missing"
            )
        for entry in entries:
            if entry.kind == EventKind.STEP_COMPLETED:
                ended[f"{run_id}:{entry.step}:{entry.attempt}"] = entry.at - EPOCH_S
            elif entry.kind == EventKind.ITEM_COMPLETED:
                item = f"{run_id}:{entry.step}[{entry.data['item']}]:{entry.attempt}"
                ended[item] = entry.at - EPOCH_S
    for key, boot, at in world.effects:
        end = ended.get(key)
        if end is not None:
            sim.expect(
                at <= end + 0.002, "what has ended is not done again",
                f"{key} began in boot {boot} at {at:g}, and had ended at {end:g}",
            )  # fmt: skip
    again = Counter((key, boot) for key, boot, _ in world.effects)
    sim.expect(
        max(again.values(), default=1) == 1, "one attempt is made once in a life of the machine",
        f"{again.most_common(2)}",
    )  # fmt: skip
    await reader.close()
