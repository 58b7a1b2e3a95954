"""Back in time: the history of a run, a step run again, and a copy that goes another way (LangGraph).

python examples/gallery/11_back_in_time.py

    the run:
      topic -> socks
      joke -> joke 1 about socks
    run again from the joke:
      topic -> socks
      joke -> joke 1 about socks
      joke -> joke 2 about socks
    a copy with another topic:
      topic -> chickens
      joke -> joke 3 about chickens
    the first one still says: joke 2 about socks
    asked: {'topics': 1, 'joker': 3}
"""

import asyncio
import tempfile
from collections import Counter

from agenticaiframework import Agent
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import EngineConfig, OrchestrationEngine
from agenticaiframework.testing import scripted_model

MODEL = "openai:gpt-4o-mini"
topics = Agent("topics", model=MODEL, instructions="Name a topic for a joke.")
joker = Agent("joker", model=MODEL, instructions="Make a joke about the topic.")

JOKE = {
    "name": "joke",
    "steps": [{"id": "topic", "agent": topics}, {"id": "joke", "agent": joker, "input": "$topic"}],
}

asked: Counter[str] = Counter()


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    asked[request.agent] += 1
    if request.agent == "topics":
        return "socks"
    return f"joke {asked['joker']} about {request.payload}"


async def tell(engine: OrchestrationEngine, name: str, run_id: str) -> None:
    await engine.wait(run_id)
    print(f"{name}:")
    async for event in engine.stream(run_id):
        if event.kind == "step_completed":
            print(f"  {event.step} -> {event.data['output']}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = EngineConfig(state_store=f"sqlite:///{folder}/runs.db", persist_state=True)
        async with OrchestrationEngine(config) as engine:
            run_id = await engine.start_workflow(JOKE)
            await tell(engine, "the run", run_id)

            await engine.retry_from(run_id, "joke")
            await tell(engine, "run again from the joke", run_id)

            copy = await engine.fork(run_id, at="joke", edit={"topic": "chickens"})
            await tell(engine, "a copy with another topic", copy)

            print("the first one still says:", (await engine.wait(run_id))["joke"])
            print("asked:", dict(asked))


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted models answer
        asyncio.run(main())
