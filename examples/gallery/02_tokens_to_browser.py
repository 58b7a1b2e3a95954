"""Tokens to the browser: server-sent events, from an agent, a pattern and a workflow (FastAPI).

The server is real, on the loopback interface. A client that leaves ends the work: the model says no more.

python examples/gallery/02_tokens_to_browser.py

    agent: | data: They | data: follow | data: the | data: softer | data: ground. | event: end
    pattern: | data: They | data: follow | data: the | data: softer | data: ground. | event: end
    workflow: | data: They | data: follow | data: the | data: softer | data: ground. | event: end
    left after two pieces, and the model said 2
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from agenticaiframework import Agent
from agenticaiframework.actors import TextDelta
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import OrchestrationEngine, SequentialOrchestration
from agenticaiframework.testing import scripted_model

writer = Agent("writer", model="openai:gpt-4o-mini", instructions="Answer in one sentence.")
pattern = SequentialOrchestration("answer", [writer])
flow = {"name": "answer", "steps": [{"id": "answer", "agent": writer}]}
engine = OrchestrationEngine()


async def of_agent(question: str) -> AsyncIterator[str]:
    async for part in writer.stream(question):
        if isinstance(part, TextDelta):
            yield part.text


async def of_pattern(question: str) -> AsyncIterator[str]:
    async for event in pattern.stream(question):
        if event.text:
            yield event.text


async def of_workflow(question: str) -> AsyncIterator[str]:
    async for event in engine.stream(workflow=flow, input_data=question):
        if event.text:
            yield event.text


WAYS = {"agent": of_agent, "pattern": of_pattern, "workflow": of_workflow}
app = FastAPI()


@app.get("/{way}")
async def answer(way: str, question: str) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        async for text in WAYS[way](question):
            yield f"data: {text}\n\n"
        yield "event: end\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


# What follows is the play: the model, the server, and a client.

said: list[str] = []
stopped = asyncio.Event()


async def script(request: ScriptedRequest) -> AsyncIterator[str]:
    """Answer in the place of the model, so that this runs offline."""
    said.clear()
    try:
        for word in ["They", "follow", "the", "softer", "ground."]:
            said.append(word)
            yield word
            await asyncio.sleep(1 if "slowly" in request.payload else 0.02)
    finally:
        stopped.set()


@asynccontextmanager
async def serving() -> AsyncGenerator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await running


async def main() -> None:
    async with engine, serving() as url, httpx.AsyncClient(base_url=url) as browser:
        for way in WAYS:
            question = {"question": "why do rivers bend"}
            async with browser.stream("GET", f"/{way}", params=question) as response:
                lines = [line async for line in response.aiter_lines() if line]
            print(f"{way}:", *lines, sep=" | ")
        stopped.clear()
        question = {"question": "why do rivers bend, slowly"}
        async with browser.stream("GET", "/agent", params=question) as response:
            pieces = response.aiter_lines()
            while await anext(pieces) != "data: follow":
                pass
        await stopped.wait()
        print("left after two pieces, and the model said", len(said))


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted model answers
        asyncio.run(main())
