"""The testing kit used as one would guess from its page."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import AgentTimeout
from agenticaiframework.testing import (
    BadSimulation,
    Crash,
    FaultPlan,
    Faults,
    Hang,
    Partition,
    Search,
    Simulation,
    SimulationFailed,
    StopMachine,
    run_sim,
    simulate,
    simulate_once,
)


async def echo(payload: Any) -> Any:
    return payload


def test_a_plain_async_test_needs_no_parameter() -> None:
    runs: list[float] = []

    @simulate(runs=5)
    async def plain() -> None:
        await asyncio.sleep(3600)
        runs.append(asyncio.get_running_loop().time())

    plain()
    assert runs == [3600.0] * 5


def test_a_plain_test_that_fails_is_found_too() -> None:
    @simulate(runs=50)
    async def racy() -> None:
        seats = {"left": 1}

        async def book(_payload: Any) -> None:
            left = seats["left"]
            await asyncio.sleep(0)
            seats["left"] = left - 1

        agents = [Agent(f"booker-{number}", handler=book) for number in range(2)]
        await asyncio.gather(*(agent.ask(None) for agent in agents))
        assert seats["left"] == -1

    with pytest.raises(
        SimulationFailed, match=r"at test_guessed_uses.py:\d+ in racy: assert seats"
    ):
        racy()
    report = simulate_once(racy.scenario)  # type: ignore[attr-defined]
    assert isinstance(report.error, AssertionError)


def test_the_simulation_comes_by_its_name_or_type_wherever_it_stands() -> None:
    got: list[tuple[Any, ...]] = []

    @simulate(runs=1)
    async def last(first: int, sim: object) -> None:
        got.append((first, type(sim)))

    @simulate(runs=1)
    async def typed(first: int, world: Simulation) -> None:
        got.append((first, type(world)))

    @simulate(runs=1)
    async def unnamed(world) -> None:  # type: ignore[no-untyped-def]
        got.append((0, type(world)))

    last(first=1)
    typed(2)
    unnamed()
    assert got == [(1, Simulation), (2, Simulation), (0, Simulation)]


class TestMethods:
    @simulate(runs=2)
    async def test_a_method_is_simulated(self, sim: Simulation) -> None:
        assert isinstance(self, TestMethods)
        assert isinstance(sim, Simulation)

    @simulate(runs=2)
    async def test_a_method_without_parameters(self) -> None:
        assert isinstance(self, TestMethods)

    @pytest.mark.parametrize("number", [1, 2])
    @simulate(runs=2)
    async def test_a_method_with_a_parameter(self, sim: Simulation, number: int) -> None:
        assert number in (1, 2)
        assert sim.time() == 0


def test_faults_are_a_list_or_one_as_well_as_a_plan() -> None:
    for faults in (
        [Crash(actor="echo", at_message=1)],
        (Crash(actor="echo", at_message=1),),
        Crash(actor="echo", at_message=1),
        FaultPlan.of(Crash(actor="echo", at_message=1)),
    ):
        landed: list[bool] = []

        @simulate(runs=3, faults=faults)
        async def crashing(sim: Simulation, landed: list[bool] = landed) -> None:
            outcome = await sim.attempt(Agent("echo", handler=echo).ask(1))
            landed.append(outcome.error is not None)

        crashing()
        assert landed == [True] * 3


def test_a_faults_first_field_goes_by_position() -> None:
    assert Crash("worker", at_message=2) == Crash(actor="worker", at_message=2)  # type: ignore[call-arg]
    assert Partition("a*", at_time_s=1) == Partition(between="a*", at_time_s=1)  # type: ignore[call-arg]
    assert StopMachine(120) == StopMachine(at_step=120)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="by position"):
        Crash("worker", 2)  # type: ignore[call-arg]


def test_faults_that_mean_nothing_are_refused_where_they_are_given() -> None:
    for wrong in ("crash", 5, ["crash"], [Crash], {"kind": "crash"}):
        with pytest.raises(BadSimulation):

            @simulate(faults=wrong)  # type: ignore[call-overload]
            async def never(sim: Simulation) -> None: ...

        with pytest.raises(BadSimulation):
            Search(echo, faults=wrong)  # type: ignore[arg-type]
    for kinds in (("crash",), (int,), "crash"):
        with pytest.raises(ValueError, match="kind of fault"):
            Faults(kinds=kinds)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="below 1"):
        Faults(most=0)
    assert Faults(kinds=Hang) == Faults(kinds=(Hang,))  # type: ignore[arg-type]


def test_one_run_takes_a_list_of_faults_too() -> None:
    async def scenario(sim: Simulation) -> None:
        await sim.attempt(Agent("echo", handler=echo).ask(1))

    report = simulate_once(scenario, plan=[Crash(actor="echo", at_message=1)])  # type: ignore[arg-type]
    assert [landed.where for landed in report.landed] == ["echo"]
    with pytest.raises(BadSimulation):
        simulate_once(scenario, plan="crash")  # type: ignore[arg-type]


def test_a_simulation_cannot_begin_where_a_loop_runs_and_can_in_another_thread() -> None:
    async def scenario(_sim: Simulation) -> float:
        await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    async def main() -> None:
        for begin in (lambda: simulate_once(scenario), lambda: run_sim(lambda: scenario(None))):  # type: ignore[arg-type,return-value]
            with pytest.raises(BadSimulation, match=r"asyncio\.to_thread\(simulate_once"):
                begin()
        report = await asyncio.to_thread(simulate_once, scenario, seed=1)
        assert report.value == 60.0

    asyncio.run(main())


def test_what_is_no_scenario_is_told_so() -> None:
    with pytest.raises(BadSimulation, match="async def scenario"):
        simulate_once(5)  # type: ignore[arg-type]
    report = simulate_once(lambda _sim: 1)  # type: ignore[arg-type,return-value]
    assert isinstance(report.error, BadSimulation)


def test_simulations_in_several_threads_do_not_see_each_other() -> None:
    """Nor do they see what other threads the process has meanwhile."""

    async def scenario(sim: Simulation) -> None:
        async def slow(payload: float) -> float:
            await asyncio.sleep(payload)
            return payload

        def blocking(payload: float) -> float:
            time.sleep(payload)
            return payload

        agents = [Agent("slow", handler=slow), Agent("blocking", handler=blocking)]
        assert agents[1].dispatcher == "thread"
        await asyncio.gather(*(agent.ask(n % 3) for n in range(8) for agent in agents))

    wanted = {seed: simulate_once(scenario, seed=seed).trace_hash for seed in range(10)}
    over = threading.Event()
    others: list[threading.Thread] = []
    wrong: list[Any] = []

    def simulate_all() -> None:
        for seed, trace_hash in wanted.items():
            report = simulate_once(scenario, seed=seed)
            others.append(threading.Thread(target=over.wait, args=(60,)))
            others[-1].start()
            if report.failed or report.trace_hash != trace_hash:
                wrong.append((seed, report.narrative()))

    threads = [threading.Thread(target=simulate_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    over.set()
    for other in others:
        other.join(120)
    assert wrong == []


def test_a_handler_that_blocks_answers_when_it_has_slept() -> None:
    async def scenario(sim: Simulation) -> None:
        done: list[int] = []

        def block(minutes: int) -> int:
            time.sleep(60 * minutes)
            done.append(minutes)
            return minutes

        agent = Agent("blocks", handler=block)
        with pytest.raises(AgentTimeout):
            await agent.ask(5, timeout=60)
        assert sim.time() == pytest.approx(60, abs=1)
        first = agent.request(2)
        second = agent.request(3)
        assert await first == 2
        assert sim.time() == pytest.approx(180, abs=1)
        assert await second == 3
        assert sim.time() == pytest.approx(360, abs=1)
        assert done == [5, 2, 3]  # what is left behind goes on, as a thread would

    for seed in range(10):
        report = simulate_once(scenario, seed=seed)
        assert not report.failed, report.narrative()
