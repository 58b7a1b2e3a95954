"""Dynamic, partition and task supervisors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenticaiframework.actors import Actor, ActorDied, ActorRef, ActorSystem, Agent
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.supervision import (
    AgentSupervisor,
    BadOption,
    ChildProblem,
    ChildSpec,
    Counts,
    DynamicSupervisor,
    Error,
    Ok,
    PartitionSupervisor,
    Refused,
    RestartType,
    SupervisorNotRunning,
    Task,
    TaskSupervisor,
    WaitTimeout,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from agenticaiframework.supervision.supervisors.partition_supervisor import partition_of

Run = Callable[..., Any]


class Worker(Actor):
    crash_on_ask_error = True

    def __init__(self, name: Any = None) -> None:
        super().__init__()
        self.name = name

    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError("boom")
        return self.name


def spec(name: str, **options: Any) -> ChildSpec:
    return ChildSpec(name, (Worker, name), **options)


async def end(ref: ActorRef[Any]) -> None:
    ref.tell("boom")
    await ref.system.wait_ended(ref)  # type: ignore[union-attr]


# -- dynamic -----------------------------------------------------------------------------------


def test_dynamic_children_have_specifications_of_their_own(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        pool = system.start(DynamicSupervisor, {"intensity": 5})
        a = (await start_child(pool, spec("a"))).unwrap()
        b = (await start_child(pool, spec("b", restart="temporary"))).unwrap()
        assert a is not None
        assert b is not None
        assert await count_children(pool) == Counts(2, 2, 0, 2)
        assert (await get_childspec(pool, a)).unwrap().id == "a"
        await end(a)
        await end(b)
        (left,) = await which_children(pool)
        assert isinstance(left.child, ActorRef)
        assert left.child is not a
        assert await left.child.request("who") == "a"
        assert await count_children(pool) == Counts(1, 1, 0, 1)

    in_sim(main)


def test_max_children_counts_those_between_two_incarnations(in_sim: Run) -> None:
    from agenticaiframework.supervision import Backoff

    async def main(system: ActorSystem) -> None:
        pool = system.start(DynamicSupervisor, max_children=2)
        a = (await start_child(pool, spec("a", backoff=Backoff(initial_delay_s=5)))).unwrap()
        b = (await start_child(pool, spec("b"))).unwrap()
        full = Error(ChildProblem.MAX_CHILDREN)
        assert await start_child(pool, spec("c")) == full
        assert a is not None
        await end(a)
        assert await start_child(pool, spec("c")) == full
        assert await count_children(pool) == Counts(2, 1, 0, 2)
        assert await terminate_child(pool, b) == Ok(None)
        assert (await start_child(pool, spec("c"))).is_ok
        assert await start_child(pool, spec("d")) == full
        assert await terminate_child(pool, a) == Ok(None)
        assert (await start_child(pool, spec("d"))).is_ok
        await asyncio.sleep(10)
        assert await count_children(pool) == Counts(2, 2, 0, 2)

    in_sim(main)


def test_a_dynamic_supervisor_knows_no_ids(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        pool = system.start(DynamicSupervisor)
        stranger = system.start(Worker)
        await start_child(pool, spec("a"))
        for request in (terminate_child, restart_child, delete_child, get_childspec):
            assert await request(pool, "a") == Error(ChildProblem.NOT_FOUND)  # type: ignore[operator]
        assert await terminate_child(pool, stranger) == Error(ChildProblem.NOT_FOUND)

    in_sim(main)


def test_a_dynamic_supervisor_gives_up_as_others_do(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        pool = system.start(DynamicSupervisor, {"intensity": 1})
        for name in "ab":
            await start_child(pool, spec(name))
        for info in await which_children(pool):
            assert isinstance(info.child, ActorRef)
            info.child.tell("boom")
        await system.wait_ended(pool)
        assert pool.exit_reason == "shutdown"
        assert system.actors() == []

    in_sim(main)


def test_a_dynamic_supervisor_refuses_what_it_cannot_be(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        wrong = system.start(DynamicSupervisor, {"strategy": "one_for_all"})
        await system.wait_ended(wrong)
        with pytest.raises(BadOption, match="max_children"):
            system.start(DynamicSupervisor, max_children=-1)

    in_sim(main)


# -- partitions --------------------------------------------------------------------------------


@given(
    st.one_of(st.integers(), st.text(), st.binary(), st.tuples(st.text(max_size=5), st.integers())),
    st.integers(1, 64),
)
def test_every_key_has_one_partition(key: Any, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(key, partitions)


def test_keys_spread_over_the_partitions() -> None:
    hit = [partition_of(f"user-{number}", 8) for number in range(4000)]
    assert all(350 < hit.count(number) < 650 for number in range(8))


def test_a_key_always_finds_its_partition_also_after_a_restart(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        pool = PartitionSupervisor("pool", lambda number: (Worker, number), partitions=4)
        await pool.start()
        number = partition_of("user-1", 4)
        assert await pool.partition("user-1").ask("who") == number
        with pytest.raises(ValueError, match="boom"):
            await pool.partition("user-1").ask("boom")
        assert await pool.partition("user-1").ask("who") == number
        assert [child.restarts for child in pool].count(1) == 1

    in_sim(main)


def test_partitions_of_one_class_and_what_cannot_be_partitioned() -> None:
    assert len(PartitionSupervisor("pool", Worker, 3).children) == 3
    assert len(PartitionSupervisor("pool", Worker).children) >= 1
    one = Agent("one", handler=lambda payload: payload)
    with pytest.raises(BadOption, match="one agent"):
        PartitionSupervisor("pool", one, 3)
    with pytest.raises(BadOption, match="partitions=0"):
        PartitionSupervisor("pool", Worker, 0)
    with pytest.raises(BadOption, match="neither a number"):
        partition_of(object(), 3)


# -- tasks -------------------------------------------------------------------------------------


async def double(value: Any) -> Any:
    if value == "boom":
        raise ValueError("boom")
    await asyncio.sleep(0.1)
    return value * 2


def test_a_task_gives_its_result_as_often_as_it_is_asked(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as tasks:
            task = await tasks.async_nolink(double, 21)
            assert not task.done
            assert await task == 42
            assert await task.result(timeout=0) == 42
            assert await task.outcome() == Ok(42)
            await asyncio.sleep(1)
            assert len(system.actors()) == 1

    in_sim(main)


def test_a_task_that_fails_harms_neither_its_owner_nor_its_supervisor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as tasks:
            task = await tasks.async_nolink(double, "boom")
            unseen = await tasks.async_nolink(double, "boom")
            with pytest.raises(ValueError, match="boom"):
                await task
            outcome = await task.outcome()
            assert isinstance(outcome, Error)
            assert isinstance(outcome.error, ValueError)
            assert tasks.is_running
            assert unseen.done

    in_sim(main)


@pytest.mark.parametrize("kind", ["async", "plain"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("turns", range(1, 8))
def test_who_is_cancelled_while_a_task_starts_leaves_none_behind(
    turns: int, seed: int, kind: str
) -> None:
    ran: list[int] = []

    async def long(number: int) -> None:
        ran.append(number)

    def plain(number: int) -> None:
        ran.append(number)

    async def main() -> None:
        async with ActorSystem("test", seed=1), TaskSupervisor(max_children=1) as tasks:
            fn = long if kind == "async" else plain
            starting = asyncio.ensure_future(tasks.async_nolink(fn, 1))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.wait({starting})
            if not starting.cancelled():
                await (await starting)
            await asyncio.sleep(1)
            assert tasks.tree().children == ()
            await (await tasks.async_nolink(fn, 2))
            assert ran[-1] == 2

    run_sim(main, seed=seed)


def test_a_cancelled_task_ends_and_a_cancelled_owner_leaves_the_task_alone(in_sim: Run) -> None:
    ends: list[str] = []

    async def long(name: str) -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            ends.append(name)
            raise
        return name

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as tasks:
            cancelled = await tasks.async_nolink(long, "cancelled")
            kept = await tasks.async_nolink(long, "kept")
            owner = asyncio.ensure_future(wait_for(kept))
            await asyncio.sleep(1)
            cancelled.cancel()
            owner.cancel()
            with pytest.raises(ActorDied):
                await cancelled
            assert await cancelled.outcome() == Error("shutdown")
            with pytest.raises(WaitTimeout):
                await kept.result(timeout=1)
            assert await kept == "kept"
        assert ends == ["cancelled"]

    async def wait_for(task: Task[Any]) -> Any:
        return await task

    in_sim(main)


def test_no_more_tasks_than_allowed_run(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor("few", max_children=2) as tasks:
            running = [await tasks.async_nolink(double, n) for n in range(2)]
            with pytest.raises(Refused, match="max_children"):
                await tasks.async_nolink(double, 3)
            assert [await task for task in running] == [0, 2]
            assert await (await tasks.async_nolink(double, 3)) == 6

    in_sim(main)


def test_tasks_end_with_their_supervisor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root = AgentSupervisor("root")
        tasks = TaskSupervisor("jobs")
        root.add_supervisor("jobs", tasks)
        with pytest.raises(SupervisorNotRunning):
            await tasks.async_nolink(double, 1)
        await root.start()
        task = await tasks.async_nolink(asyncio.sleep, 100)
        await root.stop()
        with pytest.raises(ActorDied):
            await task
        assert system.actors() == []
        assert system.clock() == 0

    in_sim(main)


def test_a_child_started_for_its_effects_comes_back_if_asked_to(in_sim: Run) -> None:
    runs: list[str] = []

    async def flaky(name: str) -> None:
        runs.append(name)
        await asyncio.sleep(0.1)
        if len(runs) < 3:
            raise ValueError("boom")

    async def main(system: ActorSystem) -> None:
        supervisor = TaskSupervisor()
        async with supervisor as tasks:
            await tasks.start_child(flaky, "once")
            await asyncio.sleep(1)
            assert runs == ["once"]
            await tasks.start_child(flaky, "again", restart=RestartType.TRANSIENT)
            await asyncio.sleep(1)
            assert runs == ["once", "again", "again"]

    in_sim(main)


def test_plain_functions_run_in_threads() -> None:
    def where(_item: Any) -> int:
        return threading.get_ident()

    effects: list[int] = []

    async def main() -> None:
        async with ActorSystem(), TaskSupervisor() as tasks:
            assert await (await tasks.async_nolink(where, 1)) != threading.get_ident()
            ref = await tasks.start_child(lambda: effects.append(threading.get_ident()))
            assert ref.system is not None
            await ref.system.wait_ended(ref)
            assert effects
            assert effects != [threading.get_ident()]

    asyncio.run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stream_bounds_its_concurrency_and_loses_nothing(in_sim: Run, ordered: bool) -> None:
    running = 0
    most = 0

    async def work(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1 + (item % 3))
        running -= 1
        if item == 7:
            raise ValueError("seven")
        return item

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as tasks:
            outcomes = [
                outcome
                async for outcome in tasks.stream(
                    work, range(20), max_concurrency=4, ordered=ordered
                )
            ]
        values = [outcome.value for outcome in outcomes if isinstance(outcome, Ok)]
        assert sorted(values) == [n for n in range(20) if n != 7]
        assert (values == sorted(values)) is ordered
        (failed,) = [outcome for outcome in outcomes if isinstance(outcome, Error)]
        assert isinstance(failed.error, ValueError)
        if ordered:
            assert outcomes[7] is failed
        assert most == 4

    in_sim(main)


def test_a_slow_consumer_slows_the_items_down(in_sim: Run) -> None:
    taken: list[int] = []

    async def items() -> AsyncIterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as tasks:
            async with aclosing(tasks.stream(double, items(), max_concurrency=3)) as stream:
                async for _ in stream:
                    await asyncio.sleep(100)
                    assert len(taken) <= 7
                    break
            await asyncio.sleep(1)
            assert len(system.actors()) == 1

    in_sim(main)


def test_an_item_that_takes_too_long_is_killed_and_says_so(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as tasks:
            outcomes = [
                outcome async for outcome in tasks.stream(asyncio.sleep, [1, 100, 2], timeout_s=5)
            ]
            assert outcomes == [Ok(None), Error("timeout"), Ok(None)]
            assert system.clock() == pytest.approx(5)
            await asyncio.sleep(0.1)
            assert len(system.actors()) == 1

    in_sim(main)


def test_wrong_options_show_at_once(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(BadOption, match="max_children=0"):
            TaskSupervisor(max_children=0)
        async with TaskSupervisor() as tasks:
            with pytest.raises(BadOption, match="max_concurrency=0"):
                await anext(tasks.stream(double, [1], max_concurrency=0))

    in_sim(main)
