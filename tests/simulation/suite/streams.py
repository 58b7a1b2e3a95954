"""Streams of stored runs: whichever engine runs it, a reader gets the journal, each entry once."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowExists,
)
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend
from agenticaiframework.patterns.engine.store.simulated import simulated_store

from .workflows import EPOCH_S, random_flow

LAST = ("workflow_completed", "workflow_failed", "workflow_cancelled")
PATIENCE_S = 3_000.0

Seen = list[tuple[int, str, str]]


class Readers:
    """What survives the machine: the workflow, and what each reader has had, by its name."""

    def __init__(self, flow: dict[str, Any], moves: bool, cancels: bool) -> None:
        self.flow = flow
        self.moves = moves
        """Whether the first engine is stopped under its run, so that the second goes on with it."""
        self.cancels = cancels
        self.seen: dict[str, Seen] = {"first": [], "second": [], "reader": []}


async def streams(sim: Simulation) -> str:
    """A run goes from engine to engine while three readers follow it, over store faults and stops."""
    if "readers" not in sim.disk:
        flow = random_flow(sim.random)
        sim.disk["readers"] = Readers(flow, sim.random.random() < 0.5, sim.random.random() < 0.2)
    readers: Readers = sim.disk["readers"]

    async def work(payload: Any) -> Any:
        await asyncio.sleep(0.2)
        return {"n": payload["n"]}

    def engine(name: str, **config: Any) -> OrchestrationEngine:
        made = OrchestrationEngine(
            EngineConfig(
                state_store=simulated_store(sim),
                lease_seconds=3,
                wall_clock=lambda: EPOCH_S + sim.time(),
                **config,
            ),
            name=name,
        )
        if name != "reader":
            made.register_agent("work", work)
        return made

    engines = {
        "first": engine("first", recover_on_start=True),
        "second": engine("second", recover_every_seconds=1),
        "reader": engine("reader"),
    }
    following = [
        asyncio.create_task(_follow(sim, made, readers.seen[name]))
        for name, made in engines.items()
    ]
    try:
        await _begin(engines["first"], readers.flow)
        if readers.cancels:
            await asyncio.sleep(sim.random.choice([0.1, 0.5, 2.5]))
            await sim.attempt(engines["reader"].cancel_workflow("r"))
        elif readers.moves:
            await asyncio.sleep(sim.random.choice([0.1, 0.3, 0.5, 1.1, 2.5]))
            await engines["first"].stop()
        await asyncio.wait(following)
    finally:
        for task in following:
            task.cancel()
        for made in engines.values():
            await made.stop()
    return await _check(sim, readers)


async def _begin(engine: OrchestrationEngine, flow: dict[str, Any]) -> None:
    for _ in range(20):
        try:
            await engine.start_workflow(workflow=flow, workflow_id="r", persist_state=True)
            return
        except WorkflowExists:
            return
        except Exception:
            await asyncio.sleep(1)  # the store refuses for a while


async def _follow(sim: Simulation, engine: OrchestrationEngine, seen: Seen) -> None:
    """Read the run's events until its end; as a client does, from the last one on when cut off."""
    until = sim.time() + PATIENCE_S
    while sim.time() < until and not (seen and seen[-1][1] in LAST):
        after = seen[-1][0] if seen else 0
        last = ""
        try:
            async with asyncio.timeout(PATIENCE_S):
                async for event in engine.stream("r", after=after):
                    last = str(event.kind)
                    if event.seq is not None:
                        sim.expect(
                            event.seq == (seen[-1][0] if seen else 0) + 1,
                            "a stream has each event once, in order", f"{event.seq} after {seen}",
                        )  # fmt: skip
                        seen.append((event.seq, str(event.kind), event.step))
            sim.expect(
                last in (*LAST, "workflow_interrupted"), "a stream ends with the end of its run",
                f"{last!r} after {seen}",
            )  # fmt: skip
        except AssertionError:
            raise
        except TimeoutError:
            sim.expect(
                not seen or seen[-1][1] not in LAST, "a stream ends behind the end of its run",
                f"{seen[-1:]}",
            )  # fmt: skip
        except Exception:
            pass  # not there yet, or the store fails, or the engine has been stopped
        await asyncio.sleep(0.5)


async def _check(sim: Simulation, readers: Readers) -> str:
    clock = sim.time
    backend = MemoryBackend(clock=clock, disk=sim.disk["store"])
    store = GroupedStore(backend, clock=clock, inline=True)
    await store.open()
    rows = await store.load_runs(["r"])
    journal = await store.read_journal("r") if rows else []
    await store.close()
    told = [(entry.seq, entry.kind, entry.step) for entry in journal]
    for name, seen in readers.seen.items():
        sim.expect(
            seen == told[: len(seen)], "a stream tells what is in the journal",
            f"{name}: {seen[-3:]} of {told}",
        )  # fmt: skip
    if told and told[-1][1] in LAST:
        stopped = {"first"} if readers.moves else set[str]()
        for name in readers.seen.keys() - stopped:
            sim.expect(
                readers.seen[name] == told, "a stream goes on to the end",
                f"{name} has {len(readers.seen[name])} of {len(told)} events: {told}",
            )  # fmt: skip
        return told[-1][1]
    return "open"
