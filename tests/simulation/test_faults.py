"""Each fault does to an actor what its name says, at its moment, and the run says where it landed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from agenticaiframework.actors import Actor, ActorDied, Agent, Mailbox, RequestTimeout
from agenticaiframework.actors.simulation import (
    BlockLoop,
    ClockSkew,
    Crash,
    FailStart,
    Fault,
    FaultPlan,
    FillMailbox,
    Garbage,
    Hang,
    InjectedCrash,
    Kill,
    LateAnswer,
    LoseNode,
    Partition,
    Report,
    Simulation,
    Slow,
    StopMachine,
    SwallowCancel,
    simulate_once,
)

from .scenarios import Counter, Forwarder, Sink


async def two_asks(sim: Simulation) -> list[Any]:
    counter = sim.system.start(Counter, _name="counter")
    outcomes = [await sim.attempt(counter.request("add", timeout=10)) for _ in range(2)]
    return [outcome.value if outcome.ok else type(outcome.error).__name__ for outcome in outcomes]


def run(*faults: Any) -> Report:
    report = simulate_once(two_asks, plan=FaultPlan.of(*faults))
    assert not report.failed, report.narrative()
    return report


def test_without_faults_all_is_well() -> None:
    assert run().value == [1, 2]


def test_a_crash_reaches_the_asker_and_ends_the_actor() -> None:
    report = run(Crash(actor="counter", at_message=1))
    assert report.value == ["InjectedCrash", "ActorDied"]
    assert [str(landed) for landed in report.landed] == [
        "Crash(actor='counter', at_message=1) landed at t=0 s on counter"
    ]


def test_a_crash_after_the_work_has_done_the_work() -> None:
    async def scenario(sim: Simulation) -> list[Any]:
        sink = Sink.start()
        sink._actor.crash_on_ask_error = False  # type: ignore[union-attr]
        await sim.attempt(sink.request("work"))
        return list(await sink.request("get"))

    plan = FaultPlan.of(Crash(actor="Sink#1", at_message=1, after=True))
    assert simulate_once(scenario, plan=plan).value == ["work"]


def test_a_kill_leaves_the_message_unanswered_and_says_killed() -> None:
    report = run(Kill(actor="counter", at_message=2))
    assert report.value == [1, "ActorDied"]


def test_a_crash_at_a_time_hits_an_idle_actor() -> None:
    async def scenario(sim: Simulation) -> Any:
        counter = sim.system.start(Counter, _name="counter")
        await asyncio.sleep(5)
        return (await sim.attempt(counter.request("add"))).error, counter.exit_reason

    error, reason = simulate_once(
        scenario, plan=FaultPlan.of(Crash(actor="counter", at_time_s=3, error="zap"))
    ).value
    assert isinstance(error, ActorDied)
    assert isinstance(reason, InjectedCrash)
    assert str(reason) == "zap"


def test_a_hang_ends_with_the_askers_timeout() -> None:
    report = run(Hang(actor="counter", at_message=1))
    # The handler hangs for ever, so the second message is never reached.
    assert report.value == ["RequestTimeout", "RequestTimeout"]
    assert report.time_s >= 20


def test_slow_work_is_done_late() -> None:
    report = run(Slow(actor="counter", at_message=1, delay_s=4))
    assert (report.value, report.time_s) == ([1, 2], 4)


def test_a_late_answer_has_its_effect_but_misses_the_asker() -> None:
    report = run(LateAnswer(actor="counter", at_message=1, delay_s=15))
    # The second ask waits behind the first and is answered 5 s after it was sent, with 2.
    assert report.value == ["RequestTimeout", 2]


def test_garbage_takes_the_place_of_the_answer() -> None:
    assert run(Garbage(actor="counter", at_message=1, value=None)).value == [None, 2]


def test_a_swallowed_cancellation_is_fenced_off() -> None:
    async def scenario(sim: Simulation) -> list[Any]:
        sink = Sink.start()
        forwarder = Forwarder.start(sink)
        forwarder.tell("late")
        await asyncio.sleep(1)
        forwarder.exit("shutdown")
        await asyncio.sleep(100)
        return list(await sink.request("get"))

    plan = FaultPlan.of(SwallowCancel(actor="Forwarder#1", at_message=1, delay_s=50))
    report = simulate_once(scenario, plan=plan, system_options={"cancel_grace_s": 5.0})
    assert report.value == []
    assert any("swallows" in event.detail for event in report.trace or ())


def test_a_blocked_loop_makes_others_late() -> None:
    async def scenario(sim: Simulation) -> float:
        async def wake() -> float:
            await asyncio.sleep(1)
            return sim.time()

        waking = asyncio.create_task(wake())
        await asyncio.sleep(0)
        await Counter.start().request("add")
        return await waking

    plan = FaultPlan.of(BlockLoop(at_message=1, delay_s=7))
    assert simulate_once(scenario, plan=plan).value == 7


def test_a_filled_mailbox_refuses_by_its_policy() -> None:
    class Small(Counter):
        mailbox = Mailbox(3, overflow="fail")

    async def scenario(sim: Simulation) -> tuple[str, int]:
        small = Small.start()
        await asyncio.sleep(2)
        refused = await sim.attempt(small.request("add", timeout=1))
        await asyncio.sleep(1)
        return type(refused.error).__name__, await small.request("add")

    plan = FaultPlan.of(
        Hang(actor="Small#1", at_message=9), FillMailbox(actor="Small#1", at_time_s=1)
    )
    report = simulate_once(scenario, plan=plan)
    assert not report.failed, report.narrative()
    # Noise is thrown away in its turn, so the mailbox has room again.
    assert report.value[1] in (1, 2)


def test_a_failing_start_happens_as_often_as_it_says() -> None:
    class Worker(Actor):
        def on_receive(self, message: Any) -> str:
            return "up"

    class Parent(Actor):
        async def on_receive(self, message: Any) -> list[str]:
            self.trap_exit = True
            tries: list[str] = []
            for _ in range(4):
                try:
                    await self.start_link(Worker, name="worker")
                    tries.append("started")
                except Exception as error:
                    tries.append(type(error).__name__)
                await asyncio.sleep(1)
                ref = self.system.whereis("worker")
                if ref is not None:
                    ref.kill()
                    await asyncio.sleep(1)
            return tries

    async def scenario(sim: Simulation) -> Any:
        return await Parent.start().request("go")

    plan = FaultPlan.of(FailStart(actor="worker", at_start=2, times=2))
    report = simulate_once(scenario, plan=plan)
    assert report.value == ["started", "StartFailed", "StartFailed", "started"]
    assert len(report.landed) == 2


def test_a_lost_node_takes_its_actors_at_one_instant() -> None:
    async def scenario(sim: Simulation) -> list[Any]:
        refs = [sim.system.start(Counter, _name=f"node1-{n}") for n in range(3)]
        other = sim.system.start(Counter, _name="node2-0")
        await asyncio.sleep(2)
        return [ref.exit_reason for ref in refs] + [other.is_alive()]

    plan = FaultPlan.of(LoseNode(actor="node1-*", at_time_s=1))
    report = simulate_once(scenario, plan=plan)
    assert report.value == ["noconnection"] * 3 + [True]
    assert {landed.time_s for landed in report.landed} == {1.0}


def test_a_partition_loses_messages_until_it_heals() -> None:
    async def scenario(sim: Simulation) -> Any:
        sink = sim.system.start(Sink, _name="sink")
        near = sim.system.start(Forwarder, sink, _name="near")
        for text in ("before", "during", "after"):
            near.tell(text)
            await asyncio.sleep(10)
        return await sink.request("get")

    plan = FaultPlan.of(Partition(between="sink", other="near", at_time_s=5, heal_after_s=10))
    report = simulate_once(scenario, plan=plan)
    assert report.value == ["before", "after"]
    assert any(event.kind == "dead" for event in report.trace or ())


def test_an_ask_across_a_partition_fails_with_noconnection() -> None:
    plan = FaultPlan.of(Partition(between="counter", at_time_s=0))

    async def scenario(sim: Simulation) -> Any:
        counter = sim.system.start(Counter, _name="counter")
        await asyncio.sleep(1)
        return (await sim.attempt(counter.request("add"))).error

    error = simulate_once(scenario, plan=plan).value
    assert isinstance(error, ActorDied)
    assert error.reason == "noconnection"


def test_a_clock_that_leaps_makes_timers_late() -> None:
    async def scenario(sim: Simulation) -> float:
        await asyncio.sleep(10)
        return sim.time()

    plan = FaultPlan.of(ClockSkew(at_time_s=4, by_s=100))
    assert simulate_once(scenario, plan=plan).value == 104


def test_a_stopped_machine_boots_again_and_only_its_disk_survives() -> None:
    seen: list[int] = []

    async def scenario(sim: Simulation) -> tuple[int, int]:
        seen.append(sim.boot)
        counter = Counter.start()
        while sim.disk.get("count", 0) < 3:
            sim.disk["count"] = sim.disk.get("count", 0) + await counter.request("add") * 0 + 1
            await asyncio.sleep(1)
        return sim.boot, await counter.request("get")

    report = simulate_once(scenario, plan=FaultPlan.of(StopMachine(at_time_s=1.5)))
    assert not report.failed, report.narrative()
    assert seen == [0, 1]
    # Two counts before the stop, one after it, and a counter that began anew.
    assert report.value == (1, 1)
    assert report.boots == 2


def test_a_machine_can_be_stopped_at_every_step() -> None:
    steps = simulate_once(two_asks).steps
    boots: list[int] = []
    for step in range(1, steps + 1):
        report = simulate_once(two_asks, plan=FaultPlan.of(StopMachine(at_step=step)))
        assert not report.failed, report.narrative()
        assert report.value == [1, 2]
        boots.append(report.boots)
    # After the last of its own steps there is nothing left to stop.
    assert boots == [2] * (steps - 1) + [1]


def test_what_did_not_land_is_said() -> None:
    report = run(Crash(actor="nobody", at_message=1), Kill(actor="counter", at_message=99))
    assert report.value == [1, 2]
    assert [fault.kind for fault in report.missed] == ["crash", "kill"]
    assert "did not land" in report.narrative()


def test_patterns_count_the_messages_of_everybody() -> None:
    report = run(Garbage(actor="*", at_message=2, value="second"))
    assert report.value == [1, "second"]


def test_plans_read_back_from_json_and_from_their_code(tmp_path: Path) -> None:
    plan = FaultPlan.of(
        Crash(actor="worker", at_message=2, times=3),
        LoseNode(actor="node*", at_time_s=1.5),
        StopMachine(at_step=4),
    )
    plan.save(tmp_path / "plan.json")
    assert FaultPlan.load(tmp_path / "plan.json") == plan
    import agenticaiframework.actors.simulation as kit

    assert eval(plan.code(), vars(kit)) == plan


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Crash(actor="x"), r"either at_message or at_time_s.*Crash\(actor='worker', "),
        (lambda: Hang(actor="x", at_time_s=1), "needs at_message"),
        (lambda: Kill(at_message=1, at_time_s=1), "either"),
        (lambda: Crash(at_message=0), "greater than or equal to 1"),
        (lambda: Crash(at_time_s=1, times=2), "times counts messages"),
        (lambda: Slow(at_message=1, delay_s=float("inf")), "finite"),
        (lambda: StopMachine(), "either at_step or at_time_s"),
        (lambda: Crash(at_message=1, atmessage=2), "Extra inputs"),  # type: ignore[call-arg]
    ],
)
def test_a_fault_that_could_never_land_is_refused_when_made(make: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        make()


def test_an_unknown_kind_in_json_is_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(ValidationError, match="'crash', 'kill', 'hang'"):
        TypeAdapter(Fault).validate_python({"kind": "explode"})


def test_request_timeouts_are_the_systems_time() -> None:
    async def scenario(sim: Simulation) -> float:
        with pytest.raises(RequestTimeout):
            await Counter.start().request("add", timeout=3600)
        return sim.time()

    report = simulate_once(scenario, plan=FaultPlan.of(Hang(at_message=1)), limit_s=10_000)
    assert report.value == 3600


async def three_at_once(sim: Simulation) -> list[int]:
    async def work(payload: int) -> int:
        await asyncio.sleep(0.1)
        return payload

    agent = Agent("writer", handler=work, concurrency=3)
    outcomes = [await sim.attempt(ask) for ask in [agent.request(n) for n in range(6)]]
    return [number for number, outcome in enumerate(outcomes) if not outcome.ok]


@pytest.mark.parametrize("actor", ["writer", "writer[2]", "writ*"])
def test_what_strikes_an_agent_at_a_message_strikes_one_of_its_incarnations(actor: str) -> None:
    message = 1 if actor == "writer[2]" else 2
    plan = FaultPlan(faults=[Crash(actor=actor, at_message=message)])
    report = simulate_once(three_at_once, seed=1, plan=plan)
    assert not report.failed, report.narrative()
    assert report.value == [1]
    assert [landed.where for landed in report.landed] == ["writer[2]"]


def test_a_partition_of_an_agent_loses_its_messages_and_nothing_within_it() -> None:
    plan = FaultPlan(faults=[Partition(between="writer*", at_time_s=0.05, heal_after_s=1.0)])
    report = simulate_once(three_at_once, seed=1, plan=plan)
    assert not report.failed, report.narrative()
    assert report.value == [3, 4, 5]  # those that reach the agent meanwhile
