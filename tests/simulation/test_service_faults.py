"""Random faults strike what the user wrote: a service that is right passes, whatever its agents suffer."""

from __future__ import annotations

from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import Actor
from agenticaiframework.orchestration import AgentSupervisor, EngineConfig, OrchestrationEngine
from agenticaiframework.testing import (
    FailStart,
    FaultPlan,
    Faults,
    Garbage,
    Hang,
    Partition,
    Profile,
    Simulation,
    Slow,
    simulate_once,
)

FLOW = {
    "name": "flow",
    "steps": [
        {
            "id": "work",
            "agent": "worker",
            "timeout_seconds": 20,
            "retry": {"attempts": 50, "initial_delay_s": 1, "max_delay_s": 5},
        }
    ],
}


class Counter(Actor):
    def on_receive(self, message: Any) -> int:
        return 1


async def work(_payload: object) -> str:
    return "done"


async def service(sim: Simulation) -> tuple[object, float]:
    counter = Counter.start(_name="counter")
    async with AgentSupervisor("top") as top:
        worker = Agent("worker", handler=work)
        top.add_child("worker", worker)
        config = EngineConfig(state_store="memory://", persist_state=True)
        async with OrchestrationEngine(config) as engine:
            engine.register_agent("worker", worker)
            run_id = await engine.start_workflow(FLOW)
            await sim.attempt(counter.request("one"))
            result = await sim.attempt(engine.wait(run_id, timeout=600))
            return result.value, sim.time()


def profile() -> Profile:
    report = simulate_once(service)
    assert not report.failed, report.narrative()
    return Profile.of(report)


def struck(faults: Faults, seeds: int = 400) -> set[str]:
    seen = profile()
    found: set[str] = set()
    for seed in range(seeds):
        for fault in faults.plan(seed, seen).faults:
            found.add(getattr(fault, "actor", "") or getattr(fault, "between", ""))
    return {name for name in found if name and "*" not in name}


def test_random_faults_strike_agents_and_actors_of_ones_own_and_not_the_librarys() -> None:
    assert struck(Faults()) == {"worker", "counter"}
    assert struck(Faults(library=True)) > {"worker", "counter", "top"}


def test_no_agent_answers_nonsense_or_fails_at_its_first_start_unless_asked_for() -> None:
    seen = profile()
    made = [fault for seed in range(400) for fault in Faults().plan(seed, seen).faults]
    assert not any(isinstance(fault, Garbage) for fault in made)
    starts = {fault.at_start for fault in made if isinstance(fault, FailStart)}
    assert starts
    assert min(starts) > 1
    given = Faults(kinds=(Garbage,))
    assert any(given.plan(seed, seen).faults for seed in range(20))


@pytest.mark.parametrize(
    ("fault", "ends_at_s"),
    [
        (Hang(actor="worker", at_message=1), 21),
        (Slow(actor="worker", at_message=1, delay_s=600), 21),
        (Slow(actor="worker", at_message=1, delay_s=19), 19),
    ],
)
def test_a_fault_of_an_agent_counts_for_the_time_limit_of_its_step(
    fault: Any, ends_at_s: float
) -> None:
    report = simulate_once(service, plan=FaultPlan.of(fault))
    assert report.value == ({"work": "done"}, ends_at_s)


def test_a_partition_does_not_lose_what_an_agents_end_has_the_engine_do() -> None:
    plan = FaultPlan.of(Partition(between="worker", at_time_s=0, heal_after_s=30))
    report = simulate_once(service, plan=plan)
    assert report.value is not None
    value, ended_at_s = report.value
    assert value == {"work": "done"}
    assert 30 <= ended_at_s < 40


def test_what_the_librarys_actors_do_among_themselves_is_left_out_of_the_story() -> None:
    report = simulate_once(service)
    assert report.trace is not None
    everything = {event.actor for event in report.trace}
    shown = {event.actor for event in report.events if not event.peer}
    assert {"worker", "counter"} <= shown
    assert not shown & report.library
    assert report.library <= everything
    assert "top" in report.library
