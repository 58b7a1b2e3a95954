"""A store that does not answer for a while: every run ends as its journal says, and no work is redone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from agenticaiframework.actors import agent_context
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    WorkflowCancelled,
    WorkflowEnded,
    WorkflowExists,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.store import StoreError, StoreUnavailable
from agenticaiframework.patterns.engine.store.grouped.jobs import Job
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk

EPOCH_S = 1_700_000_000.0
LIMIT_S = 500.0
LAST = ("workflow_completed", "workflow_failed", "workflow_cancelled")


class Moody(MemoryBackend):
    """A disk that does not answer while its world says so, whether it has done what it was asked or not."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=world.clock, disk=world.disk)
        self._world = world

    def commit(self, jobs: list[Job]) -> None:
        down, done = self._world.down, self._world.done_all_the_same
        if not down or done:
            super().commit(jobs)
        if down:
            raise StoreUnavailable(self.label, "committing", "the line is dead")


def random_flow(rng: random.Random) -> dict[str, Any]:
    """Return a workflow of a few steps; some wait for signals, some runs fail and are undone."""
    steps: list[dict[str, Any]] = []
    for number in range(rng.randint(1, 4)):
        step: dict[str, Any] = {"id": f"s{number}", "agent": "work", "input": {"n": number}}
        kind = rng.randrange(5)
        if kind == 0:
            step = {"id": f"s{number}", "wait_for": "go"}
        elif kind == 1:
            step |= {"for_each": ["x", "y"], "input": {"n": number}}
        elif kind == 2:
            step = {"id": f"s{number}", "delay": 2}
        elif kind == 3:
            step["compensate"] = "undo"
        steps.append(step)
    if rng.random() < 0.2:
        steps.append({"id": "broken", "agent": "broken"})
    return {"name": "flow", "steps": steps}


class World:
    """The engines, what their runs did outside, and what was asked of them."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.rng = sim.random
        self.disk = MemoryDisk()
        self.down = self.done_all_the_same = False
        self.effects: Counter[str] = Counter()
        self.undone: Counter[str] = Counter()
        self.undoing: dict[str, bool] = {}
        """The runs that were to be cancelled, and whether they were to be undone."""
        self.engines = [self._engine(f"engine-{n}") for n in range(self.rng.choice([1, 1, 2]))]

    def clock(self) -> float:
        return EPOCH_S + self.sim.time()

    def _engine(self, name: str) -> OrchestrationEngine:
        store = GroupedStore(Moody(self), clock=self.clock, inline=True)
        durability = "normal" if self.rng.random() < 0.3 else "full"
        config = EngineConfig(
            state_store=store, persist_state=True, wall_clock=self.clock, durability=durability
        )
        engine = OrchestrationEngine(config, name=name)
        engine.register_agent("work", self.work)
        engine.register_agent("undo", self.undo)
        engine.register_agent("broken", self.broken)
        return engine

    async def work(self, payload: Any) -> Any:
        self.effects[agent_context()["idempotency_key"]] += 1
        await asyncio.sleep(self.rng.choice([0, 0.2, 1]))
        return {"n": payload["n"]}

    async def undo(self, _: Any) -> None:
        self.undone[agent_context()["workflow_id"]] += 1
        await asyncio.sleep(self.rng.choice([0, 0.2]))

    def broken(self, _: Any) -> None:
        raise ValueError("it is broken")

    # -- what happens ----------------------------------------------------------------------------

    async def fail_now_and_then(self) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 4)):
            await asyncio.sleep(rng.random() * 2)
            self.down, self.done_all_the_same = True, rng.random() < 0.5
            await asyncio.sleep(rng.choice([0, 0.001, 0.3, 3, 20]) * rng.random())
            self.down = False

    async def persist(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call again until the store answers."""
        while True:
            try:
                return await call()
            except StoreError:
                await asyncio.sleep(0.3)

    async def one(self, run_id: str) -> None:
        rng = self.rng
        engine, other = rng.choice(self.engines), rng.choice(self.engines)
        flow = random_flow(rng)
        await self.begin(engine, flow, run_id)
        await asyncio.sleep(rng.random() * 3)
        cancelling = None
        if rng.random() < 0.4:
            how = self.undoing[run_id] = rng.random() < 0.5
            cancelling = asyncio.create_task(
                self.persist(lambda: other.cancel_workflow(run_id, "stop", compensate=how))
            )
        signalling = asyncio.create_task(self.signal(other, run_id, len(flow["steps"])))
        outcome = await self.sim.attempt(asyncio.wait_for(engine.wait(run_id), LIMIT_S))
        self.sim.expect(
            outcome.ok or isinstance(outcome.error, WorkflowCancelled | WorkflowFailed),
            "who waits waits on", repr(outcome.error),
        )  # fmt: skip
        await signalling
        report = None if cancelling is None else await asyncio.wait_for(cancelling, LIMIT_S)
        await self.check(engine, run_id, outcome.ok, report)

    async def begin(self, engine: OrchestrationEngine, flow: Any, run_id: str) -> None:
        try:
            await self.persist(lambda: engine.start_workflow(workflow=flow, workflow_id=run_id))
        except WorkflowExists:
            self.sim.expect(False, "a run of one's own is not another's", run_id)

    async def signal(self, engine: OrchestrationEngine, run_id: str, count: int) -> None:
        for _ in range(count):
            try:
                await self.persist(lambda: engine.signal_workflow(run_id, "go"))
            except WorkflowEnded:
                return
            await asyncio.sleep(self.rng.choice([0, 0.5]))

    # -- what must hold --------------------------------------------------------------------------

    async def check(self, engine: OrchestrationEngine, run_id: str, ok: bool, report: Any) -> None:
        sim = self.sim
        backend = MemoryBackend(clock=self.clock, disk=self.disk)
        reader = GroupedStore(backend, clock=self.clock, inline=True)
        await reader.open()
        entries = await reader.read_journal(run_id)
        row = await reader.load_run(run_id)
        await reader.close()
        kinds = [str(entry.kind) for entry in entries]
        told = f"{run_id}: {row.state}, {kinds}"
        sim.expect(
            [entry.seq for entry in entries] == list(range(1, len(entries) + 1)),
            "a journal has no gap", told,
        )  # fmt: skip
        ends = [kind for kind in kinds if kind in LAST]
        sim.expect(
            len(ends) == 1 and kinds[-1] == ends[0] == f"workflow_{row.state}",
            "a run ends once", told,
        )  # fmt: skip
        sim.expect(row.finished, "a run that has ended has ended in the store", told)
        state = (await self.persist(lambda: engine.get_workflow_status(run_id))).state
        sim.expect(state == row.state, "the engine says what the store says", f"{state}; {told}")
        sim.expect(ok == (row.state == "completed"), "who waits is told the truth", told)
        if report is not None:
            sim.expect(report.state == row.state, "a cancellation tells the truth", f"{report}")
        done = Counter(e.step for e in entries if e.kind == EventKind.STEP_COMPLETED)
        sim.expect(max(done.values(), default=1) == 1, "no step completes twice", told)
        if row.state == "cancelled" and not self.undoing[run_id]:
            sim.expect(not self.undone[run_id], "how it was to be cancelled is kept", told)


async def outages(sim: Simulation) -> None:
    """Some runs at once, signalled and cancelled, over a store that fails now and then."""
    world = World(sim)
    failing = asyncio.create_task(world.fail_now_and_then())
    runs = [world.one(f"r{n}") for n in range(sim.random.randint(1, 4))]
    outcome = await sim.attempt(asyncio.gather(*runs))
    sim.expect(outcome.ok, "nothing else goes wrong", repr(outcome.error))
    await failing
    for engine in world.engines:
        await engine.stop()
    sim.expect(
        max(world.effects.values(), default=1) == 1, "what was done is not done again",
        f"{world.effects.most_common(2)}",
    )  # fmt: skip
