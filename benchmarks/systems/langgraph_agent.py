"""LangChain's agents on LangGraph, with OpenAI's chat client of LangChain."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from benchmarks.model_calls import (
    ANSWER,
    Elsewhere,
    Halfway,
    answering,
    calling_tools,
    in_flight,
    kill_and_resume,
    one_by_one,
    streaming,
    streams,
    tool_loops,
)
from benchmarks.protocol import Job, Outcome

DISTRIBUTIONS = ("langgraph", "langchain", "langchain-openai")
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def hosted(server: Any, tools: list[Any] | None = None, checkpointer: Any = None) -> Any:
    """Return an agent whose model is at *server*."""
    model = ChatOpenAI(model="m", base_url=server.url, api_key="none", use_responses_api=False)
    return create_agent(
        model, tools=tools or [], system_prompt="Answer.", checkpointer=checkpointer
    )


async def _ask(app: Any) -> Any:
    return (await app.ainvoke(HELLO))["messages"][-1].content


def requests(job: Job) -> Outcome:
    """Many requests under way."""
    with answering() as server:
        app = hosted(server)
        return asyncio.run(in_flight(job, server, lambda: _ask(app)))


def tool_loop(job: Job) -> Outcome:
    """Runs of five tool calls each."""
    calls: list[int] = []

    async def add(n: int) -> int:
        """Add."""
        calls.append(n)
        return n

    with calling_tools() as server:
        app = hosted(server, [add])
        return asyncio.run(tool_loops(job, server, lambda: _ask(app), calls))


def stream(job: Job) -> Outcome:
    """Streams of 1,000 deltas, as messages."""
    with streaming() as server:
        app = hosted(server)

        async def read() -> int:
            count = 0
            async for message, _ in app.astream(HELLO, stream_mode="messages"):
                count += isinstance(message, AIMessageChunk) and bool(message.content)
            return count

        return asyncio.run(streams(job, read))


def own_part(job: Job) -> Outcome:
    """One request after the other, to a model that answers at once."""
    app = create_agent(
        FakeMessagesListChatModel(responses=[AIMessage(ANSWER)]), tools=[], system_prompt="Answer."
    )
    return asyncio.run(one_by_one(job, lambda: _ask(app)))


def _saver(job: Job) -> Any:
    return AsyncSqliteSaver.from_conn_string(str(job.scratch / "checkpoints.sqlite"))


def _thread(number: int) -> Any:
    return {"configurable": {"thread_id": f"run-{number}"}}


def victim(job: Job) -> Outcome:
    """Get all runs into their third tool, say so, and wait there for ever."""

    async def main() -> None:
        async with _saver(job) as saver:
            app = hosted(Elsewhere(), [Halfway(job).add], saver)
            runs = [
                app.ainvoke(HELLO, _thread(number), durability="sync")
                for number in range(job.operations)
            ]
            await asyncio.gather(*runs)

    asyncio.run(main())
    raise AssertionError("it is killed before")


def kill_resume(job: Job) -> Outcome:
    """The graph goes on from its last checkpoint."""

    async def add(n: int) -> int:
        """Add."""
        return n

    async def resume(server: Any) -> list[Any]:
        async with _saver(job) as saver:
            app = hosted(server, [add], saver)
            runs = [
                app.ainvoke(None, _thread(number), durability="sync")
                for number in range(job.operations)
            ]
            return [state["messages"][-1].content for state in await asyncio.gather(*runs)]

    return kill_and_resume(__name__, job, resume)


WORKLOADS = {
    "model-kill-resume": kill_resume,
    "model-own-part": own_part,
    "model-requests": requests,
    "model-stream": stream,
    "model-tool-loop": tool_loop,
    "victim": victim,
}
