"""pydantic-ai alone, as one uses it by hand: one agent, one client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

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

os.environ.setdefault("PYDANTIC_AI_NO_BANNER", "1")

from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

DISTRIBUTIONS = ("pydantic-ai-slim",)


@asynccontextmanager
async def hosted(server: Any, **how: Any) -> AsyncGenerator[Agent, None]:
    """Give an agent whose model is at *server*."""
    provider = OpenAICompatibleProvider("bench", base_url=server.url)
    agent: Agent = Agent(OpenAIChatModel("m", provider=provider), instructions="Answer.", **how)
    async with agent:
        yield agent


def requests(job: Job) -> Outcome:
    """Many requests under way."""

    async def main() -> Outcome:
        async with hosted(server) as agent:

            async def ask() -> str:
                return (await agent.run("hello")).output

            return await in_flight(job, server, ask)

    with answering() as server:
        return asyncio.run(main())


def tool_loop(job: Job) -> Outcome:
    """Runs of five tool calls each."""
    calls: list[int] = []

    async def add(n: int) -> int:
        """Add."""
        calls.append(n)
        return n

    async def main() -> Outcome:
        async with hosted(server, tools=[add]) as agent:

            async def run() -> str:
                return (await agent.run("hello")).output

            return await tool_loops(job, server, run, calls)

    with calling_tools() as server:
        return asyncio.run(main())


def stream(job: Job) -> Outcome:
    """Streams of 1,000 deltas, as events."""

    async def main() -> Outcome:
        async with hosted(server) as agent:

            async def read() -> int:
                count = 0
                async with agent.run_stream_events("hello") as events:
                    async for event in events:
                        if isinstance(event, PartDeltaEvent):
                            count += 1
                        elif isinstance(event, PartStartEvent):
                            count += isinstance(event.part, TextPart) and bool(event.part.content)
                return count

            return await streams(job, read)

    with streaming() as server:
        return asyncio.run(main())


def function_model() -> FunctionModel:
    """Return a model that answers at once."""
    answer = ModelResponse(parts=[TextPart(ANSWER)])

    def said(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return answer

    return FunctionModel(said)


def own_part(job: Job) -> Outcome:
    """One request after the other, to a model that answers at once."""

    async def main() -> Outcome:
        agent: Agent = Agent(function_model(), instructions="Answer.")

        async def ask() -> str:
            return (await agent.run("hello")).output

        return await one_by_one(job, ask)

    return asyncio.run(main())


def victim(job: Job) -> Outcome:
    """Get all runs into their third tool, say so, and wait there for ever."""

    async def main() -> None:
        async with hosted(Elsewhere(), tools=[Halfway(job).add]) as agent:
            await asyncio.gather(*(agent.run("hello") for _ in range(job.operations)))

    asyncio.run(main())
    raise AssertionError("it is killed before")


def kill_resume(job: Job) -> Outcome:
    """Nothing is left of the runs: they begin again."""

    async def resume(server: Any) -> list[str]:
        async def add(n: int) -> int:
            """Add."""
            return n

        async with hosted(server, tools=[add]) as agent:
            runs = await asyncio.gather(*(agent.run("hello") for _ in range(job.operations)))
            return [run.output for run in runs]

    return kill_and_resume(__name__, job, resume)


WORKLOADS = {
    "model-kill-resume": kill_resume,
    "model-own-part": own_part,
    "model-requests": requests,
    "model-stream": stream,
    "model-tool-loop": tool_loop,
    "victim": victim,
}
