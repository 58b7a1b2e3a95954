"""A definition that promises more at once than its agents handle is told so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import ActorSystem, Agent, UnknownAgent
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.patterns import (
    DebateOrchestration,
    MapReduceOrchestration,
    ParallelOrchestration,
    ScatterGatherOrchestration,
    SequentialOrchestration,
)


async def echo(payload: Any) -> Any:
    return payload


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """What is logged as a warning."""
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING", format="{message}")
    yield said
    logger.remove(sink)


def in_sim(main: Any) -> None:
    async def inside() -> None:
        async with ActorSystem("test"):
            await main()

    run_sim(inside)


def test_each_kind_that_asks_at_once_says_so() -> None:
    agent = Agent("one", handler=echo)
    twice = [{"agent": agent, "name": "x"}, {"agent": agent, "name": "y"}]
    for pattern, times in (
        (MapReduceOrchestration(name="p", mapper=agent), 10),
        (MapReduceOrchestration(name="p", mapper="one", max_concurrency=3), 3),
        (ParallelOrchestration(name="p", branches=twice), 2),
        (
            ParallelOrchestration(name="p", branches=[agent], for_each="x", max_concurrency=4),
            4,
        ),
        (ScatterGatherOrchestration(name="p", agents=twice, deadline_s=1), 2),
        (DebateOrchestration(name="p", agents=twice), 2),
    ):
        (said,) = pattern.check()
        assert f"up to {times} times at once" in said
        assert "handles 1 at a time" in said
        assert f"Agent('one', ..., concurrency={times})" in said


def test_what_can_be_kept_is_not_mentioned() -> None:
    many, one = Agent("many", handler=echo, concurrency=10), Agent("one", handler=echo)
    assert MapReduceOrchestration(name="p", mapper=many).check() == []
    assert MapReduceOrchestration(name="p", mapper=echo).check() == []
    assert MapReduceOrchestration(name="p", mapper=one, max_concurrency=1).check() == []
    assert SequentialOrchestration(name="p", steps=[one, one]).check() == []
    assert ParallelOrchestration(name="p", branches=[one, many]).check() == []
    either = [
        {"agent": one, "name": "x", "condition": "input.x"},
        {"agent": one, "name": "y", "condition": "not input.x"},
    ]
    assert ParallelOrchestration(name="p", branches=either).check() == []
    assert ParallelOrchestration(name="p", branches=[one], for_each="items").check() == []


def test_what_a_nested_pattern_asks_is_counted_as_often_as_it_runs() -> None:
    one = Agent("one", handler=echo)
    inner = SequentialOrchestration(name="inner", steps=[one, one])
    outer = ParallelOrchestration(name="p", branches=[inner], for_each="x", max_concurrency=4)
    (said,) = outer.check()
    assert "up to 4 times at once" in said
    beside = ParallelOrchestration(name="q", branches=[outer, {"agent": one, "name": "y"}])
    (said,) = beside.check()
    assert "up to 5 times at once" in said


def test_what_only_a_nested_pattern_promises_is_said_too() -> None:
    one = Agent("one", handler=echo)
    branches = [{"agent": one, "name": "x"}, {"agent": one, "name": "y"}]
    inner = ParallelOrchestration(name="inner", branches=branches)
    outer = SequentialOrchestration(name="outer", steps=[echo, inner])
    (said,) = SequentialOrchestration(name="p", steps=[outer]).check()
    assert "inner" in said


def test_it_is_logged_once_for_each_definition(warned: list[str]) -> None:
    async def main() -> None:
        agent = Agent("one", handler=echo)
        pattern = MapReduceOrchestration(name="p", mapper=agent)
        for _ in range(3):
            assert await pattern.execute([1, 2]) == [1, 2]
        assert len([text for text in warned if "'one'" in text]) == 1
        await MapReduceOrchestration(name="q", mapper=agent).execute([1])
        assert len([text for text in warned if "'one'" in text]) == 2

    in_sim(main)


def test_a_name_that_nothing_has_is_said_by_the_check() -> None:
    with pytest.raises(UnknownAgent):
        MapReduceOrchestration(name="p", mapper="nobody here").check()
