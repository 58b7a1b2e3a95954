"""An OpenAI agent as a handler, with the real library where it is installed, on a model of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

agents = pytest.importorskip("agents", reason="openai-agents is not installed")
pytest.importorskip("openai")

from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
)
from pydantic import BaseModel

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentDefinitionError,
    AgentFailed,
    Answer,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)

pytestmark = pytest.mark.filterwarnings("default")


class Model(agents.Model):  # type: ignore[name-defined, misc]
    """Answers by a script; a `ResponseFunctionToolCall` calls a tool, an error is raised."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[Any] = []

    def _next(self, given: Any) -> list[Any]:
        self.asked.append(given)
        step = self.script[(len(self.asked) - 1) % len(self.script)]
        if isinstance(step, Exception):
            raise step
        if not isinstance(step, str):
            return [step]
        text = ResponseOutputText(annotations=[], text=step, type="output_text")
        return [
            ResponseOutputMessage(
                id="m", content=[text], role="assistant", status="completed", type="message"
            )
        ]

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> Any:
        usage = agents.Usage(requests=1, input_tokens=9, output_tokens=3, total_tokens=12)
        return agents.ModelResponse(output=self._next(input), usage=usage, response_id=None)

    async def stream_response(
        self, system_instructions: Any, input: Any, *_: Any, **__: Any
    ) -> AsyncIterator[Any]:
        output = self._next(input)
        for item in output:
            if item.type == "message":
                for word in item.content[0].text.split():
                    yield ResponseTextDeltaEvent(
                        content_index=0,
                        delta=f"{word} ",
                        item_id="m",
                        logprobs=[],
                        output_index=0,
                        sequence_number=0,
                        type="response.output_text.delta",
                    )
        yield ResponseCompletedEvent.model_construct(
            type="response.completed", sequence_number=1, response=_Whole(output)
        )


class _Whole:
    id = "r"

    def __init__(self, output: list[Any]) -> None:
        self.output = output
        self.usage = _Used()


class _Used:
    input_tokens, output_tokens, total_tokens = 9, 3, 12
    input_tokens_details = None
    output_tokens_details = None


CALL = ResponseFunctionToolCall(
    arguments='{"a": 1, "b": 2}', call_id="c1", name="add", type="function_call"
)


def in_system(main: Callable[[], Awaitable[Any]]) -> Any:
    agents.set_tracing_disabled(True)

    async def inside() -> Any:
        async with ActorSystem(), asyncio.timeout(60):
            return await main()

    return asyncio.run(inside())


def adder(*script: Any, **more: Any) -> Any:
    @agents.function_tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return agents.Agent(name="adder", model=Model(*script), tools=[add], **more)


def test_its_output_its_tools_and_its_usage_come_out() -> None:
    async def main() -> None:
        agent = Agent("adder", adder(CALL, "it is three"))
        assert await agent.ask("1 + 2?") == "it is three"
        result = await agent.run({"sum": [1, 2]})
        assert result.output == "it is three"
        assert result.usage == Usage(requests=2, tool_calls=1, input_tokens=18, output_tokens=6)
        assert agent.concurrency == 32

    in_system(main)


def test_it_streams() -> None:
    async def main() -> None:
        agent = Agent("adder", adder(CALL, "it is three"))
        parts = [part async for part in agent.stream("1 + 2?")]
        assert ToolCall("add", {"a": 1, "b": 2}, "c1") in parts
        done = next(part for part in parts if isinstance(part, ToolResult))
        assert (done.tool, done.call_id, str(done.result)) == ("add", "c1", "3")
        assert "".join(p.text for p in parts if isinstance(p, TextDelta)) == "it is three "
        assert isinstance(parts[-1], Answer)
        assert parts[-1].output == "it is three"

    in_system(main)


def test_a_typed_output_stays_what_it_is() -> None:
    class Sum(BaseModel):
        total: int

    async def main() -> None:
        agent = Agent("adder", adder('{"total": 3}', output_type=Sum))
        assert await agent.ask("1 + 2?") == Sum(total=3)

    in_system(main)


def test_a_session_is_kept_by_its_name() -> None:
    async def main() -> None:
        foreign = adder("yes")
        agent = Agent("adder", foreign)
        await agent.ask("first", session="ann")
        await agent.ask("second", session="ann")
        await agent.ask("third", session="bob")
        sizes = [len(given) if isinstance(given, list) else 1 for given in foreign.model.asked]
        assert sizes == [1, 3, 1]

    in_system(main)


def test_an_outage_is_an_expected_error() -> None:
    async def main() -> None:
        agent = Agent("down", adder(ConnectionError("down")))
        with pytest.raises(AgentFailed) as caught:
            await agent.ask("x")
        assert caught.value.expected

    in_system(main)


def test_a_tool_of_it_is_refused_with_the_line_that_works() -> None:
    with pytest.raises(AgentDefinitionError, match="the function that it was made of"):
        Agent("a", adder().tools[0])
