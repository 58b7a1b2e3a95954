"""Exploration tries every different order once, and misses none."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agenticaiframework.actors import Actor, ActorRef
from agenticaiframework.actors.simulation import (
    Exploration,
    PctChooser,
    Report,
    Scenario,
    Simulation,
    chance_of_finding,
    explore,
    simulate_once,
)

from .scenarios import Forwarder, Sink, lost_update


def outcomes_of(scenario: Scenario, **options: Any) -> tuple[set[str], Exploration[Report]]:
    seen: set[str] = set()

    def run(chooser: Any) -> Report:
        report = simulate_once(scenario, chooser=chooser)
        assert report.error is None, report.narrative()
        seen.add(repr(report.value))
        return report

    found = explore(run, failed=lambda report: False, keep_going=True, **options)
    return seen, found


def senders(count: int, *, shared: bool) -> Scenario:
    async def scenario(sim: Simulation) -> Any:
        sinks = [Sink.start() for _ in range(1 if shared else count)]
        forwarders = [Forwarder.start(sinks[0 if shared else n]) for n in range(count)]
        for number, forwarder in enumerate(forwarders):
            forwarder.tell(number)
        await asyncio.sleep(1)
        return [await sink.request("get") for sink in sinks]

    return scenario


@pytest.mark.parametrize("count", [2, 3, 4])
def test_messages_of_n_senders_to_one_actor_come_in_every_order_and_each_order_once(
    count: int,
) -> None:
    seen, found = outcomes_of(senders(count, shared=True))
    assert found.exhaustive
    assert found.schedules == len(seen) == math.factorial(count)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_actors_that_cannot_see_each_other_are_run_in_one_order(count: int) -> None:
    seen, found = outcomes_of(senders(count, shared=False))
    assert (found.schedules, len(seen), found.exhaustive) == (1, 1, True)


def test_without_reduction_the_same_outcomes_cost_more_runs() -> None:
    reduced, few = outcomes_of(senders(3, shared=True))
    full, many = outcomes_of(senders(3, shared=True), reduce=False)
    assert reduced == full
    assert few.schedules <= many.schedules / 4


def test_a_kill_races_with_the_messages_of_its_victim() -> None:
    class Killer(Actor):
        def __init__(self, victim: ActorRef[Any]) -> None:
            super().__init__()
            self.victim = victim

        def on_receive(self, message: Any) -> None:
            self.victim.kill()

    async def scenario(sim: Simulation) -> Any:
        sink = Sink.start()
        victim = Forwarder.start(sink)
        killer = Killer.start(victim)
        victim.tell("sent")
        killer.tell("now")
        await asyncio.sleep(1)
        return await sink.request("get")

    assert outcomes_of(scenario)[0] == outcomes_of(scenario, reduce=False)[0] == {"[]", "['sent']"}


def test_what_actors_share_is_explored_when_they_say_so() -> None:
    class Writer(Actor):
        def __init__(self, sim: Simulation, board: list[str], text: str, *, says: bool) -> None:
            super().__init__()
            self.sim, self.board, self.text, self.says = sim, board, text, says

        def on_receive(self, message: Any) -> None:
            if self.says:
                self.sim.touch("board")
            self.board.append(self.text)

    def scenario(says: bool) -> Scenario:
        async def run(sim: Simulation) -> Any:
            board: list[str] = []
            for text in "ab":
                Writer.start(sim, board, text, says=says).tell("write")
            await asyncio.sleep(1)
            return board

        return run

    assert outcomes_of(scenario(True))[0] == {"['a', 'b']", "['b', 'a']"}
    assert len(outcomes_of(scenario(False))[0]) == 1


def test_the_budget_of_runs_is_kept_and_said() -> None:
    _, found = outcomes_of(senders(4, shared=True), max_schedules=5)
    assert found.schedules == 5
    assert not found.exhaustive


def test_a_lost_update_is_found_and_its_schedule_replays() -> None:
    found = explore(
        lambda chooser: simulate_once(lost_update, chooser=chooser),
        failed=lambda report: report.failed,
    )
    schedule, report = found.failures[0]
    again = simulate_once(lost_update, schedule=schedule)
    assert report.failure == again.failure == "no update is lost"
    assert report.trace_hash == again.trace_hash


Program = list[tuple[int, tuple[int, ...]]]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A few actors that forward a message to fixed others: (messages from outside, targets)."""
    size = draw(st.integers(2, 3))
    return [
        (
            draw(st.integers(0, 1)),
            tuple(draw(st.lists(st.integers(number + 1, size), max_size=2))),
        )
        for number in range(size)
    ] + [(0, ())]


@settings(max_examples=30)
@given(programs())
def test_reduction_never_loses_an_outcome(program: Program) -> None:
    async def scenario(sim: Simulation) -> Any:
        log: list[tuple[int, list[Any]]] = []
        refs: list[ActorRef[Any]] = []

        class Node(Actor):
            def __init__(self, number: int) -> None:
                super().__init__()
                self.number = number
                self.got: list[Any] = []
                log.append((number, self.got))

            def on_receive(self, message: Any) -> None:
                self.got.append(message)
                for target in program[self.number][1]:
                    refs[target].tell((self.number, message))

        refs += [Node.start(number) for number in range(len(program))]
        for number, (outside, _) in enumerate(program):
            for message in range(outside):
                refs[number].tell(message)
        await asyncio.sleep(1)
        return log

    full, every = outcomes_of(scenario, reduce=False, max_schedules=400)
    reduced, found = outcomes_of(scenario, max_schedules=400)
    if every.exhaustive:
        assert found.exhaustive
        assert reduced == full


def first_failure(chooser: Callable[[int], Any], scenario: Scenario, runs: int) -> int | None:
    for number in range(runs):
        if simulate_once(scenario, chooser=chooser(number)).failed:
            return number + 1
    return None


def test_pct_finds_the_lost_update_as_often_as_its_bound_says() -> None:
    runs = 200
    hits = [
        simulate_once(lost_update, chooser=PctChooser(n, depth=2, steps=10)).failed
        for n in range(runs)
    ]
    # Two adders, a counter, three forwarders and the scenario; about ten choices.
    assert sum(hits) / runs >= chance_of_finding(runners=7, steps=10, depth=2)
    assert first_failure(lambda n: PctChooser(n, depth=2, steps=10), lost_update, 100)


def test_pct_is_the_same_for_the_same_seed() -> None:
    def hashes() -> list[str]:
        return [
            simulate_once(lost_update, chooser=PctChooser(n, steps=20)).trace_hash
            for n in range(10)
        ]

    assert hashes() == hashes()
    assert len(set(hashes())) > 1


def test_pct_does_not_starve_others_behind_one_that_spins() -> None:
    async def scenario(sim: Simulation) -> str:
        done: list[str] = []

        async def spin() -> None:
            while not done:
                await asyncio.sleep(0)

        async def work() -> None:
            done.append("done")

        await asyncio.gather(spin(), work())
        return done[0]

    for number in range(10):
        report = simulate_once(scenario, chooser=PctChooser(number, steps=10))
        assert report.value == "done", report.narrative()


def test_pct_lets_others_run_beside_callbacks_that_call_themselves_until_they_have() -> None:
    """As anyio's, which cancel a task again in each turn of the loop until it has ended."""

    async def scenario(sim: Simulation) -> None:
        loop = asyncio.get_running_loop()
        ended = False

        def again() -> None:
            if not ended:
                loop.call_soon(again)

        async def other() -> None:
            nonlocal ended
            await asyncio.sleep(0)
            ended = True

        again()
        await other()

    for number in range(20):
        report = simulate_once(scenario, chooser=PctChooser(number, steps=10))
        assert not report.failed


def test_pct_refuses_a_depth_that_means_nothing() -> None:
    with pytest.raises(ValueError, match=r"PctChooser\(seed=1, depth=3, steps=1000\)"):
        PctChooser(1, depth=0)
