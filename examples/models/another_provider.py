"""The same team on another provider, by changing one line.

Both providers are small servers on the loopback interface, which tell what reached them.
The second is named by its address alone; the key of the first never goes there.

python examples/models/another_provider.py

    The Rhine bends, because it is in no hurry.
      its provider got 2 requests for gpt-4o-mini, and the key 'sk-first'
    The Rhine bends, because it is in no hurry.
      its provider got 2 requests for qwen3, and no key
"""

import asyncio
import os
from typing import Any

from loopback import Provider, provider

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.orchestration import SequentialOrchestration


def team(model: str) -> SequentialOrchestration:
    """Two agents, both on *model*."""
    writer = Agent("writer", model=model, instructions="Write one sentence on the topic.")
    editor = Agent("editor", model=model, instructions="Give the sentence a reason.")
    return SequentialOrchestration("press", [writer, editor])


def say(body: dict[str, Any]) -> str:
    """Answer in the place of a model: it goes by the instructions."""
    instructions, *_, last = (message["content"] for message in body["messages"])
    if "reason" in instructions:
        return f"{last.rstrip('.')}, because it is in no hurry."
    return f"The {last} bends."


async def ask(model: str) -> None:
    async with ActorSystem():
        print(await team(model).execute("Rhine"))


def tell(server: Provider) -> None:
    (name,), (key,) = {body["model"] for body in server.requests}, server.keys
    said = f"the key {key!r}" if key else "no key"
    print(f"  its provider got {len(server.requests)} requests for {name}, and {said}")


def main() -> None:
    with provider(say) as first, provider(say) as second:
        os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = first.url, "sk-first"
        for server, model in (
            (first, "openai:gpt-4o-mini"),
            (second, f"qwen3@{second.url}"),  # the one line
        ):
            asyncio.run(ask(model))
            tell(server)


if __name__ == "__main__":
    main()
