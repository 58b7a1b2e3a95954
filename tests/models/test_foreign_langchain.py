"""LangChain's runnables and LangGraph's apps as handlers, with the real libraries where they are installed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypedDict

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langgraph")

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

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


class Model(BaseChatModel):
    """Answers by a script: the n-th message for a conversation with n answers in it."""

    script: list[Any]

    @property
    def _llm_type(self) -> str:
        return "script"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        said = [message for message in messages if message.type == "ai"]
        step = self.script[len(said) % len(self.script)]
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step = step(messages)
        return step if isinstance(step, AIMessage) else AIMessage(step, usage_metadata=USED)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _stream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> Iterator[ChatGenerationChunk]:
        message = self._next(messages)
        for number, call in enumerate(message.tool_calls):
            chunk = {
                "name": call["name"],
                "args": json.dumps(call["args"]),
                "id": call["id"],
                "index": number,
            }
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[chunk]))
        for word in str(message.content).split():
            yield ChatGenerationChunk(message=AIMessageChunk(f"{word} "))
        last = AIMessageChunk("", usage_metadata=message.usage_metadata)
        yield ChatGenerationChunk(message=last)


USED: Any = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


CALL = AIMessage(
    "", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"}], usage_metadata=USED
)


def react(*script: Any, **compiled: Any) -> Any:
    """A graph that asks the model, runs the tools that it calls, and asks again."""
    model = Model(script=list(script))

    def ask(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    def onward(state: MessagesState) -> str:
        return "tools" if state["messages"][-1].tool_calls else END  # type: ignore[union-attr]

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("tools", ToolNode([add]))
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", onward, ["tools", END])
    graph.add_edge("tools", "ask")
    return graph.compile(**compiled)


def in_system(main: Callable[[], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        async with ActorSystem(), asyncio.timeout(60):
            return await main()

    return asyncio.run(inside())


def test_a_chain_answers_with_its_output_and_usage() -> None:
    async def main() -> None:
        prompt = ChatPromptTemplate.from_messages([("user", "{topic}")])
        chain = prompt | Model(script=["rivers bend"]) | StrOutputParser()
        agent = Agent("writer", chain)
        assert await agent.ask({"topic": "rivers"}) == "rivers bend"
        result = await agent.run({"topic": "rivers"})
        assert result.usage == Usage(requests=1, input_tokens=9, output_tokens=3)
        parts = [part async for part in agent.stream({"topic": "rivers"})]
        assert parts[:-1] == [TextDelta("rivers "), TextDelta("bend ")]
        assert isinstance(parts[-1], Answer)
        assert parts[-1].output == "rivers bend "
        assert parts[-1].usage == result.usage

    in_system(main)


def test_a_model_gets_text_and_a_message_never_comes_out() -> None:
    async def main() -> None:
        def echo(messages: list[BaseMessage]) -> AIMessage:
            return AIMessage([{"type": "text", "text": f"you said {messages[-1].content}"}])

        agent = Agent("echo", Model(script=[echo]))
        assert await agent.ask("tea") == "you said tea"
        assert await agent.ask({"drink": "tea"}) == 'you said {"drink": "tea"}'
        assert await agent.ask([("user", "a list")]) == "you said a list"

    in_system(main)


def test_lambdas_tools_and_parsers_are_handlers() -> None:
    async def main() -> None:
        assert await Agent("double", RunnableLambda(lambda n: 2 * n)).ask(4) == 8
        assert await Agent("add", add).ask({"a": 1, "b": 2}) == 3
        parsed = Model(script=['{"a": [1, 2]}']) | JsonOutputParser()
        agent = Agent("json", parsed)
        assert await agent.ask("x") == {"a": [1, 2]}
        assert [p async for p in agent.stream("x")][-1].output == {"a": [1, 2]}

    in_system(main)


def test_a_graph_takes_text_runs_its_tools_and_streams_them() -> None:
    async def main() -> None:
        agent = Agent("adder", react(CALL, "it is three"))
        assert await agent.ask("1 + 2?") == "it is three"
        assert await agent.ask({"sum": [1, 2]}) == "it is three"
        state = {"messages": [{"role": "user", "content": "1 + 2?"}]}
        result = await agent.run(state)
        assert result.output == "it is three"
        assert result.usage == Usage(requests=2, tool_calls=1, input_tokens=18, output_tokens=6)
        parts = [part async for part in agent.stream("1 + 2?")]
        call = next(part for part in parts if isinstance(part, ToolCall))
        done = next(part for part in parts if isinstance(part, ToolResult))
        assert (call.tool, call.arguments) == ("add", {"a": 1, "b": 2})
        assert (done.tool, done.result, done.call_id) == ("add", "3", call.call_id)
        assert parts[-1].output.split() == ["it", "is", "three"]

    in_system(main)


def test_a_graph_of_another_state_keeps_it_as_data() -> None:
    class State(TypedDict):
        n: int
        messages: list[Any]

    graph = StateGraph(State)
    graph.add_node("twice", lambda state: {"n": 2 * state["n"], "messages": [AIMessage("done")]})
    graph.add_edge(START, "twice")

    async def main() -> None:
        answer = await Agent("twice", graph.compile()).ask({"n": 4})
        assert answer == {"n": 8, "messages": [{"role": "ai", "content": "done"}]}

    in_system(main)


def test_the_session_is_the_thread_of_a_graph_with_a_checkpointer() -> None:
    def count(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage(f"{sum(message.type == 'human' for message in messages)} so far")

    async def main() -> None:
        agent = Agent("counter", react(count, checkpointer=InMemorySaver()))
        assert await agent.ask("a", session="ann") == "1 so far"
        assert await agent.ask("b", session="ann") == "2 so far"
        assert await agent.ask("c", session="bob") == "1 so far"
        assert await agent.ask("d") == "1 so far"

    in_system(main)


def test_a_graph_that_stops_to_ask_is_an_expected_error() -> None:
    def ask(state: MessagesState) -> Any:
        return {"messages": [("ai", interrupt({"may I?": True}))]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")

    async def main() -> None:
        agent = Agent("asker", graph.compile(checkpointer=InMemorySaver()))
        with pytest.raises(AgentFailed, match="may I") as caught:
            await agent.ask("hello")
        assert caught.value.expected
        assert agent.is_alive

    in_system(main)


def test_a_failing_model_is_an_expected_error_and_is_counted() -> None:
    async def main() -> None:
        agent = Agent("down", Model(script=[ConnectionError("down")]))
        with pytest.raises(AgentFailed) as caught:
            await agent.ask("x")
        assert caught.value.expected
        assert agent.concurrency == 32

    in_system(main)


def test_what_is_no_handler_is_refused_with_the_line_that_works() -> None:
    graph = StateGraph(MessagesState)
    with pytest.raises(
        AgentDefinitionError, match=r"not compiled: handler=stategraph\.compile\(\)"
    ):
        Agent("a", graph)
    with pytest.raises(AgentDefinitionError, match=r"RunnableLambda\(\.\.\.\)"):
        Agent("a", RunnableLambda)
