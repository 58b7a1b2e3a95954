"""Circles that go by way of asyncio's tasks: found while they stand, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed, WrongUse
from agenticaiframework.actors.simulation import SimulationStalled

from .test_circles import circle_in

Run = Callable[..., Any]


async def in_gather(work: Awaitable[Any]) -> Any:
    return (await asyncio.gather(work, asyncio.sleep(0)))[0]


async def in_task(work: Any) -> Any:
    return await asyncio.create_task(work)


async def in_group(work: Any) -> Any:
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return task.result()


async def in_wait(work: Any) -> Any:
    task = asyncio.create_task(work)
    await asyncio.wait({task})
    return task.result()


async def in_shield(work: Any) -> Any:
    return await asyncio.shield(work)


async def in_wait_for(work: Any) -> Any:
    return await asyncio.wait_for(work, 3600)


WAYS = [in_gather, in_group, in_shield, in_task, in_wait, in_wait_for]


def pair(how: Callable[[Any], Awaitable[Any]]) -> tuple[Agent, Agent]:
    async def ask_other(payload: str) -> Any:
        return await how(second.ask(payload))

    async def ask_first(payload: str) -> Any:
        return await how(first.ask(payload))

    first, second = Agent("first", handler=ask_other), Agent("second", handler=ask_first)
    return first, second


@pytest.mark.parametrize("how", WAYS)
def test_a_circle_by_way_of_tasks_is_ended_in_some_seconds(in_sim: Run, how: Any) -> None:
    async def main(system: ActorSystem) -> None:
        agents = pair(how)
        began = system.clock()
        with pytest.raises(AgentFailed) as caught:
            await agents[0].ask("hello")
        assert circle_in(caught.value).chain == ("first", "second")
        assert system.clock() - began <= 3

    in_sim(main)


def test_it_is_told_in_one_record(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        records: list[str] = []
        sink = logger.add(lambda message: records.append(str(message)), level="ERROR")
        try:
            with pytest.raises(AgentFailed):
                await pair(in_gather)[0].ask("hello")
        finally:
            logger.remove(sink)
        said = [record for record in records if "have waited for one another" in record]
        assert len(said) == 1
        assert "first waits for second, which waits for first" in said[0]

    in_sim(main)


def test_in_a_thread_too(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def ask_again(payload: str) -> Any:
            return await in_gather(agent.ask(payload))

        agent = Agent("one", handler=ask_again, dispatcher="thread")
        with pytest.raises(AgentFailed) as caught:
            await agent.ask("hello", timeout=30)
        assert circle_in(caught.value).chain == ("one",)

    in_system(main)


def test_what_a_handler_has_done_in_a_thread_counts(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def ask_again(payload: str) -> Any:
            return await asyncio.to_thread(lambda: asyncio.run(agent.ask(payload)))

        agent = Agent("one", handler=ask_again)
        with pytest.raises(AgentFailed) as caught:
            await agent.ask("hello", timeout=30)
        assert circle_in(caught.value).chain == ("one",)

    in_system(main)


def test_long_work_and_asks_that_nobody_awaits_are_left_alone(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        begun: list[asyncio.Task[Any]] = []

        async def handle(payload: str) -> Any:
            if payload == "first":
                begun.append(asyncio.create_task(other.ask("go")))
                await asyncio.sleep(100)
            return payload

        async def go(payload: str) -> Any:
            return await agent.ask("second")

        async def slowly(payload: str) -> Any:
            await asyncio.sleep(100)
            return payload

        async def gathering(payload: str) -> Any:
            return await asyncio.gather(slow.ask("a"), slow.ask("b"))

        agent, other = Agent("agent", handler=handle), Agent("other", handler=go)
        slow, long = Agent("slow", handler=slowly), Agent("long", handler=gathering)
        longer = asyncio.create_task(long.ask("x"))
        assert await agent.ask("first") == "first"
        assert await begun[0] == "second"
        assert await longer == ["a", "b"]

    in_sim(main)


def test_a_run_that_waits_for_ever_is_stalled_all_the_same(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def never(payload: str) -> None:
            await asyncio.get_running_loop().create_future()

        await Agent("never", handler=never).ask("x")

    with pytest.raises(SimulationStalled):
        in_sim(main)


def test_it_can_be_switched_off() -> None:
    async def main() -> None:
        async with ActorSystem(deadlock_s=None, stop_timeout_s=1) as system:
            assert system.scheduler.on_outside is None

    asyncio.run(main())


@pytest.mark.parametrize("wrong", [0, -1, "1", True])
def test_the_time_is_a_number_of_seconds(wrong: Any) -> None:
    with pytest.raises(WrongUse, match="deadlock_s=1.0"):
        ActorSystem(deadlock_s=wrong)
