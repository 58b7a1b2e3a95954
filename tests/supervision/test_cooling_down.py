"""What failed too often at the top of a tree cools down, and is then started afresh."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pykka
import pytest
from loguru import logger

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorSystem,
    Agent,
    AgentFailed,
    AgentStopped,
    CoolingDown,
)
from agenticaiframework.patterns import AgentRole, AgentTeam, TeamError
from agenticaiframework.patterns.engine import OrchestrationEngine
from agenticaiframework.supervision import (
    AgentSupervisor,
    BadOption,
    ChildProblem,
    ChildSpec,
    ChildState,
    ChildStopped,
    Error,
    HealthStatus,
    PartitionSupervisor,
    Refused,
    ReportKind,
    RestartPolicy,
    SupervisorReport,
    delete_child,
    health_of,
    restart_child,
    start_child,
    which_child,
)

from .pools import agent, answer, fail, pool

Run = Callable[..., Any]

ONE = RestartPolicy(max_restarts=1, within_seconds=10)


async def fail_too_often(supervisor: AgentSupervisor, name: str) -> None:
    for _ in range(supervisor.restart_policy.max_restarts + 1):
        await fail(supervisor, name)
    await supervisor.wait_until(name, "cooling down")


def incarnations(supervisor: AgentSupervisor) -> dict[str, int]:
    return {child.name: child.incarnation for child in supervisor}


def states(supervisor: AgentSupervisor) -> dict[str, str]:
    return {child.name: str(child.state) for child in supervisor}


def test_the_child_that_failed_too_often_comes_back_after_its_window(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", "b", restart_policy=ONE) as supervisor:
            sibling = supervisor.child("b").ref
            await fail_too_often(supervisor, "a")
            child = supervisor.child("a")
            assert child.back_in_s == pytest.approx(10)
            await asyncio.sleep(9.9)
            assert child.state is ChildState.COOLING_DOWN
            assert child.back_in_s == pytest.approx(0.1)
            await asyncio.sleep(0.2)
            assert (child.state, child.restarts, child.back_in_s) == ("running", 0, None)
            assert supervisor.child("b").ref is sibling
            assert await supervisor.ask("a", 1) == 1

    in_sim(main)


def test_it_does_so_again_and_again_with_a_fresh_budget_each_time(
    in_sim: Run, reports_of: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        async with pool("a", "b", restart_policy=ONE) as supervisor:
            for _ in range(5):
                await fail_too_often(supervisor, "a")
                await supervisor.child("a")
            assert incarnations(supervisor) == {"a": 11, "b": 1}
        kinds = [report.kind for report in reports]
        assert (
            kinds
            == [
                ReportKind.CHILD_TERMINATED,
                ReportKind.CHILD_TERMINATED,
                ReportKind.COOLING_DOWN,
                ReportKind.STARTED_AFRESH,
            ]
            * 5
        )

    in_sim(main)


def test_what_is_asked_meanwhile_fails_at_once_and_says_when_it_is_back(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", restart_policy=ONE) as supervisor:
            worker: Any = supervisor.child("a").target
            await fail_too_often(supervisor, "a")
            begin = system.clock()
            with pytest.raises(
                ChildStopped, match=r"cooling down \(ValueError: boom\).* 10 s"
            ) as one:
                await supervisor.ask("a", 1)
            with pytest.raises(AgentStopped, match=r"cools down.*ValueError: boom.* 10 s") as two:
                await worker.ask(1)
            assert one.value.back_in_s == two.value.back_in_s == pytest.approx(10)
            assert system.clock() == begin

    in_sim(main)


def test_what_waited_to_be_answered_fails_and_what_was_told_is_kept(in_sim: Run) -> None:
    seen: list[Any] = []

    async def work(payload: Any) -> Any:
        if payload == "boom":
            await asyncio.sleep(1)
            raise ValueError("boom")
        seen.append(payload)
        return payload

    async def main(system: ActorSystem) -> None:
        worker = Agent("worker", handler=work)
        supervisor = AgentSupervisor(
            "pool", restart_policy=RestartPolicy(max_restarts=0, within_seconds=10)
        )
        supervisor.add_child("a", worker)
        async with supervisor:
            crashing = worker.request("boom")
            worker.tell("told before")
            waiting = worker.request("asked before")
            with pytest.raises(AgentFailed):
                await crashing
            with pytest.raises(AgentStopped) as caught:
                await waiting
            assert isinstance(caught.value.reason, CoolingDown)
            worker.tell("told meanwhile")
            supervisor.tell("a", "told by name")
            assert (seen, supervisor.tree().children[0].waiting) == ([], 3)
            await supervisor.child("a")
            await worker.ask("asked after")
            assert seen == ["told before", "told meanwhile", "told by name", "asked after"]

    in_sim(main)


def test_nothing_is_kept_where_the_mailbox_is_dropped(in_sim: Run) -> None:
    seen: list[Any] = []

    async def work(payload: Any) -> Any:
        if payload == "boom":
            await asyncio.sleep(1)
            raise ValueError("boom")
        seen.append(payload)

    async def main(system: ActorSystem) -> None:
        worker = Agent("worker", handler=work)
        policy = RestartPolicy(max_restarts=0, within_seconds=10)
        supervisor = AgentSupervisor("pool", restart_policy=policy, mailbox="drop")
        supervisor.add_child("a", worker)
        async with supervisor:
            worker.tell("boom")
            worker.tell("told before")
            await supervisor.wait_until("a", "cooling down")
            await supervisor.child("a")
            await worker.ask("asked after")
            assert seen == ["asked after"]

    in_sim(main)


@pytest.mark.parametrize(
    ("strategy", "waiting"),
    [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")],
)
def test_those_that_restart_together_wait_together(
    in_sim: Run, strategy: str, waiting: str
) -> None:
    async def main(system: ActorSystem) -> None:
        order: list[str] = []
        supervisor = AgentSupervisor("pool", strategy, ONE)
        for name in "abc":
            supervisor.add_child(name, agent(name, on_start=lambda name=name: order.append(name)))
        async with supervisor:
            await fail_too_often(supervisor, "b")
            await asyncio.sleep(1)
            before = incarnations(supervisor)
            assert states(supervisor) == {
                name: "cooling down" if name in waiting else "running" for name in "abc"
            }
            for name in waiting:
                with pytest.raises(ChildStopped, match="9 s"):
                    await supervisor.ask(name, 1)
                with pytest.raises(AgentStopped, match="9 s"):
                    await supervisor.child(name).target.ask(1)  # type: ignore[attr-defined]
            order.clear()
            await asyncio.sleep(9.1)
            assert "".join(order) == waiting
            assert states(supervisor) == dict.fromkeys("abc", "running")
            assert incarnations(supervisor) == {
                name: before[name] + (name in waiting) for name in "abc"
            }

    in_sim(main)


def test_a_failure_before_it_leaves_one_that_cools_down_alone(in_sim: Run) -> None:
    """Under rest_for_one those behind a failed child restart with it, but not before their time."""

    async def main(system: ActorSystem) -> None:
        async with pool("a", "b", "c", strategy="rest_for_one", restart_policy=ONE) as supervisor:
            await fail_too_often(supervisor, "b")
            await asyncio.sleep(5)
            await fail(supervisor, "a")
            assert await supervisor.ask("a", 1) == 1
            assert states(supervisor) == {"a": "running", "b": "cooling down", "c": "cooling down"}
            assert supervisor.child("c").back_in_s == pytest.approx(5)
            await fail(supervisor, "a")
            await supervisor.wait_until("a", "cooling down")
            # It gave up itself: now all of them wait for it.
            assert [child.back_in_s for child in supervisor] == pytest.approx([10, 10, 10])
            await asyncio.sleep(9)
            assert states(supervisor) == dict.fromkeys("abc", "cooling down")
            await asyncio.sleep(1.1)
            assert states(supervisor) == dict.fromkeys("abc", "running")

    in_sim(main)


@pytest.mark.parametrize(
    ("strategy", "back_at"), [("one_for_one", 10), ("one_for_all", 12), ("rest_for_one", 12)]
)
def test_one_that_has_cooled_down_comes_with_a_restart_that_is_about_to_bring_it(
    in_sim: Run, reports_of: Any, strategy: str, back_at: int
) -> None:
    """Else it would run for two seconds without the one before it, and be restarted at once."""

    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        supervisor = AgentSupervisor("pool", strategy, ONE)
        if strategy != "one_for_all":
            slow = RestartPolicy(initial_delay_ms=4000)
            supervisor.add_child("a", agent("a"), restart_policy=slow)
        supervisor.add_child("b", agent("b"))
        supervisor.add_child("c", agent("c"))
        async with supervisor:
            await fail_too_often(supervisor, "b")
            before = incarnations(supervisor)
            if strategy == "one_for_all":
                await asyncio.sleep(2)
                await supervisor.add_child("a", agent("a"))
                await fail(supervisor, "a")
                await fail(supervisor, "a")  # it gives up too, and all wait for it
            else:
                await asyncio.sleep(8)
                await fail(supervisor, "a")
            await asyncio.sleep(10.5 - system.clock())
            assert supervisor.child("b").is_alive == (strategy == "one_for_one")
            if strategy == "rest_for_one":
                # It waits for nothing but the restart now, and so does what is sent to it.
                assert states(supervisor) == dict.fromkeys("abc", "restarting")
                assert [r.kind for r in reports].count(ReportKind.STARTED_AFRESH) == 1
                assert await supervisor.ask("c", 1) == 1
            await supervisor.child("b")
            assert system.clock() == pytest.approx(max(back_at, 10.5))
            await asyncio.sleep(20)
            assert supervisor.child("b").incarnation == before["b"] + 1
            assert supervisor.child("b").restarts == 0

    in_sim(main)


def test_its_failures_are_not_counted_against_its_siblings(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(max_restarts=3, within_seconds=100)
        async with pool("a", "b", restart_policy=policy) as supervisor:
            await fail(supervisor, "b")
            for _ in range(3):
                await fail(supervisor, "a")
            await supervisor.wait_until("a", "cooling down")
            await fail(supervisor, "b")
            await fail(supervisor, "b")
            assert await supervisor.ask("b", 1) == 1
            await fail(supervisor, "b")
            await supervisor.wait_until("b", "cooling down")

    in_sim(main)


def test_a_child_with_a_budget_of_its_own_cools_down_for_its_own_period(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", restart_policy=RestartPolicy(within_seconds=1000))
        own = RestartPolicy(max_restarts=0, within_seconds=2)
        supervisor.add_child("own", agent("own"), restart_policy=own)
        async with supervisor:
            for _ in range(3):
                await fail(supervisor, "own")
                await supervisor.wait_until("own", "cooling down")
                assert supervisor.child("own").back_in_s == pytest.approx(2)
                await supervisor.child("own")
            assert incarnations(supervisor) == {"a": 1, "own": 4}

    in_sim(main)


def test_a_start_that_fails_after_the_window_is_the_same_again(
    in_sim: Run, reports_of: Any
) -> None:
    starts: list[float] = []

    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)

        def begin() -> None:
            starts.append(system.clock())
            if 1 < len(starts) < 8:
                raise OSError("no database")

        supervisor = AgentSupervisor("pool", restart_policy=ONE)
        supervisor.add_child("a", agent("a", on_start=begin))
        supervisor.add_child("b", agent("b"))
        async with supervisor:
            await fail(supervisor, "a")
            await supervisor.wait_until("a", "cooling down")
            with pytest.raises(ChildStopped, match="OSError: no database"):
                await supervisor.ask("a", 1)
            await asyncio.sleep(100)
            assert await supervisor.ask("a", 1) == 1
            assert starts == pytest.approx([0, 0, 10, 10, 20, 20, 30, 30])
            kinds = [report.kind for report in reports]
            assert kinds.count(ReportKind.COOLING_DOWN) == 3
            assert kinds.count(ReportKind.STARTED_AFRESH) == 3
            assert supervisor.child("b").incarnation == 1

    in_sim(main)


def test_each_give_up_is_one_error_record_that_says_which_why_and_when(in_sim: Run) -> None:
    records: list[Any] = []

    async def main(system: ActorSystem) -> None:
        logger.enable("agenticaiframework")
        sink = logger.add(lambda message: records.append(message.record), level="ERROR")
        try:
            async with pool("a", "b", restart_policy=ONE) as supervisor:
                await fail_too_often(supervisor, "a")
                await asyncio.sleep(11)
        finally:
            logger.remove(sink)

    in_sim(main)
    (record,) = records
    assert record["level"].name == "ERROR"
    assert record["message"].split("\n")[0] == (
        "pool: cooling down: 'a': ValueError: boom (1 of 1 restarts in 10 s); "
        "it failed too often, stays down, and is started afresh in 10 s"
    )
    assert record["extra"]["back_in_s"] == 10


def test_the_tree_and_health_show_it(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        assert health_of().status is HealthStatus.OK
        async with pool("a", "b", restart_policy=ONE) as supervisor:
            await fail_too_often(supervisor, "a")
            await asyncio.sleep(4)
            node = supervisor.tree().find("a")
            assert node is not None
            assert (node.state, node.back_in_s) == ("cooling down", pytest.approx(6))
            assert "a  cooling down #2  back in 6 s" in str(supervisor.tree())
            assert 'cooling down<br/>back in 6 s"):::cooling_down' in supervisor.tree().mermaid()
            health = health_of(system)
            assert health.status == "degraded"
            (problem,) = health.problems
            assert (problem.path, problem.state) == ("pool/a", "cooling down")
            assert problem.reason == "ValueError: boom"
            assert problem.back_in_s == pytest.approx(6)
            await asyncio.sleep(7)
            assert health_of(system).status == "ok"
            assert supervisor.tree().as_dict()["children"][0]["back_in_s"] is None
        assert system.gave_up is None

    in_sim(main)


# -- what ends a cool-down --------------------------------------------------------------------------


def timers(system: ActorSystem, supervisor: AgentSupervisor) -> int:
    return system.info(supervisor.running_ref).timers


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("how", ["stop_child", "remove_child"])
def test_one_that_is_stopped_or_removed_does_not_come_back(
    in_sim: Run, strategy: str, how: str
) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", "b", "c", strategy=strategy, restart_policy=ONE) as supervisor:
            await fail_too_often(supervisor, "b")
            await getattr(supervisor, how)("b")
            # Those that waited with it need not wait any more.
            assert [supervisor.child(name).state for name in "ac"] == ["running", "running"]
            assert timers(system, supervisor) == 0
            before = incarnations(supervisor)
            await asyncio.sleep(100)
            assert incarnations(supervisor) == before
            if how == "stop_child":
                assert supervisor.child("b").state == "stopped"
                await supervisor.restart_child("b")
            else:
                supervisor.add_child("b", agent("replacement"))
                await supervisor.child("b")
            assert await supervisor.ask("b", 1) == 1

    in_sim(main)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_stopping_the_supervisor_leaves_nothing_behind(in_sim: Run, strategy: str) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", "b", strategy=strategy, restart_policy=ONE)
        await supervisor.start()
        await fail_too_often(supervisor, "a")
        worker: Any = supervisor.child("a").target
        worker.tell("kept for nobody")
        await supervisor.stop()
        assert system.actors() == []
        await asyncio.sleep(100)
        assert system.actors() == []
        assert states(supervisor) == {"a": "stopped", "b": "stopped"}
        assert (system.gave_up, system.keeping) == (None, {})
        # It is an agent without a supervisor again.
        assert await worker.ask(1) == 1
        await worker.stop()
        await supervisor.start()
        assert await supervisor.ask("a", 2) == 2

    in_sim(main)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("name", ["a", "b"])
def test_restart_child_brings_it_back_before_with_those_that_wait(
    in_sim: Run, strategy: str, name: str
) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", "b", strategy=strategy, restart_policy=ONE) as supervisor:
            await fail_too_often(supervisor, "a")
            if strategy == "one_for_one" and name == "b":
                with pytest.raises(Refused, match="running"):
                    await supervisor.restart_child("b")
                return
            child = await supervisor.restart_child(name)
            assert child.is_alive
            assert states(supervisor) == {"a": "running", "b": "running"}
            assert (supervisor.child("a").restarts, timers(system, supervisor)) == (0, 0)
            assert await supervisor.ask("a", 1) == 1
            # The old time passes, and a new cool-down is as long as any.
            await asyncio.sleep(5)
            await fail_too_often(supervisor, "a")
            await asyncio.sleep(9)
            assert supervisor.child("a").state == "cooling down"

    in_sim(main)


def test_a_restart_by_hand_that_fails_says_so_and_goes_on_as_any_restart(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        broken = False

        def begin() -> None:
            if broken:
                raise OSError("no database")

        supervisor = AgentSupervisor("pool", restart_policy=ONE)
        supervisor.add_child("a", agent("a", on_start=begin))
        async with supervisor:
            await fail_too_often(supervisor, "a")
            broken = True
            with pytest.raises(Refused, match="OSError: no database"):
                await supervisor.restart_child("a")
            await supervisor.wait_until("a", "cooling down")
            broken = False
            assert await supervisor.restart_child("a") is supervisor.child("a")
            assert await supervisor.ask("a", 1) == 1

    in_sim(main)


@pytest.mark.parametrize("how", ["stop_child", "remove_child"])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_one_that_waits_may_go_and_the_others_wait_on(in_sim: Run, strategy: str, how: str) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", "b", "c", strategy=strategy, restart_policy=ONE) as supervisor:
            await fail_too_often(supervisor, "a")
            await asyncio.sleep(5)
            await getattr(supervisor, how)("b")
            assert supervisor.child("a").back_in_s == pytest.approx(5)
            assert supervisor.child("c").back_in_s == pytest.approx(5)
            await asyncio.sleep(5.1)
            assert supervisor.child("a").is_alive
            assert supervisor.child("c").is_alive
            assert timers(system, supervisor) == 0

    in_sim(main)


def test_one_that_was_stopped_before_does_not_wait_but_is_started_with_its_group(
    in_sim: Run,
) -> None:
    """As OTP starts all children again under one_for_all, also those that were stopped."""

    async def main(system: ActorSystem) -> None:
        async with pool("a", "b", "c", strategy="one_for_all", restart_policy=ONE) as supervisor:
            for name in ("b", "c"):
                await supervisor.stop_child(name)
            await fail_too_often(supervisor, "a")
            for name in ("b", "c"):
                await supervisor.stop_child(name)  # its restart has brought them back
            assert states(supervisor) == {"a": "cooling down", "b": "stopped", "c": "stopped"}
            await fail_more(supervisor)
            await supervisor.restart_child("c")
            assert await supervisor.ask("c", 1) == 1
            assert supervisor.child("c").back_in_s is None
            await fail(supervisor, "c")
            assert await supervisor.ask("c", 1) == 1
            await supervisor.child("a")
            assert states(supervisor) == dict.fromkeys("abc", "running")

    async def fail_more(supervisor: AgentSupervisor) -> None:
        await supervisor.restart_child("a")
        for name in ("b", "c"):
            await supervisor.stop_child(name)
        await fail(supervisor, "a")
        for name in ("b", "c"):
            await supervisor.stop_child(name)
        await fail(supervisor, "a")
        await supervisor.wait_until("a", "cooling down")
        assert states(supervisor) == {"a": "cooling down", "b": "stopped", "c": "stopped"}

    in_sim(main)


def test_to_requests_it_is_a_child_between_two_incarnations(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", restart_policy=ONE) as supervisor:
            await fail_too_often(supervisor, "a")
            ref = supervisor.running_ref
            assert (await which_child(ref, "a")).unwrap().child == "restarting"
            assert await delete_child(ref, "a") == Error(ChildProblem.RESTARTING)
            started = await start_child(ref, ChildSpec("a", Worker))
            assert started == Error(ChildProblem.ALREADY_PRESENT)
            assert (await restart_child(ref, "a")).is_ok
            assert await supervisor.ask("a", 1) == 1

    in_sim(main)


def test_a_child_added_meanwhile_runs(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", "b", strategy="one_for_all", restart_policy=ONE) as supervisor:
            await fail_too_often(supervisor, "a")
            await supervisor.add_child("c", agent("c"))
            await fail(supervisor, "c")
            assert await supervisor.ask("c", 1) == 1
            assert states(supervisor)["a"] == "cooling down"
            await supervisor.child("a")
            assert await supervisor.ask("b", 1) == await supervisor.ask("c", 1) == 1

    in_sim(main)


def test_waiting_for_one_that_cools_down_waits_for_its_time(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", restart_policy=ONE) as supervisor:
            await fail_too_often(supervisor, "a")
            await supervisor.wait_until("a", timeout=11)
            assert system.clock() == pytest.approx(10)

    in_sim(main)


# -- handlers ---------------------------------------------------------------------------------------


def test_the_failure_handler_counts_from_zero_after_a_cool_down(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        counts: list[int] = []
        supervisor = pool("a", restart_policy=ONE)
        supervisor.on_failure(lambda name, error, count: counts.append(count))
        async with supervisor:
            for _ in range(3):
                await fail(supervisor, "a")
                await fail(supervisor, "a")
                await supervisor.wait_until("a", "cooling down")
                await supervisor.child("a")
        assert counts == [0, 1, 0, 1, 0, 1]

    in_sim(main)


def test_with_a_handler_for_it_the_child_stays_down_unless_told_otherwise(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for exhausted, after in ((None, "gave up"), ("cool_down", "running")):
            called: list[str] = []
            supervisor = pool("a", restart_policy=ONE, exhausted=exhausted)
            supervisor.on_max_restarts(called.append)
            async with supervisor:
                await fail(supervisor, "a")
                await fail(supervisor, "a")
                await asyncio.sleep(20)
                assert (supervisor.child("a").state, called) == (after, ["a"])

    in_sim(main)


def test_the_handler_may_remove_what_cools_down(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", "b", restart_policy=ONE, exhausted="cool_down")

        @supervisor.on_max_restarts
        async def replace(name: str) -> None:
            await supervisor.remove_child(name)
            await supervisor.add_child(name, agent("replacement"))

        async with supervisor:
            await fail(supervisor, "a")
            await fail(supervisor, "a")
            await asyncio.sleep(1)
            assert await supervisor.ask("a", 1) == 1
            assert timers(system, supervisor) == 0

    in_sim(main)


# -- children of every kind -------------------------------------------------------------------------


class Worker(Actor):
    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError("boom")
        return message


class Plain(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError("boom")
        return message


def blocking(payload: Any) -> Any:
    if payload == "boom":
        raise ValueError("boom")
    return payload


async def broken() -> None:
    raise ValueError("boom")


def test_raw_actors_cool_down_as_agents_do(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool", restart_policy=ONE)
        child = supervisor.add_child("a", Worker)
        async with supervisor:
            for _ in range(2):
                with pytest.raises(ValueError, match="boom"):
                    await supervisor.ask("a", "boom")
            await supervisor.wait_until("a", "cooling down")
            with pytest.raises(ChildStopped, match="10 s"):
                await supervisor.ask("a", 1)
            with pytest.raises(ActorDied) as caught:
                await child.home.request(1)
            assert isinstance(caught.value.reason, CoolingDown)
            child.tell("kept")
            await child
            assert await child.ask(2) == 2

    in_sim(main)


def test_coroutine_functions_cool_down_too(in_sim: Run, reports_of: Any) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        supervisor = AgentSupervisor("pool", restart_policy=ONE)
        supervisor.add_child("job", broken)
        async with supervisor:
            await asyncio.sleep(25)
        kinds = [report.kind for report in reports]
        assert kinds.count(ReportKind.COOLING_DOWN) == 3
        assert kinds.count(ReportKind.STARTED_AFRESH) == 2

    in_sim(main)


def test_children_of_bare_specifications_cool_down_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        worker = agent("worker")
        async with pool("a", restart_policy=ONE) as supervisor:
            (await start_child(supervisor.running_ref, ChildSpec("bare", worker))).unwrap()
            for _ in range(2):
                with pytest.raises(AgentFailed):
                    await worker.ask("boom")
            await asyncio.sleep(1)
            with pytest.raises(AgentStopped, match="9 s"):
                await worker.ask(1)
            node = supervisor.tree().find("bare")
            assert node is not None
            assert node.state == "cooling down"
            await asyncio.sleep(10)
            assert await worker.ask(1) == 1

    in_sim(main)


def test_plain_pykka_actors_cool_down_too() -> None:
    async def main() -> None:
        policy = RestartPolicy(max_restarts=0, within_seconds=0.2)
        async with ActorSystem() as system:
            supervisor = AgentSupervisor("pool", restart_policy=policy)
            child = supervisor.add_child("a", Plain)
            async with supervisor:
                supervisor.tell("a", "boom")
                await supervisor.wait_until("a", "cooling down")
                with pytest.raises(ChildStopped):
                    await supervisor.ask("a", 1)
                await child
                assert await supervisor.ask("a", 1) == 1
            assert system.gave_up is None

    asyncio.run(main())


def test_partitions_cool_down_one_by_one(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sessions = PartitionSupervisor("sessions", Worker, 3, restart_policy=ONE)
        async with sessions:
            for _ in range(2):
                with pytest.raises(ValueError, match="boom"):
                    await sessions.ask("1", "boom")
            await sessions.wait_until("1", "cooling down")
            assert states(sessions) == {"0": "running", "1": "cooling down", "2": "running"}
            await sessions.child("1")

    in_sim(main)


def test_a_team_that_cools_down_says_so_at_once(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        team = AgentTeam("desk", roles=[AgentRole(name="writer")])
        team.assign_agent(agent("writer"), "writer")
        steps = [{"role": "writer", "action": "write"}]
        supervisor = AgentSupervisor("pool", restart_policy=ONE)
        child = supervisor.add_child("desk", team)
        async with supervisor:
            await team.execute_workflow(steps)
            for _ in range(2):
                await child
                assert child.ref is not None
                child.ref.kill()
                await asyncio.sleep(0.1)
            assert child.state is ChildState.COOLING_DOWN
            begin = system.clock()
            with pytest.raises(TeamError, match="CoolingDown"):
                await team.execute_workflow(steps)
            assert system.clock() == begin
            await child
            assert await team.execute_workflow(steps)

    in_sim(main)


def test_agents_of_every_dispatcher_come_back() -> None:
    async def main() -> None:
        policy = RestartPolicy(max_restarts=0, within_seconds=0.3)
        async with ActorSystem():
            supervisor = AgentSupervisor("pool", restart_policy=policy)
            for dispatcher in ("thread", "pinned", "event_loop"):
                handler = blocking if dispatcher != "event_loop" else answer
                supervisor.add_child(
                    dispatcher, Agent(dispatcher, handler=handler, dispatcher=dispatcher)
                )
            async with supervisor:
                for child in supervisor:
                    with pytest.raises(AgentFailed):
                        await child.ask("boom")
                    await supervisor.wait_until(child.name, "cooling down")
                    with pytest.raises(ChildStopped):
                        await child.ask(1)
                for child in supervisor:
                    await child
                    assert await child.ask(1) == 1

    asyncio.run(main())


def test_an_agent_that_an_engine_has_registered_is_the_same_one(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        worker = agent("worker")
        engine = OrchestrationEngine()
        engine.register_agent("worker", worker)
        supervisor = AgentSupervisor("pool", restart_policy=ONE)
        supervisor.add_child("a", worker)
        engine.register_supervisor("pool", supervisor)
        workflow = {"name": "w", "steps": [{"id": "s", "agent": "worker", "input": {"x": 1}}]}
        async with supervisor:
            assert await engine.execute(workflow=workflow, input_data={}) is not None
            await fail_too_often(supervisor, "a")
            begin = system.clock()
            with pytest.raises(Exception, match="cools down"):
                await engine.execute(workflow=workflow, input_data={})
            assert system.clock() - begin < 1
            await supervisor.child("a")
            await engine.execute(workflow=workflow, input_data={})
        await engine.stop()

    in_sim(main)


# -- trees ------------------------------------------------------------------------------------------


def nested(**below: Any) -> tuple[AgentSupervisor, AgentSupervisor]:
    root = AgentSupervisor("root", restart_policy=ONE)
    io = AgentSupervisor("io", restart_policy=ONE, **below)
    io.add_child("reader", agent("reader"))
    io.add_child("writer", agent("writer"))
    root.add_supervisor("io", io)
    root.add_child("other", agent("other"))
    return root, io


def test_under_a_parent_a_limit_escalates_and_at_the_root_the_subtree_cools_down(
    in_sim: Run, reports_of: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        reports: list[SupervisorReport] = reports_of(system)
        root, io = nested()
        async with root:
            other = root.child("other").ref
            reader: Any = io.child("reader").target
            for _ in range(2):
                await fail(root, "io/reader")
            assert await root.ask("io/writer", 1) == 1  # restarted with the subtree
            assert root.child("io").restarts == 1
            for _ in range(2):
                await fail(root, "io/reader")
            await root.wait_until("io", "cooling down")
            assert [child.state for child in io] == ["cooling down", "cooling down"]
            await asyncio.sleep(4)
            for ask in (
                lambda: root.ask("io/reader", 1),
                lambda: io.ask("writer", 1),
                lambda: reader.ask(1),
            ):
                with pytest.raises((ChildStopped, AgentStopped), match="6 s"):
                    await ask()
            assert health_of(system).problems[0].path == "root/io"
            tree = root.tree()
            assert [(path, node.state) for path, node in tree.walk()] == [
                ("root", "running"),
                ("root/io", "cooling down"),
                ("root/io/reader", "cooling down"),
                ("root/io/writer", "cooling down"),
                ("root/other", "running"),
            ]
            reader.tell("kept")
            await root.child("io")
            assert await root.ask("io/reader", 1) == 1
            assert await root.ask("io/writer", 2) == 2
            assert root.child("other").ref is other
            assert [child.state for child in io] == ["running", "running"]
        down = [report for report in reports if report.kind is ReportKind.COOLING_DOWN]
        assert [(report.supervisor.name, report.child) for report in down] == [("root", "io")]
        assert system.gave_up is None

    in_sim(main)


def test_a_supervisor_below_may_let_its_children_cool_down_itself(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, io = nested(exhausted="cool_down")
        async with root:
            for _ in range(2):
                await fail(root, "io/reader")
            await io.wait_until("reader", "cooling down")
            assert health_of().problems[0].path == "root/io/reader"
            assert root.child("io").restarts == 0
            # Its supervisor's failure begins everything below anew.
            assert io.ref is not None
            io.ref.kill()
            await io.wait_until("reader")
            assert system.clock() < 1
            await root.ask("io/reader", 1)
            assert io.child("reader").restarts == 0

    in_sim(main)


def test_removing_a_subtree_that_cools_down_frees_its_agents(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, io = nested()
        async with root:
            reader: Any = io.child("reader").target
            for _ in range(4):
                await fail(root, "io/reader")
            await root.wait_until("io", "cooling down")
            await root.remove_child("io")
            assert await reader.ask(1) == 1
            assert timers(system, root) == 0
            await reader.stop()

    in_sim(main)


def test_a_root_that_is_given_to_another_supervisor_escalates_from_then_on(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        inner = pool("a", restart_policy=ONE)
        await inner.start()
        await fail_too_often(inner, "a")
        await inner.child("a")
        outer = AgentSupervisor("outer")
        outer.add_supervisor("inner", inner)
        async with outer:
            await fail(inner, "a")
            await fail(inner, "a")
            assert await outer.ask("inner/a", 1) == 1
            assert outer.child("inner").restarts == 1

    in_sim(main)


@pytest.mark.parametrize("given", ["cooldown", "", 3, True, object()])
def test_what_is_not_a_way_to_give_up_is_refused(given: Any) -> None:
    with pytest.raises(BadOption, match="exhausted="):
        AgentSupervisor("pool", exhausted=given)


def test_the_near_word_is_named() -> None:
    with pytest.raises(BadOption, match="cool_down"):
        PartitionSupervisor("pool", Worker, 2, exhausted="cooldown")
