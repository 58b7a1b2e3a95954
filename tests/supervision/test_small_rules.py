"""Rules of supervisors that are easy to break without anything else going wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agenticaiframework.actors import Actor, ActorRef, ActorSystem, Agent, AgentStopped
from agenticaiframework.supervision import (
    AgentSupervisor,
    Budget,
    ChildSpec,
    ChildState,
    ChildStopped,
    Counts,
    SupervisionTree,
    Supervisor,
    SupervisorFlags,
    SupervisorStartFailed,
    TaskSupervisor,
    WaitTimeout,
    count_children,
    terminate_child,
    tree_of_ref,
    which_children,
)

Run = Callable[..., Any]


def work(payload: Any) -> Any:
    if payload == "boom":
        raise ValueError(payload)
    return payload


def agent(name: str) -> Agent:
    return Agent(name, handler=work)


class Worker(Actor):
    def on_receive(self, message: Any) -> Any:
        return work(message)


async def children_of(ref: ActorRef[Any]) -> Sequence[SupervisionTree]:
    await which_children(ref)  # so that it has begun
    tree = tree_of_ref("root", ref)
    assert tree is not None
    return tree.children


class Declines(Supervisor):
    def init(self) -> Any:
        return None


def test_a_temporary_child_that_declines_to_start_is_forgotten(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with AgentSupervisor("pool") as pool:
            assert pool.ref is not None
            stays = pool.add_child("stays", Declines)
            gone = pool.add_child("gone", Declines, restart="temporary")
            await asyncio.sleep(1)
            assert stays.state is gone.state is ChildState.STOPPED
            assert [info.id for info in await which_children(pool.ref)] == ["stays"]
            assert await count_children(pool.ref) == Counts(1, 0, 1, 0)

    in_sim(main)


def test_a_supervisor_that_was_stopped_once_may_still_fail(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        worker = agent("worker")
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("worker", worker)
        await supervisor.start()
        await supervisor.stop()
        await supervisor.start()
        assert await worker.ask(1) == 1
        ref = supervisor.ref
        assert ref is not None
        ref.kill()
        await system.wait_ended(ref)
        await asyncio.sleep(1)
        # It did not end because it was told to, and so its agent waits for it and starts nowhere.
        with pytest.raises(AgentStopped):
            await worker.ask(2)

    in_sim(main)


def test_a_start_that_fails_for_a_compound_reason_tells_it_and_the_path(in_sim: Run) -> None:
    class Unlicensed(Actor):
        def on_start(self) -> None:
            self.exit(("shutdown", "no licence"))

    async def main(system: ActorSystem) -> None:
        root, inner = AgentSupervisor("root"), AgentSupervisor("inner")
        root.add_supervisor("inner", inner)
        inner.add_child("worker", Unlicensed)
        with pytest.raises(SupervisorStartFailed) as failed:
            await root.start()
        assert failed.value.child == "inner/worker"
        assert failed.value.reason == ("shutdown", "no licence")

    in_sim(main)


def test_a_child_that_is_down_shows_its_limit_and_no_restarts_in_its_window(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        class Root(Supervisor):
            def init(self) -> Any:
                spec = ChildSpec("a", (Worker,), budget=Budget(3, 60))
                return SupervisorFlags(), [spec]

        root = system.start(Root)
        (node,) = await children_of(root)
        assert (node.limit, node.period_s, node.in_window) == (3, 60, 0)
        await terminate_child(root, "a")
        (node,) = await children_of(root)
        assert (node.limit, node.period_s, node.in_window) == (3, 60, None)
        assert node.state is ChildState.STOPPED

    in_sim(main)


def test_a_temporary_child_that_did_not_start_can_be_started_again(in_sim: Run) -> None:
    broken = [True]

    class Fragile(Worker):
        def on_start(self) -> None:
            if broken[0]:
                raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        async with AgentSupervisor("pool") as pool:
            pool.add_child("fragile", Fragile, restart="temporary")
            await asyncio.sleep(1)
            with pytest.raises(ChildStopped, match=r"restart_child\('fragile'\)") as stopped:
                await pool.ask("fragile", 1)
            error = stopped.value
            assert (error.supervisor, error.name, error.state) == ("pool", "fragile", "failed")
            assert "no disk" in str(error.reason)
            broken[0] = False
            await pool.restart_child("fragile")
            assert await pool.ask("fragile", 1) == 1

    in_sim(main)


def test_a_supervisor_runs_in_one_system_after_the_other() -> None:
    supervisor = AgentSupervisor("pool")
    supervisor.add_child("worker", Worker)

    async def once(number: int) -> None:
        async with ActorSystem(f"system {number}"), supervisor:
            assert await supervisor.ask("worker", number) == number
            with pytest.raises(ValueError, match="boom"):
                await supervisor.ask("worker", "boom")
            assert await supervisor.ask("worker", number) == number

    for number in range(2):
        asyncio.run(once(number))


@pytest.mark.parametrize("strategy", ["one_for_one", "simple_one_for_one"])
def test_the_agents_of_a_supervisor_that_was_stopped_belong_to_nobody(
    in_sim: Run, strategy: str
) -> None:
    async def main(system: ActorSystem) -> None:
        worker = agent("worker")
        supervisor = AgentSupervisor("pool", strategy)
        child = supervisor.add_child("worker", worker)
        async with supervisor:
            assert await worker.ask(1) == 1
        assert child.state is ChildState.STOPPED
        assert await worker.ask(2) == 2  # it starts on demand, as one that was never supervised
        with pytest.raises(ChildStopped):
            await child.ask(3)

    in_sim(main)


def test_a_task_is_waited_for_as_long_as_was_asked_for(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def work() -> str:
            await asyncio.sleep(10)
            return "done"

        async with TaskSupervisor("tasks") as tasks:
            task = await tasks.async_nolink(work)
            with pytest.raises(WaitTimeout):
                await task.result(timeout=5)
            assert await task.result(timeout=6) == "done"
            assert await (await tasks.async_nolink(work)).result() == "done"

    in_sim(main)


def test_who_awaits_a_child_waits_half_a_minute(in_sim: Run) -> None:
    class Slow(Worker):
        async def on_start(self) -> None:  # type: ignore[override]
            await asyncio.sleep(40)

    async def main(system: ActorSystem) -> None:
        async with AgentSupervisor("pool", start_timeout_s=60) as pool:
            child = pool.add_child("slow", Slow)
            began = system.clock()
            with pytest.raises(WaitTimeout):
                await child
            assert system.clock() - began == pytest.approx(30, abs=0.1)
            assert await child is child

    in_sim(main)
