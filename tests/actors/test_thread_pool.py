"""Threads that wait for answers of the system do not keep what they wait for from running."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed, PoolExhausted, WrongUse


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run *test* on a loop of its own."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.mark.parametrize("callers", [3, 8, 40])
@on_a_loop
async def test_callers_that_fill_the_pool_are_answered(callers: int) -> None:
    async with ActorSystem(threads=2, stop_timeout_s=2):
        worker = Agent("worker", handler=lambda number: number * 2)

        def ask(number: int) -> int:
            return asyncio.run(worker.ask(number))

        agents = [Agent(f"caller{number}", handler=ask) for number in range(callers)]
        async with asyncio.timeout(120):
            answers = await asyncio.gather(*(agent.ask(1) for agent in agents))
        assert answers == [2] * callers


def chain(length: int) -> list[Agent]:
    """Plain agents each of which blocks until the next has answered."""
    agents: list[Agent] = []

    def link(place: int) -> Agent:
        def handle(number: int) -> int:
            if place == length - 1:
                return number
            return asyncio.run(agents[place + 1].ask(number + 1))

        return Agent(f"link{place}", handler=handle)

    agents += [link(place) for place in range(length)]
    return agents


@on_a_loop
async def test_a_chain_longer_than_the_pool_is_served_and_the_pool_shrinks() -> None:
    async with ActorSystem(threads=2, stop_timeout_s=2) as system:
        async with asyncio.timeout(120):
            assert await chain(20)[0].ask(0) == 19
            pool: Any = system.pools.threads
            while pool.thread_count > 2:
                await asyncio.sleep(0)


@on_a_loop
async def test_where_no_thread_is_left_the_ask_fails_and_names_who_waits() -> None:
    async with ActorSystem(threads=2, max_threads=4, stop_timeout_s=2):
        async with asyncio.timeout(120):
            with pytest.raises(AgentFailed) as caught:
                await chain(10)[0].ask(0)
        error: BaseException | None = caught.value
        while error is not None and not isinstance(error, PoolExhausted):
            error = error.__cause__
        assert isinstance(error, PoolExhausted)
        assert set(error.waiting) == {"link0", "link1", "link2", "link3"}
        assert error.asked == "link4"


@on_a_loop
async def test_a_pool_that_is_held_up_otherwise_is_reported_once() -> None:
    said: list[str] = []
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hear(message: Any) -> None:
        if "have been busy for" in str(message):
            said.append(str(message))
            loop.call_soon_threadsafe(heard.set)

    sink = logger.add(hear, level="WARNING")
    release = threading.Event()
    try:
        async with ActorSystem(threads=1, deadlock_s=0.1, stop_timeout_s=2), asyncio.timeout(120):
            blocking = Agent("blocking", handler=lambda _: release.wait())
            other = Agent("other", handler=lambda number: number)
            first = asyncio.create_task(blocking.ask())
            second = asyncio.create_task(other.ask(1))
            await heard.wait()
            release.set()
            assert await second == 1
            assert await first
    finally:
        release.set()
        logger.remove(sink)
    assert len(said) == 1
    assert "Busy: blocking" in said[0]


def test_there_are_no_fewer_threads_in_all_than_at_once() -> None:
    with pytest.raises(WrongUse, match="max_threads=8"):
        ActorSystem(threads=4, max_threads=2)


@on_a_loop
async def test_a_thread_that_has_given_up_waiting_for_an_answer_is_busy() -> None:
    gave_up, free, answer = threading.Event(), threading.Event(), asyncio.Event()

    async def slow(payload: str) -> str:
        await answer.wait()
        return payload

    async def impatient(payload: str) -> Any:
        asked = Agent("slow", handler=slow, dispatcher="event_loop").request(payload)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asked), 0.001)
        gave_up.set()
        free.wait(120)
        return await asked

    async with ActorSystem(threads=2, stop_timeout_s=2) as system, asyncio.timeout(120):
        asking = asyncio.ensure_future(
            Agent("impatient", handler=impatient, dispatcher="thread").ask("x")
        )
        await asyncio.to_thread(gave_up.wait, 120)
        load = system.pools.loads()["thread"]
        assert (load.busy, load.waiting) == (1, 0)
        free.set()
        answer.set()
        assert await asking == "x"
