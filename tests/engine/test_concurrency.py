"""What workflows promise to run at once, how long steps wait for their agents, and innocent runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import Agent, Mailbox, QueueTimeout
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowDefinition,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.runner.items import MOST_AT_ONCE
from agenticaiframework.testing import scripted_model

from .conftest import Cast, Main, run_in_virtual_time

Sim = Callable[[Main], Any]


async def take(payload: Any) -> Any:
    await asyncio.sleep(1.0)
    return payload


async def answer(payload: Any) -> Any:
    return payload


async def deaf(payload: Any) -> Any:
    while payload == "deaf":
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    await asyncio.sleep(0.01)
    return payload


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """What is logged as a warning."""
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING", format="{message}")
    yield said
    logger.remove(sink)


def each(**step: Any) -> dict[str, Any]:
    return {
        "name": "w",
        "steps": [{"id": "s", "agent": "a", "for_each": "$input", "input": "$item", **step}],
        "output": "$s",
    }


def made(agent: Any, config: EngineConfig | None = None, **options: Any) -> OrchestrationEngine:
    engine = OrchestrationEngine(config)
    engine.register_agent("a", agent, **options)
    return engine


# -- many items ----------------------------------------------------------------------------------


def test_a_list_longer_than_a_mailbox_does_not_overflow_it(sim: Sim) -> None:
    async def main() -> None:
        engine = made(Agent("a", handler=answer, mailbox=Mailbox(MOST_AT_ONCE, overflow="fail")))
        items = list(range(3 * MOST_AT_ONCE))
        assert await engine.execute(each(), items) == items

    sim(main)


# -- time ----------------------------------------------------------------------------------------


def test_the_timeout_of_a_step_counts_from_when_its_agent_takes_it_up(sim: Sim) -> None:
    async def main() -> None:
        engine = made(Agent("a", handler=take))
        result = await engine.execute(each(timeout_seconds=1.5), list(range(20)))
        assert result == list(range(20))

    sim(main)


def test_the_default_time_limit_counts_from_then_too(sim: Sim) -> None:
    async def main() -> None:
        for default_s in (1.5, 12.0):
            engine = made(Agent("a", handler=take), EngineConfig(default_timeout_seconds=default_s))
            assert await engine.execute(each(), list(range(30))) == list(range(30))

    sim(main)


def test_the_default_time_limit_still_ends_what_hangs(sim: Sim, cast: Cast) -> None:
    async def main() -> None:
        engine = made(cast.slow("a", 3600), EngineConfig(default_timeout_seconds=12.0))
        with pytest.raises(WorkflowFailed, match="12 s"):
            await engine.execute(each(), [1, 2])

    sim(main)


def test_a_step_that_waits_too_long_says_in_whose_queue(sim: Sim, cast: Cast) -> None:
    async def main() -> None:
        engine = made(cast.agent("a", take))
        workflow = each(queue_timeout_seconds=2.5, timeout_seconds=5)
        with pytest.raises(WorkflowFailed, match="queue of agent 'a'") as caught:
            await engine.execute(workflow, list(range(6)))
        assert isinstance(caught.value.__cause__, QueueTimeout)
        await asyncio.sleep(10)
        assert len(cast.asked) == 3

    sim(main)


def test_a_wait_for_a_place_by_the_engines_limit_counts(sim: Sim, cast: Cast) -> None:
    async def main() -> None:
        engine = made(cast.agent("a", take, concurrency=9), max_concurrent=1)
        workflow = each(queue_timeout_seconds=1.5, timeout_seconds=5, on_error={"default": "late"})
        result = await engine.execute(workflow, list(range(4)))
        assert result == [0, 1, "late", "late"]
        workflow = each(queue_timeout_seconds=1.5, timeout_seconds=5)
        with pytest.raises(WorkflowFailed, match="waited 1.5 s in the queue of agent 'a'"):
            await engine.execute(workflow, list(range(4)))

    sim(main)


def test_a_retry_waits_anew(sim: Sim, cast: Cast) -> None:
    async def main() -> None:
        engine = made(cast.agent("a", take))
        retry = {"attempts": 10, "initial_delay_s": 0.1}
        workflow = each(queue_timeout_seconds=1.5, retry=retry)
        assert await engine.execute(workflow, list(range(4))) == list(range(4))

    sim(main)


def test_it_is_written_and_read_again() -> None:
    definition = WorkflowDefinition.model_validate(each(queue_timeout_s=3))
    assert definition.to_dict()["steps"][0]["queue_timeout_seconds"] == 3
    assert WorkflowDefinition.model_validate(definition.to_dict()) == definition


@pytest.mark.parametrize(
    "step",
    [
        {"id": "s", "agent": "a", "queue_timeout_seconds": 0},
        {"id": "s", "pattern": "p", "queue_timeout_seconds": 1},
        {"id": "s", "wait_for": "x", "queue_timeout_seconds": 1},
        {"id": "s", "delay": 1, "queue_timeout_seconds": 1},
    ],
)
def test_where_it_makes_no_sense_it_is_refused(step: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="queue_timeout_seconds"):
        OrchestrationEngine().check({"name": "w", "steps": [step]})


# -- promises ------------------------------------------------------------------------------------


def test_for_each_over_an_agent_that_handles_one_is_told_so(sim: Sim, warned: list[str]) -> None:
    async def main() -> None:
        warned.clear()
        engine = made(Agent("a", handler=take))
        workflow = each(max_concurrency=10)
        (said,) = engine.unkept(workflow)
        assert "up to 10 times at once" in said
        assert "handles 1 at a time" in said
        engine.check(workflow)
        before = len(warned)
        assert before >= 1
        for _ in range(3):
            await engine.execute(workflow, [1])
        assert len(warned) == before

    sim(main)


def test_it_is_logged_once_where_nothing_was_checked(sim: Sim, warned: list[str]) -> None:
    async def main() -> None:
        warned.clear()
        engine = made(Agent("a", handler=take))
        definition = WorkflowDefinition.model_validate(each(max_concurrency=10))
        for _ in range(3):
            await engine.execute(definition, [1])
        assert len([text for text in warned if "10 times" in text]) == 1

    sim(main)


def test_a_limit_above_what_the_agent_handles_is_told_when_it_is_given(warned: list[str]) -> None:
    agent = Agent("x", handler=take)
    engine = made(agent, max_concurrent=5)
    assert len(warned) == 1
    assert "max_concurrent=5" in warned[0]
    (said,) = engine.unkept({"name": "w", "steps": [{"id": "s", "agent": "a"}]})
    assert "max_concurrent=5" in said
    made(agent, max_concurrent=1)
    made(Agent("y", handler=take, concurrency=5), max_concurrent=5)
    made(Agent("z", model="m"), max_concurrent=20)
    assert len(warned) == 1


def test_steps_beside_each_other_over_one_agent_are_told_so() -> None:
    engine = made(Agent("a", handler=take))
    beside: list[dict[str, Any]] = [{"id": name, "agent": "a", "depends_on": []} for name in "xyz"]
    (said,) = engine.unkept({"name": "w", "steps": beside})
    assert "up to 3 times at once" in said
    in_a_row = [{"id": name, "agent": "a"} for name in "xyz"]
    assert engine.unkept({"name": "w", "steps": in_a_row}) == []


def test_a_limit_of_the_engine_is_a_promise_kept() -> None:
    engine = made(Agent("a", handler=take), max_concurrent=1)
    assert engine.unkept(each(max_concurrency=10)) == []


# -- innocent runs -------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4, None])
def test_eight_hundred_innocent_runs_beside_deaf_ones(concurrency: int | None) -> None:
    """A thousand runs at once, two hundred of them deaf: none of the others fails."""

    async def main() -> None:
        engine = made(
            Agent("model", model="m", concurrency=concurrency),
            EngineConfig(max_concurrent_workflows=1000, default_timeout_seconds=300),
        )
        step = {"id": "s", "agent": "a", "input": "$input", "timeout_seconds": 2}
        workflow = {"name": "w", "steps": [step], "output": "$s"}

        async def provider(name: str, payload: Any) -> Any:
            return await deaf(payload)

        with scripted_model(provider):
            payloads = ["deaf" if n % 5 == 0 else "well" for n in range(1000)]
            runs = [engine.execute(workflow, payload) for payload in payloads]
            answers = await asyncio.gather(*runs, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, WorkflowFailed)]
        assert (answers.count("well"), len(failed)) == (800, 200)
        await asyncio.sleep(20)

    run_in_virtual_time(main)
