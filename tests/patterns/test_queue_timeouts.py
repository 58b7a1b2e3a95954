"""A step's time counts from when its agent takes it up; how long it may wait for that is another limit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from agenticaiframework.actors import ActorSystem, Agent, QueueTimeout
from agenticaiframework.patterns import (
    DefinitionError,
    MapReduceOrchestration,
    OrchestrationPattern,
    ParallelOrchestration,
    PatternFailed,
    ScatterGatherOrchestration,
    SequentialOrchestration,
    TimedOut,
)
from agenticaiframework.patterns.teams import AgentRole, AgentTeam, TeamConfig

from .conftest import Cast, Main

Sim = Callable[[Main], Any]


async def take(payload: float) -> float:
    await asyncio.sleep(payload)
    return payload


def all_of(agent: Any, count: int, **policy: Any) -> ParallelOrchestration:
    branches = [{"agent": agent, "name": f"b{n}", **policy} for n in range(count)]
    return ParallelOrchestration(name="all", branches=branches)


def test_the_timeout_of_a_branch_counts_from_when_its_agent_takes_it_up(sim: Sim) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("slow", handler=take)
        result = await all_of(agent, 5, timeout=1.5).execute(1.0)
        assert list(result.values()) == [1.0] * 5

    sim(main)


def test_it_still_ends_what_takes_too_long(sim: Sim) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("slow", handler=take)
        with pytest.raises(PatternFailed) as caught:
            await all_of(agent, 3, timeout=0.5).execute(1.0)
        outcomes = caught.value.outcomes
        assert [type(outcome) for outcome in outcomes.values()] == [TimedOut] * 3
        assert all(outcome.timeout_s == 0.5 for outcome in outcomes.values())  # type: ignore[union-attr]

    sim(main)


def test_a_wait_that_is_too_long_says_in_whose_queue(sim: Sim) -> None:
    async def main(system: ActorSystem) -> None:
        handled: list[float] = []

        async def note(payload: float) -> float:
            handled.append(payload)
            return await take(payload)

        agent = Agent("slow", handler=note)
        with pytest.raises(PatternFailed) as caught:
            await all_of(agent, 4, timeout=5, queue_timeout_seconds=1.5).execute(1.0)
        outcomes = [o for o in caught.value.outcomes.values() if isinstance(o, TimedOut)]
        assert len(outcomes) == 2
        for outcome in outcomes:
            assert isinstance(outcome.cause, QueueTimeout)
            assert "in the queue of agent 'slow'" in str(outcome.cause)
        await asyncio.sleep(10)
        assert len(handled) == 2  # what waited too long is never handled

    sim(main)


def test_a_wait_has_no_limit_but_that_of_the_whole(sim: Sim) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("slow", handler=take)
        result = await all_of(agent, 50, timeout=1.5).execute(1.0)
        assert len(result) == 50
        with pytest.raises(PatternFailed, match="took longer"):
            await all_of(agent, 50, timeout=1.5).execute(1.0, timeout=10.0)

    sim(main)


def test_with_more_at_once_nothing_waits(sim: Sim) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("slow", handler=take, concurrency=4)
        pattern = all_of(agent, 4, timeout=1.5, queue_timeout_seconds=0.1)
        assert list((await pattern.execute(1.0)).values()) == [1.0] * 4

    sim(main)


@pytest.mark.parametrize("dispatcher", ["thread", "pinned"])
def test_in_a_thread_it_counts_from_when_the_thread_takes_it_up(dispatcher: str) -> None:
    async def main() -> None:
        gates = [threading.Event() for _ in range(3)]

        def work(payload: int) -> Any:
            gates[payload].wait(120)
            return payload

        agent = Agent("worker", handler=work, dispatcher=dispatcher)
        requests = [agent.request_step(n, 60.0, None) for n in range(3)]
        await asyncio.sleep(0)
        taken: list[list[bool]] = []
        for n, gate in enumerate(gates):
            async with asyncio.timeout(120):
                while requests[n].taken_at is None:
                    await asyncio.sleep(0.001)
            taken.append([request.taken_at is not None for request in requests])
            gate.set()
            assert await requests[n] == n
        assert taken[0][2] is False

    async def inside() -> None:
        async with ActorSystem("test"):
            await main()

    asyncio.run(inside())


def test_a_queue_timeout_is_one_that_retries_and_fallbacks_see(sim: Sim) -> None:
    async def main(system: ActorSystem) -> None:
        agent, other = Agent("slow", handler=take), Agent("other", handler=take)
        busy = asyncio.ensure_future(agent.ask(10.0))
        await asyncio.sleep(0.01)
        step = {"agent": agent, "queue_timeout_seconds": 1, "on_error": {"fallback": other}}
        assert await SequentialOrchestration(name="s", steps=[step]).execute(0.5) == 0.5
        step = {"agent": agent, "queue_timeout_seconds": 1, "retry": 20}
        assert await SequentialOrchestration(name="s", steps=[step]).execute(0.5) == 0.5
        await busy

    sim(main)


def test_what_is_cancelled_in_the_queue_is_never_handled(sim: Sim, cast: Cast) -> None:
    async def main(system: ActorSystem) -> None:
        agent = cast.agent("slow", take)
        running = asyncio.ensure_future(all_of(agent, 3, timeout=5).execute(1.0))
        await asyncio.sleep(0.5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(5)
        assert len(cast.asked) == 1

    sim(main)


def test_it_is_a_field_of_every_step_and_of_teams(sim: Sim) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("slow", handler=take)
        limited = {"agent": agent, "queue_timeout_s": 30}
        patterns: list[Any] = [
            SequentialOrchestration(name="s", steps=[limited]),
            ScatterGatherOrchestration(name="g", agents=[limited], deadline_s=60),
            MapReduceOrchestration(name="m", mapper=limited),
        ]
        for pattern in patterns:
            data = pattern.to_dict()
            assert "queue_timeout_seconds" in str(data)
            again = cast("type[OrchestrationPattern]", pattern.__class__)
            assert again.from_dict(data).to_dict() == data
        team = AgentTeam(name="t", config=TeamConfig(queue_timeout_seconds=1))
        team.add_role(AgentRole(name="worker"))
        team.assign_agent(agent, role="worker")
        busy = asyncio.ensure_future(agent.ask(10.0))
        await asyncio.sleep(0.01)
        with pytest.raises(Exception, match="queue of agent 'slow'"):
            await team.execute_task(1.0)
        assert await busy == 10.0

    sim(main)


@pytest.mark.parametrize("wrong", [0, -1, "soon", float("inf")])
def test_a_queue_timeout_is_a_number_of_seconds(wrong: Any) -> None:
    with pytest.raises(DefinitionError, match="queue_timeout_seconds"):
        SequentialOrchestration(name="s", steps=[{"agent": "a", "queue_timeout_seconds": wrong}])
