"""The page's supervisors used as one would guess: what goes wrong is said early, and in words that help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from agenticaiframework.actors import Actor, ActorSystem, Agent, AgentFailed
from agenticaiframework.supervision import (
    AgentSupervisor,
    BadOption,
    ChildSpec,
    ChildState,
    ChildStopped,
    DuplicateChild,
    DynamicSupervisor,
    PartitionSupervisor,
    Refused,
    RestartPolicy,
    Supervisor,
    SupervisorStartFailed,
    TaskSupervisor,
    count_children,
    start_child,
    which_child,
)

Run = Callable[..., Any]


async def answer(payload: Any) -> Any:
    if payload == "boom":
        raise ValueError("boom")
    return payload


def agent(name: str = "agent", **options: Any) -> Agent:
    return Agent(name, handler=answer, **options)


class Plain(Actor):
    """Says nothing about what an error in an ask means to it."""

    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError("boom")
        return message


# -- actors under supervision ------------------------------------------------------------------


def test_a_supervised_actor_crashes_on_an_ask_and_its_asker_gets_the_error(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("plain", Plain)
        async with supervisor:
            with pytest.raises(ValueError, match="boom"):
                await supervisor.ask("plain", "boom")
            assert await supervisor.ask("plain", 1) == 1
            assert supervisor.child("plain").restarts == 1

    in_sim(main)


def test_a_child_of_a_bare_supervisor_crashes_on_an_ask(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = system.start(Supervisor, {}, [ChildSpec("plain", Plain)])
        first = (await which_child(sup, "plain")).unwrap().child
        with pytest.raises(ValueError, match="boom"):
            await first.request("boom")
        await system.wait_ended(first)
        await count_children(sup)
        assert (await which_child(sup, "plain")).unwrap().child is not first

    in_sim(main)


def test_a_supervised_actor_whose_class_says_that_it_lives_on_does(in_sim: Run) -> None:
    class Lenient(Plain):
        crash_on_ask_error = False

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("lenient", Lenient)
        async with supervisor:
            with pytest.raises(ValueError, match="boom"):
                await supervisor.ask("lenient", "boom")
            assert await supervisor.ask("lenient", 1) == 1
            assert supervisor.child("lenient").restarts == 0

    in_sim(main)


def test_a_plain_pykka_child_gets_what_it_is_told() -> None:
    heard: list[Any] = []

    class Old(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            heard.append(message)
            return len(heard)

    async def main() -> None:
        async with ActorSystem():
            supervisor = AgentSupervisor("pool")
            supervisor.add_child("old", Old)
            async with supervisor:
                supervisor.tell("old", "told")
                assert await supervisor.ask("old", "asked", timeout=30) == 2
                assert heard == ["told", "asked"]

    asyncio.run(main())


# -- what is refused at once -------------------------------------------------------------------


def test_what_cannot_work_is_refused_where_it_is_given() -> None:
    one = AgentSupervisor("one")
    for wrong in (
        lambda: AgentSupervisor("x", start_timeout_s=0),
        lambda: AgentSupervisor("x", start_timeout_s=-1.0),
        lambda: AgentSupervisor("x", start_timeout_s="soon"),  # type: ignore[arg-type]
        lambda: AgentSupervisor("x", handler_timeout_s=0),
        lambda: AgentSupervisor("x", handler_timeout_s=float("nan")),
        lambda: one.on_failure(None),  # type: ignore[type-var]
        lambda: one.on_failure(lambda name: True),
        lambda: one.on_max_restarts(lambda name, error, count: None),
        lambda: one.on_max_restarts("notify"),  # type: ignore[type-var]
        lambda: PartitionSupervisor("x", Plain, partitions="2"),  # type: ignore[arg-type]
        lambda: DynamicSupervisor(max_children="2"),  # type: ignore[arg-type]
        lambda: TaskSupervisor("x", max_children="2"),  # type: ignore[arg-type]
        lambda: TaskSupervisor("x").stream(answer, [1], max_concurrency=0),
        lambda: TaskSupervisor("x").stream(5, [1]),  # type: ignore[arg-type]
    ):
        with pytest.raises(BadOption):
            wrong()


def test_handlers_may_take_defaults_and_any_number_of_arguments() -> None:
    supervisor = AgentSupervisor("one")

    def wide(*args: Any) -> bool:
        return True

    def spare(name: str, error: Exception, count: int, note: str = "") -> bool:
        return True

    assert supervisor.on_failure(wide) is wide
    assert supervisor.on_failure(spare) is spare
    assert supervisor.on_max_restarts(wide) is wide
    assert supervisor.on_failure(print) is print


def test_a_ring_is_refused_also_when_it_is_made_by_add_child() -> None:
    top, low = AgentSupervisor("top"), AgentSupervisor("low")
    top.add_child("low", low)
    for supervisor, child in ((top, top), (low, top)):
        with pytest.raises(BadOption, match="descendant"):
            supervisor.add_child("again", child)


def test_one_agent_cannot_be_two_children_of_a_supervisor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor, shared = AgentSupervisor("pool"), agent("shared")
        supervisor.add_child("one", shared)
        with pytest.raises(DuplicateChild, match="'one'"):
            supervisor.add_child("two", shared)
        assert [child.name for child in supervisor] == ["one"]
        async with supervisor:
            await supervisor.remove_child("one")
            await supervisor.add_child("two", shared)
            assert await supervisor.ask("two", 1) == 1

    in_sim(main)


def test_waiting_for_a_state_that_there_is_not_names_the_near_ones(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", agent())
        with pytest.raises(BadOption, match="'running'"):
            await supervisor.wait_until("a", "runing")

    in_sim(main)


# -- what errors say ---------------------------------------------------------------------------


def test_a_stopped_supervisor_is_what_an_ask_of_its_child_points_at(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", agent("a"))
        supervisor.add_child("once", agent("once"), restart="temporary")
        async with supervisor:
            with pytest.raises(AgentFailed):
                await supervisor.ask("once", "boom")
            await supervisor.wait_until("once", "stopped")
            with pytest.raises(ChildStopped, match="add_child") as temporary:
                await supervisor.ask("once", 1)
            assert "restart_child" not in str(temporary.value)
        with pytest.raises(ChildStopped, match=r"supervisor\.start\(\)") as down:
            await supervisor.ask("a", 1)
        assert "restart_child" not in str(down.value)

    in_sim(main)


def test_a_refused_restart_says_of_whom_and_why(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        failing = [False]

        def start() -> None:
            if failing[0]:
                raise RuntimeError("no database")

        supervisor.add_child("a", agent("a", on_start=start))
        async with supervisor:
            with pytest.raises(Refused, match="'a'.*running"):
                await supervisor.restart_child("a")
            await supervisor.stop_child("a")
            failing[0] = True
            with pytest.raises(Refused, match="'a'.*no database") as refused:
                await supervisor.restart_child("a")
            assert isinstance(refused.value.__cause__, RuntimeError)

    in_sim(main)


def test_an_agent_that_belongs_to_another_supervisor_is_the_cause_of_the_failed_start(
    in_sim: Run,
) -> None:
    async def main(system: ActorSystem) -> None:
        shared = agent("shared")
        first, second = AgentSupervisor("first"), AgentSupervisor("second")
        first.add_child("a", shared)
        second.add_child("b", shared)
        async with first:
            with pytest.raises(
                SupervisorStartFailed, match="belongs to the supervisor first"
            ) as no:
                await second.start()
            assert "StartCrashed" not in str(no.value)
            assert isinstance(no.value.__cause__, ValueError)

    in_sim(main)


# -- sight -------------------------------------------------------------------------------------


def test_after_giving_up_the_tree_still_shows_what_each_child_died_of(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(max_restarts=0)
        supervisor = AgentSupervisor("pool", restart_policy=policy, exhausted="escalate")
        supervisor.add_child("a", agent("a"))
        supervisor.add_child("b", agent("b"))
        await supervisor.start()
        with pytest.raises(AgentFailed):
            await supervisor.ask("a", "boom")
        await supervisor.wait_until("a", "stopped")
        await system.wait_ended(supervisor._ref)  # type: ignore[arg-type]
        tree = supervisor.tree()
        a, b = tree.children
        assert a.last_exit == "ValueError: boom"
        assert a.traceback is not None
        assert "answer" in a.traceback
        assert b.last_exit == "shutdown"

    in_sim(main)


def test_a_failed_start_shows_its_reason_at_the_child_that_failed(in_sim: Run) -> None:
    def refuse() -> None:
        raise RuntimeError("no database")

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", agent("a"))
        supervisor.add_child("b", agent("b", on_start=refuse))
        with pytest.raises(SupervisorStartFailed):
            await supervisor.start()
        a, b = supervisor.tree().children
        assert a.last_exit == "shutdown"
        assert b.last_exit == "RuntimeError: no database"

    in_sim(main)


def test_the_window_of_a_child_that_is_down_is_a_number(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.on_max_restarts(lambda name: None)
        supervisor.add_child("a", agent(), restart_policy=RestartPolicy(max_restarts=0))
        async with supervisor:
            with pytest.raises(AgentFailed):
                await supervisor.ask("a", "boom")
            child = await supervisor.wait_until("a", ChildState.GAVE_UP)
            assert child.restarts == 0
            (node,) = supervisor.tree().children
            assert node.in_window == 0

    in_sim(main)


def test_a_task_supervisor_has_a_tree_like_any_other(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, jobs = AgentSupervisor("root"), TaskSupervisor("jobs")
        root.add_supervisor("jobs", jobs)
        assert jobs.tree().state == "new"
        assert root.tree().children[0].kind == "supervisor"
        async with root:
            await jobs.async_nolink(asyncio.sleep, 100)
            assert len(jobs.tree().children) == 1
            assert len(root.tree().find("jobs").children) == 1  # type: ignore[union-attr]
        assert jobs.tree().state == "stopped"

    in_sim(main)


def test_an_added_child_of_a_dynamic_supervisor_crashes_on_an_ask_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        pool = system.start(DynamicSupervisor)
        ref = (await start_child(pool, ChildSpec("x", Plain))).unwrap()
        with pytest.raises(ValueError, match="boom"):
            await ref.request("boom")
        await system.wait_ended(ref)
        assert isinstance(ref.exit_reason, ValueError)

    in_sim(main)
