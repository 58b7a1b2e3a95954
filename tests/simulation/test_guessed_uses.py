"""The testing kit used as one would guess from its page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.testing import (
    Crash,
    FaultPlan,
    Faults,
    Hang,
    NotFaults,
    Partition,
    Search,
    Simulation,
    SimulationFailed,
    StopMachine,
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
        with pytest.raises(NotFaults):

            @simulate(faults=wrong)  # type: ignore[call-overload]
            async def never(sim: Simulation) -> None: ...

        with pytest.raises(NotFaults):
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
    with pytest.raises(NotFaults):
        simulate_once(scenario, plan="crash")  # type: ignore[arg-type]
