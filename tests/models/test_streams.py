"""The parts of an answer, read while its agent makes them."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

import pydantic_ai
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentFailed,
    AgentResult,
    Answer,
    RequestRejected,
    TextDelta,
    ToolCall,
    ToolResult,
    as_data,
    send_chunk,
)
from agenticaiframework.orchestration import Chunk, OrchestrationEngine, SequentialOrchestration


def in_system(work: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with ActorSystem():
            return await work()

    return asyncio.run(main())


async def read(agent: Agent, payload: Any = "go") -> list[Any]:
    return [part async for part in agent.stream(payload)]


async def words(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    for word in ("Rivers ", "bend", "."):
        yield word


async def adding(
    messages: list[ModelMessage], info: AgentInfo
) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
    if len(messages) == 1:
        yield {0: DeltaToolCall("add", '{"a": 1, ', tool_call_id="c1")}
        yield {0: DeltaToolCall(json_args='"b": 2}')}
    else:
        yield "It is 3."


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_a_model_agents_text_comes_in_parts_and_then_the_answer() -> None:
    agent = Agent("writer", model=FunctionModel(stream_function=words))
    *deltas, answer = in_system(lambda: read(agent))
    assert deltas == [TextDelta("Rivers "), TextDelta("bend"), TextDelta(".")]
    assert isinstance(answer, Answer)
    assert answer.output == "Rivers bend."
    assert answer.usage.requests == 1


def test_tool_calls_and_their_results_are_parts() -> None:
    agent = Agent("adder", model=FunctionModel(stream_function=adding), tools=[add])
    parts = in_system(lambda: read(agent))
    assert parts[0] == ToolCall("add", {"a": 1, "b": 2}, "c1")
    assert parts[1] == ToolResult("add", "c1", 3)
    assert parts[2] == TextDelta("It is 3.")
    assert parts[3].output == "It is 3."


def test_the_result_stands_in_the_stream_after_its_end() -> None:
    async def work() -> Any:
        stream = Agent("writer", model=FunctionModel(stream_function=words)).stream("go")
        assert stream.result is None
        async for _ in stream:
            pass
        return stream.result

    result = in_system(work)
    assert isinstance(result, AgentResult)
    assert result.output == "Rivers bend."
    assert len(result.new_messages) == 2


def test_ask_returns_the_answer_and_run_the_result() -> None:
    agent = Agent("writer", model=FunctionModel(stream_function=words))

    async def work() -> Any:
        return await agent.run("go")

    # A model that only streams cannot be asked without a stream.
    with pytest.raises(AgentFailed):
        in_system(work)

    plain = Agent("plain", lambda payload: payload * 2)
    assert in_system(lambda: plain.run(4)) == AgentResult(8)


class Slow:
    """A model that gives one word, and then waits for ever; it says when it was cancelled."""

    def __init__(self) -> None:
        self.began = 0
        self.cancelled = asyncio.Event()
        self.model = FunctionModel(stream_function=self._words)

    async def _words(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        self.began += 1
        try:
            yield "Rivers "
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


async def leave_loop(agent: Agent) -> None:
    async for _ in agent.stream("go"):
        break


async def close(agent: Agent) -> None:
    stream = agent.stream("go")
    await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def leave_block(agent: Agent) -> None:
    async with agent.stream("go") as stream:
        await anext(stream)


async def be_cancelled(agent: Agent) -> None:
    first = asyncio.Event()

    async def reading() -> None:
        async for _ in agent.stream("go"):
            first.set()

    task = asyncio.create_task(reading())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("leave", [leave_loop, close, leave_block, be_cancelled])
def test_who_reads_no_further_cancels_the_request(
    leave: Callable[[Agent], Awaitable[None]],
) -> None:
    async def work() -> None:
        slow = Slow()
        agent = Agent("slow", model=slow.model)
        await leave(agent)
        await asyncio.wait_for(slow.cancelled.wait(), 60)
        assert slow.began == 1
        assert agent.is_alive

    in_system(work)


def test_nothing_runs_before_the_first_part_is_asked_for() -> None:
    async def work() -> None:
        slow = Slow()
        stream = Agent("slow", model=slow.model).stream("go")
        await asyncio.sleep(0)
        await stream.aclose()
        assert slow.began == 0

    in_system(work)


def test_a_failure_is_raised_by_the_loop_after_the_parts() -> None:
    async def half(payload: Any) -> AsyncIterator[str]:
        yield "half "
        raise RequestRejected("no more")

    async def work() -> list[Any]:
        agent = Agent("half", half)
        stream = agent.stream("go")
        first = await anext(stream)
        with pytest.raises(AgentFailed, match="no more"):
            await anext(stream)
        return [first]

    assert in_system(work) == [TextDelta("half ")]


async def texts(payload: Any) -> AsyncIterator[Any]:
    yield "a"
    yield TextDelta("b")
    yield ToolCall("look", {}, "1")


async def values(payload: Any) -> AsyncIterator[Any]:
    yield "thinking"
    yield {"done": 1}
    yield {"done": 2}


async def said(payload: Any) -> AsyncIterator[Any]:
    yield "on the way"
    yield Answer(42)
    yield "never"


async def nothing(payload: Any) -> AsyncIterator[Any]:
    for part in ():
        yield part


@pytest.mark.parametrize(
    ("handler", "answer", "number"),
    [(texts, "ab", 3), (values, {"done": 2}, 3), (said, 42, 1), (nothing, None, 0)],
)
def test_an_async_generator_streams_what_it_yields(handler: Any, answer: Any, number: int) -> None:
    agent = Agent("maker", handler)
    assert agent.dispatcher == "event_loop"
    assert in_system(lambda: agent.ask("go")) == answer
    parts = in_system(lambda: read(agent))
    assert len(parts) == number + 1
    assert parts[-1] == Answer(answer)


def test_a_handler_sends_anything_as_a_part_also_from_a_thread() -> None:
    def plain(payload: Any) -> str:
        assert send_chunk({"half": 1})
        return "done"

    async def on_loop(payload: Any) -> str:
        assert send_chunk({"half": 1})
        return "done"

    for handler in (plain, on_loop):
        parts = in_system(lambda handler=handler: read(Agent("worker", handler)))
        assert parts == [{"half": 1}, Answer("done")]


def test_the_parts_of_a_nested_agent_are_not_those_of_its_asker() -> None:
    inner = Agent("inner", model=FunctionModel(stream_function=words))

    async def outer(payload: Any) -> list[Any]:
        send_chunk("mine")
        return [part async for part in inner.stream(payload)]

    parts = in_system(lambda: read(Agent("outer", outer)))
    assert parts[0] == "mine"
    assert len(parts) == 2
    assert len(parts[1].output) == 4


def test_in_a_pattern_the_parts_are_chunks() -> None:
    async def work() -> list[Any]:
        adder = Agent("adder", model=FunctionModel(stream_function=adding), tools=[add])
        line = SequentialOrchestration("line", [adder])
        return [event.data async for event in line.stream("go") if isinstance(event, Chunk)]

    chunks = in_system(work)
    assert chunks == [
        ToolCall("add", {"a": 1, "b": 2}, "c1"),
        ToolResult("add", "c1", 3),
        TextDelta("It is 3."),
    ]


def test_in_an_engine_they_are_chunks_of_the_work() -> None:
    async def work() -> list[Any]:
        adder = Agent("adder", model=FunctionModel(stream_function=adding), tools=[add])
        async with OrchestrationEngine() as engine:
            engine.register_agent("adder", adder)
            flow = {"name": "sum", "steps": [{"id": "add", "agent": "adder"}]}
            events = [event async for event in engine.stream(workflow=flow, input_data="go")]
            return [each.data.data for each in events if isinstance(each.data, Chunk)]

    assert in_system(work)[-1] == TextDelta("It is 3.")


@pytest.mark.parametrize(
    "part",
    [TextDelta("a"), ToolCall("t", {"a": 1}, "1"), ToolResult("t", "1", 3, "no"), Answer({"a": 1})],
)
def test_parts_are_data(part: Any) -> None:
    assert pickle.loads(pickle.dumps(part)) == part
    data = json.loads(json.dumps(as_data(part)))
    assert data["kind"] == part.kind


def test_an_agent_of_pydantic_ai_is_a_handler_that_streams() -> None:
    theirs: Any = pydantic_ai.Agent(FunctionModel(stream_function=adding), tools=[add])
    parts = in_system(lambda: read(Agent("adder", theirs)))
    assert parts[:2] == [ToolCall("add", {"a": 1, "b": 2}, "c1"), ToolResult("add", "c1", 3)]
    assert parts[-1].output == "It is 3."
