"""The machine stops at every single step of a run, and boots again: the same rules hold.

Simulated: virtual time, actors in an order by seed, a disk that survives. Each test tries every step
at which anything could be interrupted, so that no await is left out by chance.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agenticaiframework.actors import agent_context
from agenticaiframework.actors.simulation import FaultPlan, Kill, Simulation, StopMachine
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowExists,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk

from .rules import attempt_of, check_effects, check_journals, claims_of, ended_at

SHORT = {
    "name": "short",
    "steps": [
        {"id": "first", "agent": "work", "input": {"n": 1}},
        {"id": "each", "agent": "work", "for_each": ["x", "y"], "input": {"n": "$item"}},
        {"id": "flaky", "agent": "flaky", "retry": {"attempts": 2, "initial_delay_s": 1}},
        {
            "id": "loop",
            "agent": "work",
            "input": {"n": 1},
            "until": "$iteration == 2",
            "max_iterations": 3,
        },
    ],
}
NESTED = {
    "name": "outer",
    "steps": [
        {
            "id": "nested",
            "workflow": {
                "name": "inner",
                "steps": [
                    {"id": "in1", "agent": "work", "input": {"n": 1}},
                    {"id": "rest", "delay": 1},
                    {
                        "id": "deep",
                        "workflow": {
                            "name": "innermost",
                            "steps": [
                                {"id": "in2", "agent": "work", "input": {"n": 2}},
                                {"id": "rest", "delay": 1},
                            ],
                        },
                    },
                ],
            },
        },
        {"id": "pause", "delay": 2},
        {"id": "last", "agent": "work", "input": {"n": "$nested.deep.in2.n"}},
    ],
}


class World:
    """What survives the machine: the disk, and what agents have done to the outside."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.effects: list[dict[str, Any]] = []


def clock() -> float:
    return 1_000_000 + asyncio.get_running_loop().time()


def open_disk(world: World) -> GroupedStore:
    return GroupedStore(MemoryBackend(clock=clock, disk=world.disk), clock=clock, inline=True)


def scenario_of(flow: dict[str, Any], runs: int) -> Any:
    async def scenario(sim: Simulation) -> Any:
        world: World = sim.disk.setdefault("world", World())

        def effect(kind: str) -> dict[str, Any]:
            context = agent_context()
            entry = {
                "kind": kind,
                "key": attempt_of(context),
                "run": context["workflow_id"],
                "step": context["step"],
                "attempt": context["attempt"],
                "life": sim.boot,
                "at": clock(),
            }
            world.effects.append(entry)
            return entry

        async def work(payload: Any) -> Any:
            effect("begin")
            await asyncio.sleep(0.5)
            return {"n": payload["n"]}

        async def flaky(payload: Any) -> Any:
            if effect("begin")["attempt"] == 1:
                raise ValueError("the first attempt fails")
            return {}

        engine = OrchestrationEngine(
            EngineConfig(
                state_store=open_disk(world),
                persist_state=True,
                recover_on_start=True,
                recover_every_seconds=1,
                lease_seconds=3,
                wall_clock=clock,
            )
        )
        engine.register_agent("work", work)
        engine.register_agent("flaky", flaky)
        async with engine:

            async def one(run_id: str) -> None:
                try:
                    await engine.start_workflow(workflow=flow, workflow_id=run_id)
                except WorkflowExists:
                    pass
                await engine.wait(run_id)

            await asyncio.gather(*(one(f"r{n}") for n in range(runs)))
            store = engine.config.state_store
            page = await store.list_runs(limit=1000)
            ids = [row.run_id for row in page.rows]
            rows = await store.load_runs(ids)
            entries = await store.read_journals(ids)
            return {run_id: (rows[run_id], entries[run_id]) for run_id in ids}

    return scenario


def simulate(flow: dict[str, Any], runs: int, plan: FaultPlan, seed: int | None) -> Any:
    sim = Simulation(seed=seed, plan=plan)
    report = sim.run(scenario_of(flow, runs))
    return sim, report


def holds(flow: dict[str, Any], runs: int, plan: FaultPlan, seed: int | None) -> Any:
    """Run under *plan* and check the rules; return the report."""
    sim, report = simulate(flow, runs, plan, seed)
    assert report.error is None, (plan, report.error)
    assert report.violations == [], (plan, report.violations)
    check_journals(report.value, runs)
    check_effects(sim.disk["world"].effects, ended_at(report.value), claims_of(report.value))
    return report


@pytest.mark.parametrize(("flow", "runs"), [(SHORT, 1), (NESTED, 1), (SHORT, 2)],
                         ids=["short", "nested", "two at once"])  # fmt: skip
def test_a_machine_that_stops_at_any_step_loses_and_repeats_nothing(
    flow: dict[str, Any], runs: int
) -> None:
    steps = holds(flow, runs, FaultPlan(), seed=1).steps
    assert steps > 50
    boots = set()
    stride = 1 if os.environ.get("AGENTICAI_CRASH_KILLS") or runs == 1 else 3
    for at_step in range(1, steps, stride):
        report = holds(flow, runs, FaultPlan(faults=[StopMachine(at_step=at_step)]), seed=1)
        boots.add(report.boots)
    assert 2 in boots


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.integers(1, 250), min_size=1, max_size=4),
    st.sampled_from([SHORT, NESTED]),
)
def test_machines_that_stop_again_and_again_get_there_all_the_same(
    seed: int, at_steps: list[int], flow: dict[str, Any]
) -> None:
    plan = FaultPlan(faults=[StopMachine(at_step=step) for step in at_steps])
    holds(flow, 1, plan, seed)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["RunCoordinator", "StepWorker", "StoreKeeper", "_AsyncCall"]),
    st.integers(1, 6),
    st.sampled_from([SHORT, NESTED]),
)
def test_actors_of_the_engine_that_are_killed_lose_nothing(
    seed: int, victim: str, at_message: int, flow: dict[str, Any]
) -> None:
    plan = FaultPlan(faults=[Kill(actor=f"{victim}*", at_message=at_message)])
    _, report = simulate(flow, 1, plan, seed)
    if isinstance(report.error, WorkflowFailed):
        # A step whose worker is killed has failed, and says so; nothing else may come of it.
        assert victim in ("StepWorker", "_AsyncCall"), report.error
        return
    assert report.error is None, (plan, report.error)
    check_journals(report.value, 1)
