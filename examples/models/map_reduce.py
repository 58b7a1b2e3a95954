"""A hundred pages, each read by a model, twenty at a time, and what they say put together in tens.

All of it has one budget of tokens. Where that does not suffice, nothing more is asked, and the error
says what was spent, by which agent.

python examples/models/map_reduce.py

    with 60,000 tokens:
      295 rivers; 111 requests, 53,970 tokens (52,860 in, 1,110 out), price not known
    with 20,000 tokens:
      stopped by total_tokens_limit; 41 requests, 20,430 tokens (20,020 in, 410 out), price not known
        reader: 39 requests, 19,890 tokens (19,500 in, 390 out), price not known
        adder: 2 requests, 540 tokens (520 in, 20 out), price not known
"""

import asyncio
from collections.abc import Iterator

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, Usage, UsageLimitReached, causes_of
from agenticaiframework.models import Scripted, ScriptedRequest
from agenticaiframework.orchestration import MapReduceOrchestration
from agenticaiframework.testing import scripted_model

MODEL = "openai:gpt-4o-mini"
reader = Agent(
    "reader", model=MODEL, instructions="Count the rivers that the page names.", output_type=int
)
adder = Agent("adder", model=MODEL, instructions="Add up the counts.", output_type=int)


def pages() -> Iterator[str]:
    for number in range(100):
        yield f"Page {number}." + " A river." * (number % 7)


def book(tokens: int) -> MapReduceOrchestration:
    return MapReduceOrchestration(
        "book",
        mapper=reader,
        reducer=adder,
        max_concurrency=20,
        batch_size=10,
        usage_limits={"total_tokens_limit": tokens},
    )


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    if request.agent == "reader":
        return Scripted(request.payload.count("river"), Usage(input_tokens=500, output_tokens=10))
    return Scripted(sum(request.payload), Usage(input_tokens=260, output_tokens=10))


async def main() -> None:
    async with ActorSystem():
        for tokens in (60_000, 20_000):
            print(f"with {tokens:,} tokens:")
            report = await book(tokens).run(pages())
            if report.ok:
                print(f"  {report.result()} rivers; {report.usage}")
            for error in causes_of(report.outcome.cause):
                if isinstance(error, UsageLimitReached):
                    print(f"  stopped by {error.limit}; {error.spent}")
                    for agent, spent in error.spent_by.items():
                        print(f"    {agent}: {spent}")


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted model answers
        asyncio.run(main())
