"""Children that go down and come back with others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    AgentFailed,
    AgentStopped,
    Ignore,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildState,
    ChildStopped,
    DuplicateChild,
    RestartPolicy,
)

from .pools import agent, fail

Run = Callable[..., Any]


@pytest.mark.parametrize("delay_ms", [0, 500])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_temporary_child_that_goes_down_with_others_is_down_for_good(
    in_sim: Run, strategy: str, delay_ms: float
) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(initial_delay_ms=delay_ms)
        supervisor = AgentSupervisor("pool", strategy, policy)
        supervisor.add_child("lasting", agent("lasting"))
        supervisor.add_child("once", agent("once"), restart="temporary")
        async with supervisor:
            queued = asyncio.ensure_future(supervisor.ask("once", 100.0))
            await asyncio.sleep(0)
            await fail(supervisor, "lasting")
            assert await supervisor.ask("lasting", 1) == 1
            assert supervisor.child("once").state is ChildState.STOPPED
            with pytest.raises(ChildStopped, match="once"):
                await supervisor.ask("once", 1)
            with pytest.raises(AgentFailed, match="shutdown"):
                await queued
            await supervisor.add_child("once", agent("another"))
            assert await supervisor.ask("once", 1) == 1

    in_sim(main)


@pytest.mark.parametrize("why", ["given up", "refused", "stopped", "removed"])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_those_that_wait_to_be_restarted_with_a_child_come_back_without_it(
    in_sim: Run, strategy: str, why: str
) -> None:
    starts = 0

    def breaks() -> None:
        nonlocal starts
        starts += 1
        if starts > 1 and why in ("given up", "refused"):
            raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        waits = why in ("stopped", "removed")
        policy = RestartPolicy(max_restarts=3, initial_delay_ms=1000 if waits else 0)
        supervisor = AgentSupervisor("pool", strategy, policy)
        supervisor.add_child("first", agent("first"))
        supervisor.add_child("failing", agent("failing", on_start=breaks))
        supervisor.add_child("last", agent("last"))
        supervisor.on_max_restarts(lambda name: None)
        if why == "refused":
            supervisor.on_failure(lambda name, error, count: count == 0)
        async with supervisor:
            await fail(supervisor, "failing")
            await asyncio.sleep(0.1)
            if why == "stopped":
                await supervisor.stop_child("failing")
            elif why == "removed":
                await supervisor.remove_child("failing")
            assert await supervisor.ask("first", 1) == 1
            assert await supervisor.ask("last", 1) == 1
            await asyncio.sleep(10)
            assert [c.name for c in supervisor if c.state is ChildState.RUNNING] == [
                "first",
                "last",
            ]

    in_sim(main)


def test_a_child_that_did_not_start_again_holds_those_after_it_back_only_until_it_does(
    in_sim: Run,
) -> None:
    starts = 0

    def breaks() -> None:
        nonlocal starts
        starts += 1
        if starts in (2, 3):
            raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool", "rest_for_one")
        supervisor.add_child("first", agent("first", on_start=breaks))
        for name in ("second", "third"):
            supervisor.add_child(name, agent(name))
        async with supervisor:
            await fail(supervisor, "first")
            await supervisor.remove_child("second")
            assert await supervisor.ask("third", 1) == 1
            assert [child.incarnation for child in supervisor] == [2, 2]

    in_sim(main)


@pytest.mark.parametrize(
    ("restart", "declines"),
    [("permanent", 1), ("permanent", 2), ("transient", 1), ("transient", 2), ("temporary", 1)],
)
def test_a_child_that_declines_to_start_is_down_and_nobody_waits_for_it(
    in_sim: Run, restart: str, declines: int
) -> None:
    starts = 0

    class Shy(Actor):
        def on_start(self) -> None:
            nonlocal starts
            starts += 1
            if starts == declines:
                raise Ignore

        def on_receive(self, message: Any) -> Any:
            if message == "boom":
                raise ValueError(message)
            return message

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("shy", Shy, restart=restart)
        async with supervisor:
            if declines == 2:
                with pytest.raises(ValueError, match="boom"):
                    await supervisor.ask("shy", "boom")
                await asyncio.sleep(1)
            assert supervisor.child("shy").state is ChildState.STOPPED
            with pytest.raises(ChildStopped):
                await supervisor.ask("shy", 1)
            if restart == "temporary":
                await supervisor.add_child("shy", Shy)
            else:
                await supervisor.restart_child("shy")
            assert await supervisor.ask("shy", 1) == 1

    in_sim(main)


def test_a_temporary_child_that_runs_again_with_its_supervisor_is_one_child(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("once", agent("once"), restart="temporary")
        async with supervisor:
            await fail(supervisor, "once")
            await supervisor.wait_until("once", "stopped")
        async with supervisor:
            assert await supervisor.ask("once", 1) == 1
            with pytest.raises(DuplicateChild):
                supervisor.add_child("once", agent("another"))
        assert system.actors() == []

    in_sim(main)


@pytest.mark.parametrize("how", ["fails", "is killed"])
def test_nobody_waits_for_the_children_of_a_start_that_nobody_awaits_any_more(
    in_sim: Run, how: str
) -> None:
    async def slow() -> None:
        await asyncio.sleep(2)
        raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        below = AgentSupervisor("below")
        below.add_child("x", agent("x"))
        supervisor = AgentSupervisor("pool")
        supervisor.add_supervisor("below", below)
        supervisor.add_child("slow", agent("slow", on_start=slow))
        supervisor.add_child("last", agent("last"))
        starting = asyncio.ensure_future(supervisor.start())
        await asyncio.sleep(1)
        starting.cancel()
        asks = [asyncio.ensure_future(supervisor.ask(name, 1)) for name in ("slow", "last")]
        await asyncio.sleep(0)
        if how == "is killed":
            assert supervisor.ref is not None
            supervisor.ref.kill()
        answers = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 120)
        assert [type(answer) for answer in answers] == [AgentStopped, AgentStopped]
        assert {child.state for child in (*supervisor, *below)} == {ChildState.STOPPED}
        assert system.actors() == []

    in_sim(main)


def test_nobody_waits_for_a_child_whose_removal_was_overtaken_by_the_end(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def slow() -> None:
            await asyncio.sleep(1)

        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", agent("a"))
        supervisor.add_child("slow", agent("slow", on_stop=slow))
        await supervisor.start()
        asks = [asyncio.ensure_future(supervisor.ask("a", payload)) for payload in (100.0, 1)]
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(supervisor.stop())
        await asyncio.sleep(0.5)
        removing = asyncio.ensure_future(supervisor.remove_child("a"))
        await asyncio.sleep(0)
        removing.cancel()
        await stopping
        answers = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 120)
        assert all(isinstance(answer, AgentFailed | AgentStopped) for answer in answers)

    in_sim(main)
