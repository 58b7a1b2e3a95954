"""Inner steps: whatever is cut off when, what is recorded is returned again and never made again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from agenticaiframework.actors import Agent, agent_context
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
    """What survives the machine beside its disk: what the handler does, and what it did outside."""

    def __init__(self, rng: random.Random) -> None:
        self.calls = [(rng.choice("abc"), rng.random() < 0.4) for _ in range(rng.randint(1, 5))]
        """The names of the calls, and which of them go at the same time as the one before."""
        self.plain = rng.random() < 0.3
        self.asks = rng.random() < 0.4
        self.items = rng.choice([0, 0, 2])
        self.fails = rng.randint(0, 2)
        self.stored = rng.random() < 0.8
        self.made: list[tuple[str, int, float]] = []
        """The place of each call that was made, what it returned, and when it began."""
        self.seen: list[int] = []
        """What handlers were given."""

    def flow(self) -> dict[str, Any]:
        retry = {"attempts": 30, "initial_delay_s": 0.5}
        step: dict[str, Any] = {"id": "work", "agent": "agent-outer", "retry": retry}
        if self.items:
            step |= {"for_each": list(range(self.items)), "input": "$item"}
        return {"name": "flow", "steps": [step]}


async def inner_steps(sim: Simulation) -> str:
    """One run, whose handler calls a few inner steps, over faults of the store, the machine and agents."""
    if "world" not in sim.disk:
        sim.disk["world"] = World(sim.random)
    world: World = sim.disk["world"]
    attempts: list[int] = []

    def make() -> int:
        serial = len(world.made)
        world.made.append((place(), serial, sim.time()))
        return serial

    async def call() -> int:
        serial = make()
        await asyncio.sleep(0.1)
        return serial

    async def handler(_: Any) -> list[int]:
        context = agent_context()
        got: list[int] = []
        waiting: list[Any] = []
        for name, together in world.calls:
            if waiting and not together:
                got += await asyncio.gather(*waiting)
                world.seen += got
                waiting = []
            waiting.append(context.step(name, make if world.plain else call))
        got += await asyncio.gather(*waiting)
        world.seen += got
        attempts.append(context["attempt"])
        if len(attempts) <= world.fails:
            raise RuntimeError("cut off")
        return got

    inner = Agent("agent-inner", handler=handler, concurrency=4)

    async def outer(payload: Any) -> list[int]:
        if not world.asks:
            return await handler(payload)
        own: int = await agent_context().step("a", call)
        return [own, *await inner.ask(payload)]

    engine = OrchestrationEngine(
        EngineConfig(
            state_store=simulated_store(sim),
            persist_state=world.stored,
            recover_on_start=True,
            recover_every_seconds=1,
            lease_seconds=3,
            wall_clock=lambda: EPOCH_S + sim.time(),
        )
    )
    engine.register_agent("agent-outer", Agent("agent-outer", handler=outer, concurrency=2))

    async def one() -> Any:
        async with engine:
            for _ in range(20):
                try:
                    await engine.start_workflow(workflow=world.flow(), workflow_id="r")
                    break
                except WorkflowExists:
                    break
                except Exception:
                    await asyncio.sleep(1)  # the store refuses for a while
            return await asyncio.wait_for(engine.wait("r"), 2000)

    outcome = await sim.attempt(one())
    if not sim.injector.landed:
        sim.expect(outcome.ok, "a workflow without faults completes", repr(outcome.error))
    if world.stored:
        await _check_journal(sim, world)
    elif outcome.ok:
        _check_memory(sim, world)
    return "completed" if outcome.ok else type(outcome.error).__name__


def place() -> str:
    """Return the call that is made here: the same for all attempts."""
    context = agent_context()
    names = context["idempotency_key"].partition("/")[2]
    return f"{context.get('item')}/{names}"


async def _check_journal(sim: Simulation, world: World) -> None:
    disk: MemoryDisk = sim.disk["store"]
    reader = GroupedStore(MemoryBackend(clock=sim.time, disk=disk), clock=sim.time, inline=True)
    await reader.open()
    for entries in (await reader.read_journals(["r"])).values():
        recorded: dict[str, tuple[int, float]] = {}
        results: dict[int | None, list[int]] = {}
        for entry in entries:
            data = entry.data or {}
            if entry.kind == EventKind.INNER_COMPLETED:
                where = f"{data.get('item')}{data['place']}"
                sim.expect(where not in recorded, "nothing is recorded twice", where)
                recorded[where] = data["output"], entry.at - EPOCH_S
            elif entry.kind == EventKind.ITEM_COMPLETED:
                results[data["item"]] = data["output"]
            elif entry.kind == EventKind.STEP_COMPLETED and "output" in data:
                results[None] = data["output"]
        for where, serial, at in world.made:
            if where in recorded:
                sim.expect(
                    at <= recorded[where][1] + 0.002, "what is recorded is not made again",
                    f"{where} was made as {serial} at {at:g}, and recorded at {recorded[where][1]:g}",
                )  # fmt: skip
        lost = set(world.seen) - {serial for serial, _ in recorded.values()}
        sim.expect(not lost, "what a handler was given is recorded", f"{sorted(lost)}")
        for item, result in results.items():
            known = sorted(s for where, (s, _) in recorded.items() if where.startswith(f"{item}/"))
            sim.expect(
                sorted(result) == known, "a handler gets what is recorded",
                f"item {item} got {result}, and {known} is recorded",
            )  # fmt: skip
    await reader.close()


def _check_memory(sim: Simulation, world: World) -> None:
    disturbed = bool(sim.injector.landed)
    places = [where for where, _, _ in world.made]
    sim.expect(
        disturbed or len(set(places)) == len(places),
        "what is recorded is not made again",
        f"{places}",
    )
