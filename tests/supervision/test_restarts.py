"""Restarts under an `AgentSupervisor`: strategies, restart types, limits, backoff, storms."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    Agent,
    AgentFailed,
    AgentStopped,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    AutoShutdown,
    ChildStopped,
    RestartPolicy,
)

from .pools import agent, fail, pool

Run = Callable[..., Any]


def test_the_asker_gets_the_error_and_the_next_question_the_next_incarnation(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a") as supervisor:
            with pytest.raises(AgentFailed) as caught:
                await supervisor.ask("a", "boom")
            assert isinstance(caught.value.__cause__, ValueError)
            assert await supervisor.ask("a", 1) == 1
            child = supervisor.child("a")
            assert (child.restarts, child.incarnation, child.state) == (1, 2, "running")
            assert isinstance(child.last_exit, ValueError)

    in_sim(main)


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")],
)
def test_the_strategy_says_who_is_restarted(in_sim: Run, strategy: str, restarted: str) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", "b", "c", strategy=strategy) as supervisor:
            await fail(supervisor, "b")
            await supervisor.wait_until("c")
            assert [c.name for c in supervisor if c.incarnation == 2] == list(restarted)

    in_sim(main)


@pytest.mark.parametrize(
    ("restart", "reason", "comes_back"),
    [
        ("permanent", "normal", True),
        ("permanent", "oops", True),
        ("transient", "normal", False),
        ("transient", "shutdown", False),
        ("transient", "oops", True),
        ("temporary", "oops", False),
    ],
)
def test_the_restart_type_says_who_comes_back(
    in_sim: Run, restart: str, reason: str, comes_back: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        one = agent("one")
        supervisor = AgentSupervisor("types")
        supervisor.add_child("one", one, restart=restart)
        await supervisor.start()
        await one.stop(reason)
        if comes_back:
            assert await supervisor.ask("one", 1) == 1
        else:
            await supervisor.wait_until("one", "stopped")
            with pytest.raises(ChildStopped, match="stopped"):
                await supervisor.ask("one", 1)
            with pytest.raises(AgentStopped):
                await one.ask(1)

    in_sim(main)


def test_one_failure_too_many_ends_the_supervisor_and_its_children(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(max_restarts=2)
        supervisor = pool("a", "b", restart_policy=policy, exhausted="escalate")
        await supervisor.start()
        for _ in range(3):
            await fail(supervisor, "a")
        await asyncio.sleep(1)
        assert not supervisor.is_running
        assert supervisor.last_reason == "shutdown"
        assert system.actors() == []
        for name in ("a", "b"):
            with pytest.raises(ChildStopped):
                await supervisor.ask(name, 1)

    in_sim(main)


def test_failures_far_apart_do_not_add_up(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(max_restarts=1, within_seconds=10)
        async with pool("a", restart_policy=policy) as supervisor:
            for _ in range(5):
                await fail(supervisor, "a")
                await asyncio.sleep(10.5)
            assert await supervisor.ask("a", 1) == 1

    in_sim(main)


def test_a_child_with_a_policy_of_its_own_has_a_budget_of_its_own(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(max_restarts=1)
        supervisor = pool("shared", restart_policy=policy, exhausted="escalate")
        supervisor.add_child("own", agent("own"), restart_policy=RestartPolicy(max_restarts=5))
        await supervisor.start()
        for _ in range(5):
            await fail(supervisor, "own")
        await fail(supervisor, "shared")
        assert await supervisor.ask("shared", 1) == 1
        await fail(supervisor, "own")
        await asyncio.sleep(1)
        assert not supervisor.is_running

    in_sim(main)


GROWING = RestartPolicy(
    max_restarts=50,
    within_seconds=20,
    backoff_type="exponential",
    initial_delay_ms=1000,
    max_delay_ms=5000,
)


async def failures(system: ActorSystem, supervisor: AgentSupervisor, count: int) -> list[float]:
    """Fail as soon as there is an incarnation, *count* times; return how long each took to come."""
    waits = []
    for _ in range(count):
        begin = system.clock()
        await fail(supervisor, "a")
        waits.append(system.clock() - begin)
    return waits


def test_backoff_grows_with_restarts_after_which_nothing_was_done(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> list[float]:
        async with pool("a", restart_policy=GROWING) as supervisor:
            return await failures(system, supervisor, 6)

    assert in_sim(main) == pytest.approx([0, 1, 2, 4, 5, 5])


@pytest.mark.parametrize("how", ["it handled a message", "it ran for a whole period"])
def test_backoff_forgets_what_failed_before_the_child_has_served(in_sim: Run, how: str) -> None:
    async def main(system: ActorSystem) -> list[float]:
        async with pool("a", restart_policy=GROWING) as supervisor:
            await failures(system, supervisor, 4)
            await supervisor.child("a")
            if how == "it handled a message":
                await supervisor.ask("a", 1)
            else:
                await asyncio.sleep(20.1)
            return await failures(system, supervisor, 4)

    assert in_sim(main) == pytest.approx([0, 1, 2, 4])


def test_a_child_that_only_waits_for_its_period_has_not_served(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> list[float]:
        async with pool("a", restart_policy=GROWING) as supervisor:
            await failures(system, supervisor, 3)
            await supervisor.child("a")
            await asyncio.sleep(19)
            return await failures(system, supervisor, 2)

    assert in_sim(main) == pytest.approx([0, 5])


def test_the_ends_of_its_children_are_no_service_of_a_supervisor(in_sim: Run) -> None:
    """Else the backoff of a supervisor whose children fail at once would never grow."""

    async def main(system: ActorSystem) -> list[float]:
        below = AgentSupervisor("below", restart_policy=RestartPolicy(max_restarts=1))
        below.add_child("a", agent("a"))
        root = AgentSupervisor("root", restart_policy=GROWING)
        root.add_supervisor("below", below)
        async with root:
            waits = []
            for _ in range(4):
                await fail(root, "below/a")
                await fail(root, "below/a")
                begin = system.clock()
                await root.wait_until("below")
                waits.append(system.clock() - begin)
            return waits

    assert in_sim(main) == pytest.approx([1, 2, 4, 5])


@pytest.mark.parametrize("served", [True, False])
def test_a_raw_actor_serves_as_an_agent_does(in_sim: Run, served: bool) -> None:
    class Worker(Actor):
        def on_receive(self, message: Any) -> Any:
            if message == "boom":
                raise ValueError("boom")
            return message

    async def main(system: ActorSystem) -> list[float]:
        supervisor = AgentSupervisor("pool", restart_policy=GROWING)
        supervisor.add_child("a", Worker)
        waits = []
        async with supervisor:
            for _ in range(4):
                begin = system.clock()
                if served:
                    await supervisor.ask("a", 1)
                with pytest.raises(ValueError, match="boom"):
                    await supervisor.ask("a", "boom")
                waits.append(system.clock() - begin)
        return waits

    assert in_sim(main) == pytest.approx([0, 1, 1, 1] if served else [0, 1, 2, 4])


def test_jitter_comes_from_the_systems_chance_and_shortens(in_sim: Run) -> None:
    policy = RestartPolicy(max_restarts=100, initial_delay_ms=1000, jitter=0.5)

    async def main(system: ActorSystem) -> list[float]:
        async with pool("a", restart_policy=policy) as supervisor:
            waits = []
            for _ in range(20):
                await fail(supervisor, "a")
                begin = system.clock()
                await supervisor.ask("a", 1)
                waits.append(round(system.clock() - begin, 9))
            return waits

    waits = in_sim(main)
    assert all(0.5 <= wait <= 1 for wait in waits)
    assert len(set(waits)) > 10
    assert in_sim(main) == waits


def test_a_storm_of_one_cause_is_one_restart_of_the_budget(in_sim: Run) -> None:
    class StoreLost(Exception):
        cause_token = "store"

    async def work(payload: Any) -> Any:
        if payload == "lost":
            raise StoreLost
        return payload

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("many", restart_policy=RestartPolicy(max_restarts=1))
        for number in range(200):
            supervisor.add_child(str(number), Agent(f"n{number}", handler=work))
        await supervisor.start()
        asks = [supervisor.ask(str(number), "lost") for number in range(200)]
        lost = await asyncio.gather(*asks, return_exceptions=True)
        assert all(isinstance(error, AgentFailed) for error in lost)
        assert await supervisor.ask("199", 1) == 1
        tree = supervisor.tree()
        assert (tree.in_window, sum(child.restarts for child in tree.children)) == (1, 200)

    in_sim(main)


def test_a_supervisor_ends_by_itself_when_its_significant_child_has(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        lead = agent("lead")
        supervisor = AgentSupervisor("job", auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
        supervisor.add_child("helper", agent("helper"))
        supervisor.add_child("lead", lead, restart="transient", significant=True)
        await supervisor.start()
        await lead.stop()
        await asyncio.sleep(1)
        assert not supervisor.is_running
        assert system.actors() == []

    in_sim(main)
