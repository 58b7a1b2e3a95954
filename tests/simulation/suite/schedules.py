"""Engines with clocks apart and a store that fails: each time that is due is started once, or counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

from agenticaiframework.actors import agent_context
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import StoreError, StoreUnavailable
from agenticaiframework.patterns.engine.store.grouped.jobs import Job
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk

EPOCH_S = 1_700_000_000.0
EVERY_S = 2.0
LASTS_S = 30.0
COUNTS = ("fired", "missed", "skipped", "failed")
REPORT = {"name": "report", "steps": [{"id": "write", "agent": "writer"}]}
SCHEDULES: dict[str, dict[str, Any]] = {
    "all": {"missed": "all", "overlap": "allow"},
    "skip": {"missed": "latest", "overlap": "skip"},
    "queue": {"missed": "latest", "overlap": "queue"},
}


class World:
    """What outlives the machine: the disk, and when each run was at work."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.down = self.done_all_the_same = False


class Moody(MemoryBackend):
    """A disk that does not answer while its world says so, whether it has done what it was asked or not."""

    def __init__(self, sim: Simulation, world: World, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock, disk=world.disk)
        self._sim = sim
        self._boot = sim.boot
        self._world = world

    def commit(self, jobs: list[Job]) -> None:
        if self._sim.boot != self._boot:
            raise StoreUnavailable(self.label, "committing", "the machine has stopped")
        down, done = self._world.down, self._world.done_all_the_same
        if not down or done:
            super().commit(jobs)
        if down:
            raise StoreUnavailable(self.label, "committing", "the line is dead")


async def schedules(sim: Simulation) -> str:
    """Three schedules on one to three engines, which machine stops and outages of the store disturb."""
    world: World = sim.disk.setdefault("world", World())
    world.down = False
    at_work: dict[str, set[str]] = {name: set() for name in SCHEDULES}

    def clock(skew_s: float = 0.0) -> float:
        return EPOCH_S + sim.time() + skew_s

    async def write(payload: Any) -> Any:
        name, run_id = agent_context()["schedule"]["name"], agent_context()["workflow_id"]
        at_work[name].add(run_id)
        sim.expect(
            name == "all" or len(at_work[name]) == 1,
            "one run of a schedule at a time, if it says so", f"{sorted(at_work[name])}",
        )  # fmt: skip
        try:
            await asyncio.sleep(sim.random.choice([0.0, 0.5, 3.0, 7.0]))
        finally:
            at_work[name].discard(run_id)
        return payload

    def engine(number: int) -> OrchestrationEngine:
        skew_s = sim.random.choice([0.0, 0.0, 0.3, -0.7, 2.5])
        store = GroupedStore(Moody(sim, world, clock), clock=clock, inline=True)
        made = OrchestrationEngine(
            EngineConfig(
                state_store=store,
                persist_state=True,
                recover_every_seconds=1,
                lease_seconds=3,
                run_schedules=True,
                wall_clock=partial(clock, skew_s),
            ),
            name=f"engine-{number}",
        )
        made.register_agent("writer", write)
        made.register_workflow("report", REPORT)
        return made

    async def outages() -> None:
        while sim.time() < LASTS_S:
            await asyncio.sleep(sim.random.random() * 15)
            world.down, world.done_all_the_same = True, sim.random.random() < 0.5
            await asyncio.sleep(sim.random.choice([0.001, 0.3, 4.0, 12.0]) * sim.random.random())
            world.down = False

    engines = [engine(number) for number in range(sim.random.choice([1, 2, 2, 3]))]

    async def live() -> None:
        for each in engines:
            await persist(each.__aenter__)
        for name, rules in SCHEDULES.items():
            for each in engines:
                await persist(
                    partial(
                        each.schedule, name, "report", "$schedule.due", every_s=EVERY_S, **rules
                    )
                )
        moods = asyncio.ensure_future(outages())
        await asyncio.sleep(max(0.0, LASTS_S - sim.time()))
        await moods
        for name in SCHEDULES:
            await persist(partial(engines[0].pause_schedule, name))
        async with asyncio.timeout(120):
            while not settled(world):
                await asyncio.sleep(1)
        for each in engines:
            await each.stop()

    outcome = await sim.attempt(live())
    sim.expect(
        type(outcome.error) is not TimeoutError, "what was decided is started", repr(outcome.error)
    )
    if outcome.ok:
        check(sim, world)
    return "done" if outcome.ok else type(outcome.error).__name__


async def persist(call: Callable[[], Awaitable[Any]]) -> Any:
    """Make a call again until the store answers."""
    while True:
        try:
            return await call()
        except StoreError:
            await asyncio.sleep(0.3)


def records(world: World) -> dict[str, dict[str, Any]]:
    return {name: json.loads(row.body) for name, row in world.disk.schedules.rows.items()}


def settled(world: World) -> bool:
    """Tell whether nothing is to be started or has not ended."""
    starting = any(record["starting"] for record in records(world).values())
    return not starting and all(run.finished_at is not None for run in world.disk.runs.values())


def due_of(run: Any) -> tuple[str, float]:
    labels = json.loads(run.labels)
    return labels["schedule"], datetime.fromisoformat(labels["due"]).timestamp()


def check(sim: Simulation, world: World) -> None:
    """Every time that was due is one run, or is counted as what it was."""
    started = Counter(due_of(run) for run in world.disk.runs.values())
    sim.expect(
        all(count == 1 for count in started.values()), "each time starts one run",
        f"{[each for each, count in started.items() if count > 1]}",
    )  # fmt: skip
    for name, record in records(world).items():
        due = sorted(at for schedule, at in started if schedule == name)
        sim.expect(
            record["fired"] == len(due), "each run is counted once",
            f"{name}: {record['fired']} fired, {len(due)} runs",
        )  # fmt: skip
        first = (record["created_at"] // EVERY_S + 1) * EVERY_S
        decided = round((record["next"] - first) / EVERY_S)
        counted = sum(record[each] for each in COUNTS) + len(record["waiting"])
        sim.expect(
            counted == decided, "each time that was due is counted once",
            f"{name}: {decided} due, { {each: record[each] for each in COUNTS} }",
        )  # fmt: skip
        sim.expect(record["failed"] == 0, "a start does not fail with its store", f"{record}")
        if name == "all":
            sim.expect(
                due == [first + EVERY_S * number for number in range(decided)],
                "no time is lost where all are wanted", f"{decided} due, {len(due)} started",
            )  # fmt: skip
