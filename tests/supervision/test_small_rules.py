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
