"""A stream is read by one task: a second one that asks meanwhile is told so, and neither hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, WrongUse
from agenticaiframework.orchestration import OrchestrationEngine, SequentialOrchestration

FLOW = {"name": "flow", "steps": [{"id": "say", "agent": "poet"}]}


async def words(payload: Any) -> AsyncIterator[str]:
    yield "Rivers "
    await asyncio.sleep(0)
    yield "bend."


def of_an_agent(poet: Agent) -> Any:
    return poet.stream("x")


def of_a_pattern(poet: Agent) -> Any:
    return SequentialOrchestration("poem", [poet]).stream("x")


def of_a_run(poet: Agent) -> Any:
    engine = OrchestrationEngine()
    engine.register_agent("poet", poet)
    return engine.stream(workflow=FLOW, input_data="x")


@pytest.mark.parametrize("make", [of_an_agent, of_a_pattern, of_a_run])
def test_a_second_reader_is_told_and_the_first_reads_on(make: Any) -> None:
    async def main() -> None:
        async with ActorSystem(), asyncio.timeout(120):
            alone = [type(each) async for each in make(Agent("poet", handler=words))]
            stream = make(Agent("poet", handler=words))
            first, second = await asyncio.gather(
                anext(stream), anext(stream), return_exceptions=True
            )
            assert isinstance(second, WrongUse)
            assert "another task" in str(second).lower()
            assert [type(first), *[type(each) async for each in stream]] == alone

    asyncio.run(main())


@pytest.mark.parametrize("make", [of_an_agent, of_a_pattern, of_a_run])
def test_a_reader_whose_wait_was_cancelled_may_ask_again(make: Any) -> None:
    async def main() -> None:
        async with ActorSystem(), asyncio.timeout(120):
            alone = [type(each) async for each in make(Agent("poet", handler=words))]
            stream = make(Agent("poet", handler=words))
            read = [type(await anext(stream))]
            waiting = asyncio.ensure_future(anext(stream))
            waiting.cancel()
            await asyncio.wait({waiting})
            read += [type(each) async for each in stream]
            assert read == alone

    asyncio.run(main())
