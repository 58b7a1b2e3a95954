"""A person looks at each call of a tool: approves it, changes its arguments, or answers with words (LangGraph).

The first process is killed by SIGKILL while it waits; a second one shows what waits, and answers.

python examples/gallery/04_review_tool_calls.py

    ask: the model is asked
    ask: waiting
    ask: ended with -9
    review: waits: weather_search {'city': 'sf'}
    review: the model is asked
    review: waits: weather_search {'city': 'San Francisco, USSR'}
    review: searching for San Francisco, USA
    review: the model is asked
    review: It is sunny.
    review: ended with 0
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from agenticaiframework import Agent
from agenticaiframework.models import ScriptedRequest, tool
from agenticaiframework.orchestration import EngineConfig, OrchestrationEngine
from agenticaiframework.testing import scripted_model

RUN = "weather-1"
FLOW = {"name": "weather", "steps": [{"id": "assistant", "agent": "assistant"}]}


@tool(requires_approval=True)
def weather_search(city: str) -> str:
    """Search for the weather in a city."""
    print(f"searching for {city}")
    return "Sunny!"


assistant = Agent("assistant", model="anthropic:claude-sonnet-4-5", tools=[weather_search])


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the model, so that this runs offline."""
    print("the model is asked")
    if not request.results:
        return request.call("weather_search", city="sf")
    if request.results[-1].error:  # the person has answered with words
        return request.call("weather_search", city="San Francisco, USSR")
    return "It is sunny."


async def ask(engine: OrchestrationEngine) -> None:
    question = "what's the weather in sf?"
    await engine.start_workflow(FLOW, question, workflow_id=RUN, persist_state=True)
    async for event in engine.stream(RUN):
        if event.kind == "question_asked":
            print("waiting", flush=True)


async def review(engine: OrchestrationEngine) -> None:
    await engine.recover()
    async for event in engine.stream(RUN):
        if event.kind == "question_asked":
            call = event.data["data"]
            print("waits:", call["tool"], call["arguments"])
            if call["arguments"]["city"] == "sf":
                await engine.approve(RUN, call["call_id"], False, reason="use city, country")
            else:
                city = {"city": "San Francisco, USA"}
                await engine.approve(RUN, call["call_id"], True, arguments=city)
    print((await engine.wait(RUN)).output)


async def live(part: str, store: str) -> None:
    async with OrchestrationEngine(EngineConfig(state_store=store)) as engine:
        engine.register_agent("assistant", assistant)
        await (ask if part == "ask" else review)(engine)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for part in ("ask", "review"):
            command = [sys.executable, __file__, part, f"sqlite:///{Path(folder)}/runs.db"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout or ():
                    print(f"{part}: {line.rstrip()}")
                    if line == "waiting\n":
                        process.kill()
            print(f"{part}: ended with {process.returncode}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with scripted_model(script):  # without this line, the hosted model answers
            asyncio.run(live(*sys.argv[1:]))
    else:
        main()
