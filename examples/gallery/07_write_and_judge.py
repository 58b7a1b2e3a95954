"""A poet writes, a critic judges with feedback, at most three times; a text and an image meet.

python examples/gallery/07_write_and_judge.py

    posted: Cars, lighter than rain after 2 rounds
    not posted: Cars, lighter than rain - I do not like it.
    published: [{'text.ready': 'a text about cats', 'image.ready': 'an image of cats'}]
    logged: ['a text about cats', 'an image of cats']
"""

import asyncio
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import (
    ChoreographyOrchestration,
    Emit,
    NotAccepted,
    ReflectionOrchestration,
)
from agenticaiframework.testing import scripted_model

MODEL = "openai:gpt-4o-mini"
poet = Agent("poet", model=MODEL, instructions="Write one line about the topic.")
critic = Agent("critic", model=MODEL, instructions="Is this fit to be posted?")
stern = Agent("stern critic", model=MODEL, instructions="Agree to nothing.")


def post(reviewer: Agent) -> ReflectionOrchestration:
    return ReflectionOrchestration(
        "post", maker=poet, reviewer=reviewer, max_rounds=3, exhausted="fail"
    )


# Beside it: what is made of a topic is published once both parts are there.

published: list[dict[str, Any]] = []
log: list[str] = []


async def write_text(topic: str) -> Emit:
    return Emit("text.ready", f"a text about {topic}")


async def draw_image(topic: str) -> Emit:
    return Emit("image.ready", f"an image of {topic}")


async def publish(parts: dict[str, Any]) -> None:
    published.append(parts)


async def note(part: str) -> None:
    log.append(part)


magazine = ChoreographyOrchestration(
    "magazine",
    event_handlers={
        "topic": [write_text, draw_image],
        "text.ready & image.ready": publish,
        "*.ready": note,
    },
)


LONG, SHORT = "Cars rise over the town, one after another, all day", "Cars, lighter than rain"


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    match request.agent:
        case "poet":
            return SHORT if "Feedback" in request.prompt else LONG
        case "critic" if LONG in request.prompt:
            return {"approved": False, "feedback": "At most 30 letters, please."}
        case "critic":
            return {"approved": True, "feedback": ""}
        case _:
            return {"approved": False, "feedback": "I do not like it."}


async def main() -> NotAccepted | None:
    refused = None
    async with ActorSystem():
        report = await post(critic).run("Flying cars")
        print("posted:", report.result(), "after", len(report.outcomes) // 2, "rounds")
        try:
            await post(stern).execute("Flying cars")
        except NotAccepted as error:
            refused = error
            print("not posted:", error.draft, "-", error.feedback)
        await magazine.emit_event("topic", "cats")
    print("published:", published)
    print("logged:", sorted(log))
    return refused


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted models answer
        asyncio.run(main())
