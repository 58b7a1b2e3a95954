"""Bugs that simulated runs found in this library, each with the smallest scenario that showed it."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import Actor
from agenticaiframework.actors.simulation import (
    FailStore,
    FaultPlan,
    Simulation,
    simulate_once,
)
from agenticaiframework.patterns.engine import EngineConfig, EventKind, OrchestrationEngine
from agenticaiframework.patterns.engine.store.simulated import EPOCH_S, simulated_store


class SlowToLeave(Actor):
    """Takes its time over goodbye."""

    def __init__(self, farewell_s: float) -> None:
        super().__init__()
        self.farewell_s = farewell_s

    async def on_stop(self) -> None:
        await asyncio.sleep(self.farewell_s)

    async def on_receive(self, message: Any) -> None:
        await asyncio.sleep(10)


def test_stopping_a_system_waits_for_the_last_hooks_of_its_actors() -> None:
    async def scenario(sim: Simulation) -> None:
        for _ in range(3):
            SlowToLeave.start(2.0)

    report = simulate_once(scenario)
    assert not report.failed, report.narrative()
    ends = [event for event in report.trace or () if event.kind == "end"]
    assert [event.detail for event in ends] == ["'shutdown'"] * 3


def test_an_actor_whose_last_hook_hangs_is_left_behind_when_its_system_stops() -> None:
    async def scenario(sim: Simulation) -> None:
        for _ in range(5):
            SlowToLeave.start(1e6)

    report = simulate_once(scenario)
    assert not report.failed, report.narrative()
    # Its stop timeout of 10 s, and one second for all five together.
    assert report.time_s < 15


def test_a_told_message_whose_handling_is_cut_off_becomes_a_dead_letter() -> None:
    async def scenario(sim: Simulation) -> list[tuple[Any, Any]]:
        for number, end in enumerate(("kill", "exit")):
            ref = SlowToLeave.start(0.0)
            ref.tell(f"work {number}")
            await asyncio.sleep(1)
            if end == "kill":
                ref.kill()
            else:
                ref.exit("enough")
            await asyncio.sleep(1)
        return [(letter.message, letter.reason) for letter in sim.system.dead_letters]

    assert simulate_once(scenario).value == [("work 0", "killed"), ("work 1", "enough")]


def test_a_run_whose_store_refused_a_step_is_given_nothing_more_to_write() -> None:
    flow = {
        "name": "flow",
        "steps": [
            {"id": "first", "agent": "work", "input": {}},
            {"id": "left", "agent": "work", "depends_on": ["first"], "input": {}},
            {"id": "right", "agent": "work", "depends_on": ["first"], "input": {}},
        ],
    }

    async def scenario(sim: Simulation) -> None:
        async def work(payload: Any) -> dict[str, Any]:
            await asyncio.sleep(1)
            return {}

        store = simulated_store(sim)
        engine = OrchestrationEngine(
            EngineConfig(state_store=store, persist_state=True, wall_clock=sim.time)
        )
        engine.register_agent("work", work)
        async with engine:
            await sim.attempt(engine.execute(workflow=flow, input_data={}))
            await asyncio.sleep(5)
            for row in (await store.list_runs()).rows:
                entries = await store.read_journal(row.run_id)
                done = {entry.step for entry in entries if entry.kind == EventKind.STEP_COMPLETED}
                sim.expect(
                    row.state != "completed" or len(done) == 3,
                    "completed means every step is",
                    f"only {sorted(done)}",
                )

    for at_operation in range(1, 7):
        plan = FaultPlan.of(FailStore(operation="append", at_operation=at_operation))
        for seed in range(15):
            report = simulate_once(scenario, plan=plan, seed=seed)
            assert not report.failed, report.narrative()


def test_what_a_recovery_claimed_when_the_store_failed_is_recovered_by_the_next() -> None:
    flow = {"name": "flow", "steps": [{"id": "only", "agent": "work", "delay": 5, "input": {}}]}

    async def scenario(sim: Simulation) -> None:
        async def work(payload: Any) -> str:
            return "done"

        def engine() -> OrchestrationEngine:
            store = simulated_store(sim)
            made = OrchestrationEngine(
                EngineConfig(
                    state_store=store,
                    persist_state=True,
                    wall_clock=lambda: EPOCH_S + sim.time(),
                )
            )
            made.register_agent("work", work)
            return made

        async with engine() as first:
            ids = [await first.start_workflow(workflow=flow, input_data={}) for _ in range(3)]
            await asyncio.sleep(1)
        async with engine() as second:
            await sim.attempt(second.recover())  # where the plan lets the store fail
            await second.recover()
            for run_id in ids:
                result = await asyncio.wait_for(second.wait(run_id), 60)
                sim.expect(result["only"] == "done", "it goes on", run_id)

    landed = 0
    for operation in ("load_runs", "read_journals", "load_definitions", "release"):
        report = simulate_once(
            scenario, plan=FaultPlan.of(FailStore(operation=operation, at_operation=1)), seed=1
        )
        assert not report.failed, report.narrative()
        landed += len(report.landed)
    assert landed >= 2, "the store failed in the middle of a recovery"
