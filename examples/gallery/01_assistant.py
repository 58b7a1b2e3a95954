"""An assistant with a tool and a memory of each conversation (LangGraph's ReAct agent).

python examples/gallery/01_assistant.py

    1 > what is the weather in sf
    1 < It's 60 degrees and foggy.
    1 > and what did I ask?
    1 < 2 times, first: what is the weather in sf
    2 > who am I?
    2 < 1 time, first: who am I?
"""

import asyncio

from pydantic_ai.messages import UserPromptPart

from agenticaiframework import Agent
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import AgentSupervisor
from agenticaiframework.testing import scripted_model


def weather(place: str) -> str:
    """Tell the weather of a place."""
    return "It's 60 degrees and foggy." if place == "sf" else "It's 90 degrees and sunny."


assistant = Agent(
    "assistant",
    model="anthropic:claude-sonnet-4-5",
    instructions="Help, and look the weather up.",
    tools=[weather],
)
desk = AgentSupervisor("desk")
desk.add_child("assistant", assistant)


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the model, so that this runs offline."""
    if request.results:
        return request.results[0].result
    if "weather" in request.payload:
        return request.call("weather", place="sf")
    parts = [part for message in request.messages for part in message.parts]
    asked = [part.content for part in parts if isinstance(part, UserPromptPart)]
    times = "1 time" if len(asked) == 1 else f"{len(asked)} times"
    return f"{times}, first: {asked[0]}"


async def main() -> None:
    async with desk:
        for session, question in (
            ("1", "what is the weather in sf"),
            ("1", "and what did I ask?"),
            ("2", "who am I?"),
        ):
            print(f"{session} > {question}")
            print(f"{session} < {await assistant.ask(question, session=session)}")


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted model answers
        asyncio.run(main())
