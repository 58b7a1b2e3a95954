"""OpenAI's agents, with their chat completions model."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from benchmarks.model_calls import (
    answering,
    calling_tools,
    in_flight,
    streaming,
    streams,
    tool_loops,
)
from benchmarks.protocol import Job, Outcome

DISTRIBUTIONS = ("openai-agents",)

set_tracing_disabled(True)


def hosted(server: Any, tools: list[Any] | None = None) -> Any:
    """Return an agent whose model is at *server*."""
    client = AsyncOpenAI(base_url=server.url, api_key="none")
    model = OpenAIChatCompletionsModel(model="m", openai_client=client)
    return Agent(name="bench", instructions="Answer.", model=model, tools=tools or [])


async def _ask(agent: Any) -> Any:
    return (await Runner.run(agent, "hello")).final_output


def requests(job: Job) -> Outcome:
    """Many requests under way."""
    with answering() as server:
        agent = hosted(server)
        return asyncio.run(in_flight(job, server, lambda: _ask(agent)))


def tool_loop(job: Job) -> Outcome:
    """Runs of five tool calls each."""
    calls: list[int] = []

    async def add(n: int) -> int:
        """Add."""
        calls.append(n)
        return n

    with calling_tools() as server:
        agent = hosted(server, [function_tool(add)])
        return asyncio.run(tool_loops(job, server, lambda: _ask(agent), calls))


def stream(job: Job) -> Outcome:
    """Streams of 1,000 deltas, as raw events."""
    with streaming() as server:
        agent = hosted(server)

        async def read() -> int:
            count = 0
            async for event in Runner.run_streamed(agent, "hello").stream_events():
                if event.type == "raw_response_event":
                    count += isinstance(event.data, ResponseTextDeltaEvent)
            return count

        return asyncio.run(streams(job, read))


WORKLOADS = {"model-requests": requests, "model-stream": stream, "model-tool-loop": tool_loop}
