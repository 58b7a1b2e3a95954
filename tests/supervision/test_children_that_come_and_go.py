"""Children that are added and removed while their supervisor runs, and waiting for their states."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    AgentFailed,
    Ignore,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildProblem,
    ChildState,
    ChildStopped,
    Counts,
    Error,
    Ok,
    Refused,
    RestartType,
    SupervisionStrategy,
    UnknownChild,
    WaitTimeout,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    terminate_child,
    which_child,
    which_children,
)

from .pools import agent, fail, pool

Run = Callable[..., Any]


def test_a_child_added_to_a_running_supervisor_is_started(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool() as supervisor:
            child = supervisor.add_child("late", agent("late"))
            assert child.state is ChildState.STARTING
            assert await child.ask(1) == 1
            assert await child is child
            await fail(supervisor, "late")
            assert await child.ask(2) == 2

    in_sim(main)


def test_an_added_child_that_does_not_start_stays_down_and_harms_nobody(in_sim: Run) -> None:
    def broken() -> None:
        raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        async with pool("a") as supervisor:
            child = supervisor.add_child("broken", agent("broken", on_start=broken))
            with pytest.raises(ChildStopped, match="failed.*no disk"):
                await child
            with pytest.raises(ChildStopped):
                await child.ask(1)
            assert await supervisor.ask("a", 1) == 1
            with pytest.raises(Refused, match="no disk"):
                await supervisor.restart_child("broken")
            await supervisor.remove_child("broken")
            await supervisor.add_child("broken", agent("repaired"))

    in_sim(main)


def test_a_child_added_while_the_supervisor_starts_is_started_once(in_sim: Run) -> None:
    starts: list[str] = []

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("early")
        supervisor.add_child("a", agent("a", on_start=lambda: starts.append("a")))
        starting = asyncio.ensure_future(supervisor.start())
        await asyncio.sleep(0)
        supervisor.add_child("b", agent("b", on_start=lambda: starts.append("b")))
        await starting
        await supervisor.wait_until("b")
        assert starts == ["a", "b"]

    in_sim(main)


def test_a_removed_child_is_gone_and_its_agent_belongs_to_nobody(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = agent("one")
        supervisor = AgentSupervisor("pool")
        child = supervisor.add_child("one", one)
        await supervisor.remove_child("one")
        child = supervisor.add_child("one", one)
        await supervisor.start()
        await supervisor.remove_child("one")
        assert child.state is ChildState.REMOVED
        with pytest.raises(UnknownChild):
            supervisor.child("one")
        with pytest.raises(ChildStopped):
            await child.ask(1)
        assert await one.ask(2) == 2
        other = AgentSupervisor("other")
        other.add_child("one", one)
        await other.start()
        assert await other.ask("one", 3) == 3

    in_sim(main)


def test_temporary_children_that_ended_do_not_pile_up(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with AgentSupervisor("many") as supervisor:
            for number in range(300):
                supervisor.add_child(f"job {number}", (brief, number), restart="temporary")
            await asyncio.sleep(1)
            assert len(supervisor.children) == 100
            assert supervisor.child("job 299").state is ChildState.STOPPED
            again = supervisor.add_child("job 299", (brief, 1), restart="temporary")
            await supervisor.wait_until("job 299", "stopped")
            assert again.last_exit == "normal"

    async def brief(_number: int) -> None:
        return None

    in_sim(main)


def test_simple_one_for_one_children_stop_at_the_same_time(in_sim: Run) -> None:
    async def slow() -> None:
        await asyncio.sleep(2)

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("simple", SupervisionStrategy.SIMPLE_ONE_FOR_ONE)
        for name in "abcd":
            supervisor.add_child(name, agent(name, on_stop=slow))
        await supervisor.start()
        await fail(supervisor, "b")
        assert await supervisor.ask("b", 1) == 1
        assert [child.restarts for child in supervisor] == [0, 1, 0, 0]
        begin = system.clock()
        await supervisor.stop()
        assert system.clock() - begin == pytest.approx(2)
        assert supervisor.tree().strategy == "simple_one_for_one"

    in_sim(main)


def test_wait_until_gives_up_after_its_time(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a") as supervisor:
            with pytest.raises(WaitTimeout, match="was not stopped within 5 s; it is running"):
                await supervisor.wait_until("a", "stopped", timeout=5)
            assert system.clock() == pytest.approx(5)

    in_sim(main)


def test_one_that_has_just_died_does_not_count_as_running(in_sim: Run) -> None:
    def blocking(payload: Any) -> Any:
        raise ValueError(payload)

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", Agent("a", handler=blocking))
        async with supervisor:
            # The answer out of a thread comes before the supervisor learns of the end.
            with pytest.raises(AgentFailed):
                await supervisor.ask("a", "boom")
            child = await supervisor.wait_until("a", "running")
            assert (child.restarts, child.is_alive) == (1, True)

    in_sim(main)


@pytest.mark.parametrize("state", ["restarting", "deciding", "starting"])
def test_a_state_that_passes_at_once_is_seen_by_who_waits_for_it(in_sim: Run, state: str) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a")
        supervisor.on_failure(lambda name, error, count: True)
        async with supervisor:
            waiting = asyncio.ensure_future(supervisor.wait_until("a", state, timeout=5))
            await asyncio.sleep(0)
            if state == "starting":
                await supervisor.stop()
                await supervisor.start()
            else:
                await fail(supervisor, "a")
            assert (await waiting).name == "a"
            assert system.clock() == 0

    in_sim(main)


@pytest.mark.parametrize("turns", range(1, 12))
def test_who_is_cancelled_on_the_way_in_leaves_no_supervisor_behind(
    in_sim: Run, turns: int
) -> None:
    async def main(system: ActorSystem) -> None:
        async def slow() -> None:
            await asyncio.sleep(1)

        supervisor = AgentSupervisor("pool")
        for name in "ab":
            supervisor.add_child(name, agent(name, on_start=slow))

        async def use() -> None:
            async with supervisor:
                raise AssertionError("not reached")

        entering = asyncio.ensure_future(use())
        for _ in range(turns):
            await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert system.actors() == []
        async with supervisor:
            entering = asyncio.ensure_future(supervisor.__aenter__())
            await asyncio.sleep(0)
            entering.cancel()
            # It ran already, for somebody else.
            await asyncio.wait({entering})
            assert await supervisor.ask("a", 1) == 1

    in_sim(main)


def test_a_temporary_child_added_to_a_running_supervisor_belongs_to_it(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = await pool("a").start()
        assert supervisor.ref is not None
        child = await supervisor.add_child("b", agent("b"), restart=RestartType.TEMPORARY)
        assert [info.id for info in await which_children(supervisor.ref)] == ["b", "a"]
        assert supervisor.tree().find("b") is not None
        ref = child.ref
        await supervisor.stop()
        assert ref is not None
        assert ref.exit_reason == "shutdown"

    in_sim(main)


def test_a_temporary_child_that_declines_when_it_is_added_is_forgotten(in_sim: Run) -> None:
    def declines() -> None:
        raise Ignore

    async def main(system: ActorSystem) -> None:
        supervisor = await pool("a").start()
        assert supervisor.ref is not None
        kept = supervisor.add_child("kept", agent("kept", on_start=declines))
        gone = supervisor.add_child("gone", agent("gone", on_start=declines), restart="temporary")
        for child in (kept, gone):
            await supervisor.wait_until(child.name, ChildState.STOPPED)
            assert child.last_exit == "ignore"
        lines = [(info.id, info.child) for info in await which_children(supervisor.ref)]
        assert lines == [("kept", None), ("a", supervisor.child("a").ref)]
        # Its name is free again.
        assert await (await supervisor.add_child("gone", agent("new"))).ask(1) == 1
        await supervisor.stop()

    in_sim(main)


def test_an_agent_supervisors_actor_answers_otps_requests(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = await pool("a", "b").start()
        ref = supervisor.ref
        assert ref is not None
        unknown = Error(ChildProblem.NOT_FOUND)
        for request in (terminate_child, restart_child, delete_child, get_childspec, which_child):
            assert await request(ref, "c") == unknown  # type: ignore[operator]
        assert await delete_child(ref, "a") == Error(ChildProblem.RUNNING)
        assert await restart_child(ref, "a") == Error(ChildProblem.RUNNING)
        assert await terminate_child(ref, "a") == Ok(None)
        assert supervisor.child("a").state is ChildState.STOPPED
        restarted = await restart_child(ref, "a")
        assert restarted == Ok(supervisor.child("a").ref)
        assert supervisor.child("a").is_alive
        assert await terminate_child(ref, "a") == Ok(None)
        child = supervisor.child("a")
        assert await delete_child(ref, "a") == Ok(None)
        assert child.state is ChildState.REMOVED
        assert [child.name for child in supervisor] == ["b"]
        assert await count_children(ref) == Counts(1, 1, 0, 1)
        await supervisor.stop()

    in_sim(main)
