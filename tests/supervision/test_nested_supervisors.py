"""Supervisors under supervisors, in one loop after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    ActorDied,
    ActorRef,
    ActorSystem,
    AgentFailed,
    AgentStopped,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildState,
    ChildStopped,
    RestartPolicy,
    RestartType,
    SupervisorNotRunning,
    SupervisorStartFailed,
)

from .pools import agent, fail, pool

Run = Callable[..., Any]


def tree_of_three() -> tuple[AgentSupervisor, AgentSupervisor, AgentSupervisor]:
    root = AgentSupervisor(
        "root", restart_policy=RestartPolicy(max_restarts=1), exhausted="escalate"
    )
    processing = AgentSupervisor(
        "processing", "one_for_all", restart_policy=RestartPolicy(max_restarts=1)
    )
    io = AgentSupervisor("io")
    for name in ("parser", "transformer"):
        processing.add_child(name, agent(name))
    for name in ("reader", "writer"):
        io.add_child(name, agent(name))
    root.add_supervisor("processing", processing)
    root.add_supervisor("io", io)
    return root, processing, io


def test_a_child_supervisor_past_its_limit_is_restarted_with_its_subtree_only(
    in_sim: Run,
) -> None:
    async def main(system: ActorSystem) -> None:
        root, processing, io = tree_of_three()
        await root.start()
        before = io.child("reader").ref
        for _ in range(2):
            await fail(root, "processing/parser")
        assert await root.ask("processing/transformer", 1) == 1
        assert root.child("processing").restarts == 1
        assert [child.incarnation for child in processing] == [3, 3]
        assert io.child("reader").ref is before
        for _ in range(2):
            await fail(root, "processing/parser")
        await asyncio.sleep(1)
        assert not root.is_running
        assert system.actors() == []
        for name in ("processing/parser", "io/reader"):
            with pytest.raises(ChildStopped):
                await root.ask(name, 1)

    in_sim(main)


def test_what_waits_for_a_child_survives_the_restart_of_its_supervisor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, processing, _ = tree_of_three()
        root.on_failure(lambda name, error, count: None)
        await root.start()
        ref = processing.ref
        assert ref is not None
        ref.kill()
        assert await root.ask("processing/parser", 1) == 1
        assert processing.ref is not ref
        assert len([r for r in system.actors() if r.name == "parser"]) == 1

    in_sim(main)


def test_stopping_the_root_stops_everything_in_reverse(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, _, _ = tree_of_three()
        await root.start()
        order: list[Any] = []
        system.on_actor_end(lambda ref, reason: order.append((ref.name, reason)))
        await root.stop()
        assert order == [
            (name, "shutdown")
            for name in ("writer", "reader", "io", "transformer", "parser", "processing", "root")
        ]

    in_sim(main)


def test_a_child_supervisor_stopped_by_hand_stays_down(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, processing, _ = tree_of_three()
        await root.start()
        await processing.stop()
        await asyncio.sleep(1)
        assert root.child("processing").state is ChildState.STOPPED
        with pytest.raises(ChildStopped):
            await root.ask("processing/parser", 1)
        await root.restart_child("processing")
        assert await root.ask("processing/parser", 1) == 1

    in_sim(main)


def test_a_supervisor_that_runs_by_itself_is_adopted_as_it_is(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, processing, _ = tree_of_three()
        await processing.start()
        parser = processing.child("parser").ref
        await root.start()
        assert processing.child("parser").ref is parser
        for _ in range(2):
            await fail(root, "processing/parser")
        assert await root.ask("processing/parser", 1) == 1
        await root.stop()
        assert system.actors() == []

    in_sim(main)


def test_a_supervisor_cannot_be_a_child_of_two(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        shared = pool("a")
        one, two = AgentSupervisor("one"), AgentSupervisor("two")
        one.add_supervisor("shared", shared)
        two.add_supervisor("shared", shared)
        await one.start()
        with pytest.raises(SupervisorStartFailed, match="child of one already"):
            await two.start()

    in_sim(main)


def test_an_agent_supervisor_may_stand_under_a_plain_supervisor(in_sim: Run) -> None:
    from agenticaiframework.supervision import ChildSpec, Supervisor, count_children

    async def main(system: ActorSystem) -> None:
        below = pool("a")
        lone = agent("lone")
        top = system.start(
            Supervisor,
            {"intensity": 5},
            [ChildSpec("below", below, type="supervisor"), ChildSpec("lone", lone)],  # type: ignore[arg-type]
        )
        assert (await count_children(top)).active == 2
        assert await below.ask("a", 1) == 1
        assert await lone.ask(2) == 2
        with pytest.raises(AgentFailed):
            await lone.ask("boom")
        assert await lone.ask(3) == 3
        ref: ActorRef[Any] | None = below.ref
        assert ref is not None
        ref.kill()
        assert await below.ask("a", 4) == 4
        top.kill()
        await system.wait_ended(top)
        await asyncio.sleep(1)
        with pytest.raises((ChildStopped, SupervisorNotRunning)):
            await below.ask("a", 5)
        with pytest.raises(AgentStopped):
            await lone.ask(6)

    in_sim(main)


def test_a_child_supervisor_may_take_as_long_to_start_as_its_children_together(
    in_sim: Run,
) -> None:
    async def slow() -> None:
        await asyncio.sleep(20)

    async def main(system: ActorSystem) -> None:
        root, below = AgentSupervisor("root"), AgentSupervisor("below")
        for name in "abc":
            below.add_child(name, agent(name, on_start=slow))
        root.add_supervisor("below", below)
        await root.start()
        assert system.clock() == pytest.approx(60)

    in_sim(main)


def test_a_killed_root_leaves_nobody_waiting_for_ever(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a")
        await supervisor.start()
        waiting = asyncio.ensure_future(supervisor.ask("a", 100.0))
        queued = asyncio.ensure_future(supervisor.ask("a", 1))
        await asyncio.sleep(1)
        assert supervisor.ref is not None
        supervisor.ref.kill()
        results = await asyncio.wait_for(
            asyncio.gather(waiting, queued, return_exceptions=True), 10
        )
        assert all(isinstance(result, AgentFailed | AgentStopped) for result in results)
        assert system.actors() == []
        await supervisor.start()
        assert await supervisor.ask("a", 2) == 2

    in_sim(main)


def test_a_blueprint_runs_in_one_loop_after_another() -> None:
    supervisor = pool("a")

    async def main() -> None:
        async with ActorSystem(), supervisor:
            await fail(supervisor, "a")
            assert await supervisor.ask("a", 1) == 1

    asyncio.run(main())
    asyncio.run(main())


def test_without_a_system_of_its_own_the_loops_default_is_used() -> None:
    async def main() -> None:
        supervisor = pool("a")
        await supervisor.start()
        assert await supervisor.ask("a", 1) == 1
        await supervisor.stop()
        with pytest.raises((ChildStopped, ActorDied)):
            await supervisor.ask("a", 1)

    asyncio.run(main())


def test_restart_types_of_the_policy_apply_to_all_children(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", restart_policy=RestartPolicy(type=RestartType.TEMPORARY))
        await supervisor.start()
        await fail(supervisor, "a")
        await supervisor.wait_until("a", "stopped")

    in_sim(main)
