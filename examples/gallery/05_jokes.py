"""As many at once as there are (LangGraph's map-reduce): subjects, a joke about each, the best of them.

python examples/gallery/05_jokes.py

    A joke about cats.
    at once: 5
"""

import asyncio
from typing import Annotated

from annotated_types import Len

from agenticaiframework import Agent
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import OrchestrationEngine, WorkflowRun, workflow
from agenticaiframework.testing import scripted_model

MODEL = "openai:gpt-4o-mini"
subjects = Agent(
    "subjects",
    model=MODEL,
    instructions="Name two to five subjects for the topic.",
    output_type=Annotated[list[str], Len(2, 5)],
)
joker = Agent("joker", model=MODEL, instructions="Make a joke about the subject.")
judge = Agent("judge", model=MODEL, instructions="Give the index of the best.", output_type=int)


@workflow(name="jokes")
async def best_joke(run: WorkflowRun, topic: str) -> str:
    names = await run.ask(subjects, topic)
    jokes = await run.gather(*(run.ask(joker, name) for name in names))
    return str(jokes[await run.ask(judge, jokes)])


at_work = [0]


async def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, each after 0.2 s, so that this runs offline."""
    at_work.append(at_work[-1] + 1)
    await asyncio.sleep(0.2)
    at_work.append(at_work[-1] - 1)
    match request.agent:
        case "subjects":
            return ["lions", "dogs", "mice", "cats", "whales"]
        case "joker":
            return f"A joke about {request.payload}."
        case _:
            return 3


async def main() -> None:
    async with OrchestrationEngine() as engine:
        print(await engine.execute(best_joke, "animals"))
        print("at once:", max(at_work))


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted models answer
        asyncio.run(main())
