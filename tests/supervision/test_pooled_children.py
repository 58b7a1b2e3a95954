"""Agents that handle several messages at once, as children: one child, whose incarnations fail alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed, AgentTimeout
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildSpec,
    ChildState,
    ChildStopped,
    ReportKind,
    RestartPolicy,
    SupervisionStrategy,
    Supervisor,
    SupervisorFlags,
    SupervisorReport,
    SupervisorStartFailed,
    which_children,
)

Run = Callable[..., Any]


class Boom(Exception):
    """What a handler is told to raise."""


async def work(payload: Any) -> Any:
    if payload == "crash":
        await asyncio.sleep(0.1)
        raise Boom("boom")
    await asyncio.sleep(payload)
    return payload


def worker(name: str = "worker", concurrency: int = 3, **options: Any) -> Agent:
    return Agent(name, handler=work, concurrency=concurrency, **options)


def over(*agents: Agent, strategy: str = "one_for_one", **policy: Any) -> AgentSupervisor:
    supervisor = AgentSupervisor("pool", strategy, RestartPolicy(**policy))
    for agent in agents:
        supervisor.add_child(agent.name, agent)
    return supervisor


def reports_of(system: ActorSystem, kind: ReportKind) -> list[SupervisorReport]:
    found: list[SupervisorReport] = []
    system.subscribe(
        lambda report: found.append(report) if report.kind is kind else None, SupervisorReport
    )
    return found


async def crash(agent: Agent, times: int = 1) -> None:
    asks = [agent.ask("crash") for _ in range(times)]
    for answer in await asyncio.gather(*asks, return_exceptions=True):
        assert isinstance(answer, AgentFailed)
        assert isinstance(answer.__cause__, Boom)
    await asyncio.sleep(0.01)


def test_a_crash_replaces_that_incarnation_alone(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = worker()
        supervisor = over(agent)
        terminated = reports_of(system, ReportKind.CHILD_TERMINATED)
        await supervisor.start()
        child = supervisor.child("worker")
        ref = child.ref
        asks = [asyncio.ensure_future(agent.ask(1.0)) for _ in range(2)]
        await asyncio.sleep(0.01)
        await crash(agent)
        assert child.ref is ref
        assert child.is_alive
        assert child.state is ChildState.RUNNING
        assert child.restarts == 1
        assert child.incarnation == 2
        assert isinstance(child.last_exit, Boom)
        assert [report.child for report in terminated] == ["worker"]
        assert await asyncio.gather(*asks) == [1.0] * 2
        assert await asyncio.gather(*(agent.ask(1.0) for _ in range(3))) == [1.0] * 3

    in_sim(main)


def test_the_handlers_see_each_failure_as_one_of_the_child(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = worker()
        supervisor = over(agent, max_restarts=2)
        seen: list[tuple[str, str, int]] = []
        gave_up: list[str] = []

        @supervisor.on_failure
        async def note(agent_name: str, error: Exception, restart_count: int) -> None:
            seen.append((agent_name, str(error), restart_count))

        @supervisor.on_max_restarts
        async def over_the_limit(agent_name: str) -> None:
            gave_up.append(agent_name)

        await supervisor.start()
        for _ in range(3):
            await crash(agent)
        await supervisor.wait_until("worker", ChildState.GAVE_UP)
        assert seen == [("worker", "boom", n) for n in range(3)]
        assert gave_up == ["worker"]
        assert supervisor.is_running
        with pytest.raises(ChildStopped):
            await supervisor.ask("worker", 0.1)
        assert len([ref for ref in system.actors() if "worker" in ref.label]) == 0
        await supervisor.restart_child("worker")
        assert await supervisor.ask("worker", 0.1) == 0.1

    in_sim(main)


def test_past_the_limit_the_child_goes_down_with_what_it_does(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent, other = worker(), Agent("other", handler=work)
        supervisor = over(agent, other, max_restarts=1)
        await supervisor.start()
        innocent = asyncio.ensure_future(agent.ask(50.0))
        await asyncio.sleep(0.01)
        await crash(agent, 2)
        with pytest.raises(AgentFailed):
            await innocent
        assert supervisor.child(agent.name).state is ChildState.COOLING_DOWN
        assert supervisor.child("other").state is ChildState.RUNNING
        assert system.clock() < 10

    in_sim(main)


def test_a_handler_that_says_false_stops_the_child(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = worker()
        supervisor = over(agent)

        @supervisor.on_failure
        def stop(agent_name: str, error: Exception, restart_count: int) -> bool:
            return False

        assert callable(stop)
        await supervisor.start()
        await crash(agent)
        await supervisor.wait_until("worker", ChildState.STOPPED)
        assert isinstance(supervisor.child("worker").last_exit, Boom)
        with pytest.raises(ChildStopped):
            await supervisor.ask("worker", 0.1)

    in_sim(main)


def test_the_others_serve_on_while_a_failed_one_backs_off(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = worker(concurrency=2)
        supervisor = over(agent, backoff_type="fixed", initial_delay_ms=10_000)
        await supervisor.start()
        await crash(agent)
        began = system.clock()
        assert await asyncio.gather(*(agent.ask(1.0) for _ in range(4))) == [1.0] * 4
        assert system.clock() - began == pytest.approx(4.0)  # one at a time
        await asyncio.sleep(10)
        began = system.clock()
        assert await asyncio.gather(*(agent.ask(1.0) for _ in range(4))) == [1.0] * 4
        assert system.clock() - began == pytest.approx(2.0)  # two at a time again

    in_sim(main)


def test_messages_wait_while_all_back_off(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = worker(concurrency=2)
        supervisor = over(agent, backoff_type="fixed", initial_delay_ms=5_000)
        await supervisor.start()
        await crash(agent, 2)
        began = system.clock()
        assert await asyncio.gather(*(agent.ask(0.1) for _ in range(4))) == [0.1] * 4
        assert 4 < system.clock() - began < 6

    in_sim(main)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_under_a_group_strategy_it_is_the_failure_of_the_child(strategy: str, in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        before, agent, after = Agent("b", handler=work), worker(), Agent("c", handler=work)
        supervisor = over(before, agent, after, strategy=strategy)
        await supervisor.start()
        ref = supervisor.child("worker").ref
        innocent = asyncio.ensure_future(agent.ask(50.0))
        await asyncio.sleep(0.01)
        await crash(agent)
        with pytest.raises(AgentFailed):
            await innocent
        await supervisor.wait_until("worker", "running")
        assert supervisor.child("worker").ref is not ref
        assert supervisor.child("worker").restarts == 1
        assert supervisor.child("c").incarnation == 2
        assert supervisor.child("b").incarnation == (2 if strategy == "one_for_all" else 1)
        assert await supervisor.ask("worker", 0.1) == 0.1

    in_sim(main)


def test_what_waited_is_kept_through_the_restart_of_the_child(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = worker(concurrency=2)
        supervisor = over(agent, strategy="one_for_all")
        await supervisor.start()
        asks = [agent.ask("crash"), agent.ask(50.0)]
        lost = asyncio.gather(*asks, return_exceptions=True)
        await asyncio.sleep(0.01)
        waiting = [asyncio.ensure_future(agent.ask(n / 10)) for n in range(5)]
        assert await asyncio.gather(*waiting) == [n / 10 for n in range(5)]
        assert all(isinstance(answer, AgentFailed) for answer in await lost)

    in_sim(main)


def test_a_temporary_child_ends_with_its_last_incarnation(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = worker(concurrency=2)
        supervisor = over()
        supervisor.add_child("worker", agent, restart="temporary")
        await supervisor.start()
        await crash(agent)
        assert await asyncio.gather(*(agent.ask(0.1) for _ in range(4))) == [0.1] * 4
        assert len(agent.address().handlers()) == 1
        await crash(agent)
        await supervisor.wait_until("worker", ChildState.STOPPED)
        assert supervisor.child("worker").restarts == 0

    in_sim(main)


def test_a_timeout_kills_one_incarnation_and_counts_as_a_failure(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def deaf(payload: Any) -> Any:
            while payload == "deaf":
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)
            await asyncio.sleep(payload)
            return payload

        agent = Agent("worker", handler=deaf, concurrency=2)
        supervisor = over(agent)
        await supervisor.start()
        innocent = asyncio.ensure_future(agent.ask(20.0))
        with pytest.raises(AgentTimeout):
            await agent.ask("deaf", timeout=0.1)
        assert await innocent == 20.0
        assert supervisor.child("worker").restarts == 1
        assert isinstance(supervisor.child("worker").last_exit, AgentTimeout)

    in_sim(main)


def test_a_failing_start_fails_the_start_of_the_child(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def start() -> None:
            await asyncio.sleep(0.1)
            raise Boom("no database")

        supervisor = over(worker(on_start=start))
        with pytest.raises(SupervisorStartFailed, match="no database"):
            await supervisor.start()
        assert system.actor_count == 0

    in_sim(main)


def test_a_replacement_that_does_not_start_is_tried_again_up_to_the_limit(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        starts: list[int] = []

        async def start() -> None:
            starts.append(1)
            await asyncio.sleep(0.1)
            if len(starts) > 1:
                raise Boom("no database")

        agent = worker(concurrency=2, on_start=start)
        supervisor = over(agent, max_restarts=3)
        gave_up: list[str] = []
        supervisor.on_max_restarts(gave_up.append)
        await supervisor.start()
        await crash(agent)
        waiting = asyncio.ensure_future(agent.ask(0.1))
        await supervisor.wait_until("worker", ChildState.GAVE_UP)
        assert gave_up == ["worker"]
        with pytest.raises(Exception, match="worker"):
            await waiting

    in_sim(main)


def test_a_stop_waits_for_all_incarnations(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        stopped: list[float] = []

        async def stop() -> None:
            await asyncio.sleep(1.0)
            stopped.append(system.clock())

        agent = worker(on_stop=stop)
        supervisor = over(agent)
        await supervisor.start()
        asks = asyncio.gather(*(agent.ask(50.0) for _ in range(3)), return_exceptions=True)
        await asyncio.sleep(0.1)
        await supervisor.stop_child("worker")
        assert len(stopped) == 3
        assert all(isinstance(answer, AgentFailed) for answer in await asks)
        await supervisor.restart_child("worker")
        await supervisor.remove_child("worker")
        assert len(stopped) == 4
        assert await agent.ask(0.1) == 0.1  # it starts on demand again

    in_sim(main)


def test_a_stop_that_takes_too_long_is_cut_short(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def stop() -> None:
            await asyncio.sleep(500.0)

        agent = worker(on_stop=stop)
        supervisor = over()
        supervisor.add_child("worker", agent, shutdown_ms=1_000)
        await supervisor.start()
        await asyncio.gather(*(agent.ask(0.1) for _ in range(3)))
        began = system.clock()
        await supervisor.stop_child("worker")
        assert system.clock() - began < 10
        await asyncio.sleep(system.cancel_grace_s + 1)
        assert not [ref for ref in system.actors() if "worker" in ref.label]

    in_sim(main)


def test_a_running_agent_is_adopted_with_its_incarnations(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = worker()
        asks = asyncio.gather(*(agent.ask(1.0) for _ in range(3)))
        await asyncio.sleep(0.1)
        supervisor = over(agent)
        await supervisor.start()
        assert await asks == [1.0] * 3
        await crash(agent)
        assert supervisor.child("worker").restarts == 1
        assert supervisor.child("worker").is_alive

    in_sim(main)


def test_the_tree_says_how_many_are_busy(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent, single = worker(), Agent("single", handler=work)
        supervisor = over(agent, single)
        await supervisor.start()
        asks = asyncio.gather(*(agent.ask(1.0) for _ in range(2)), single.ask(1.0))
        await asyncio.sleep(0.1)
        node = supervisor.tree().find("worker")
        assert node is not None
        assert (node.busy, node.concurrency) == (2, 3)
        assert "2/3 busy" in str(supervisor.tree())
        assert "2/3 busy" in supervisor.tree().mermaid()
        other = supervisor.tree().find("single")
        assert other is not None
        assert other.busy is None
        await asks

    in_sim(main)


def test_under_otps_supervisor_it_is_one_child_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = worker()
        flags = SupervisorFlags(SupervisionStrategy.ONE_FOR_ONE, intensity=2, period_s=10)
        ref = system.start(Supervisor, flags, [ChildSpec("worker", agent)])
        await asyncio.sleep(0.1)
        child = agent.address().ref
        asks = asyncio.gather(*(agent.ask(1.0) for _ in range(2)))
        await crash(agent)
        assert [info.child for info in await which_children(ref)] == [child]
        assert await asks == [1.0] * 2
        await crash(agent, 2)
        await system.wait_ended(ref, 5)
        assert ref.exit_reason == "shutdown"
        assert system.actor_count == 0

    in_sim(main)


def test_deaf_handlers_take_no_sibling_down(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def deaf(payload: Any) -> Any:
            while payload == "deaf":
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)
            return payload

        agent, sibling = Agent("worker", handler=deaf, concurrency=8), Agent("other", handler=work)
        supervisor = over(agent, sibling, max_restarts=10)
        await supervisor.start()
        losers = [agent.ask("deaf", timeout=0.1) for _ in range(4)]
        for answer in await asyncio.gather(*losers, return_exceptions=True):
            assert isinstance(answer, AgentTimeout)
        assert await asyncio.gather(*(agent.ask(n) for n in range(50))) == list(range(50))
        await asyncio.sleep(10)
        assert supervisor.child("worker").restarts == 4
        assert supervisor.child("other").incarnation == 1

    in_sim(main)
