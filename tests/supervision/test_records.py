"""One record says in which incarnation and state a child is: address, ref, handle and tree agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed
from agenticaiframework.supervision import AgentSupervisor, ChildState, RestartPolicy

Run = Callable[..., Any]


async def answer(payload: Any) -> Any:
    if payload == "boom":
        raise ValueError("boom")
    return payload


def incarnations(supervisor: AgentSupervisor, worker: Agent, system: ActorSystem) -> list[int]:
    child = supervisor.child("worker")
    assert child.ref is not None
    node = supervisor.tree().find("worker")
    assert node is not None
    return [
        worker.address(system).incarnation,
        child.ref.incarnation,
        child.incarnation,
        node.incarnation,
    ]


def test_crashes_before_the_supervision_count_everywhere(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        worker = Agent("worker", handler=answer)
        for _ in range(3):
            with pytest.raises(AgentFailed):
                await worker.ask("boom")
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("worker", worker)
        await supervisor.start()
        assert incarnations(supervisor, worker, system) == [4, 4, 4, 4]
        with pytest.raises(AgentFailed):
            await supervisor.ask("worker", "boom")
        await supervisor.wait_until("worker")
        assert incarnations(supervisor, worker, system) == [5, 5, 5, 5]
        assert supervisor.child("worker").restarts == 1
        await supervisor.stop()

    in_sim(main)


def test_a_child_and_its_node_in_the_tree_are_in_the_same_state(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor(
            "pool", "one_for_all", RestartPolicy(max_restarts=1, initial_delay_ms=1000)
        )
        seen: list[tuple[str, str, str, str]] = []

        def look() -> None:
            nodes = supervisor.tree().children
            first, second = supervisor.child("first"), supervisor.child("second")
            seen.append((first.state, nodes[0].state, second.state, nodes[1].state))

        @supervisor.on_max_restarts
        def stays_down(_name: str) -> None: ...

        @supervisor.on_failure
        async def think(_name: str, _error: Exception, _count: int) -> None:
            look()

        for name in ("first", "second"):
            supervisor.add_child(name, Agent(name, handler=answer))
        look()
        await supervisor.start()
        look()
        for _ in range(2):
            with pytest.raises(AgentFailed):
                await supervisor.ask("first", "boom")
            await asyncio.sleep(0.5)
            look()
            await asyncio.sleep(1)
        await supervisor.stop()
        look()
        assert seen == [
            ("new", "new", "new", "new"),
            ("running", "running", "running", "running"),
            ("deciding", "deciding", "running", "running"),
            ("restarting", "restarting", "restarting", "restarting"),
            ("deciding", "deciding", "running", "running"),
            ("gave up", "gave up", "running", "running"),
            ("gave up", "gave up", "stopped", "stopped"),
        ]

    in_sim(main)


def test_a_supervisor_that_starts_again_forgets_the_restarts_and_keeps_the_past(
    in_sim: Run,
) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        child = supervisor.add_child("worker", Agent("worker", handler=answer))
        await supervisor.start()
        with pytest.raises(AgentFailed):
            await supervisor.ask("worker", "boom")
        await supervisor.wait_until("worker")
        assert (child.restarts, child.incarnation) == (1, 2)
        assert isinstance(child.last_exit, ValueError)
        await supervisor.stop()
        await supervisor.start()
        assert (child.restarts, child.incarnation, child.state) == (0, 3, ChildState.RUNNING)
        assert child.last_exit == "shutdown"
        await supervisor.stop()

    in_sim(main)


def test_a_child_that_is_removed_before_its_supervisor_ever_ran_is_removed(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        worker = Agent("worker", handler=answer)
        supervisor = AgentSupervisor("pool")
        child = supervisor.add_child("worker", worker)
        assert await worker.ask(1) == 1
        await supervisor.remove_child("worker")
        assert child.state == "removed"
        # The supervisor has never had it: it goes on as before.
        assert worker.is_alive
        assert await worker.ask(2) == 2

    in_sim(main)
