"""A researcher that calls tools, looks at what came back, and goes on until it knows (ReAct).

The first search misses, its error goes back to the model, and the model tries another title.
The second question is asked in the same session, so what the tools said is still there.

python examples/models/react_researcher.py

    user: Which is longer, the Rhine or the Danube?
      search(title='Rhine river') -> no page 'Rhine river'; there are Rhine, Danube
      search(title='Rhine') -> Rhine: a river of 1233 km, from the Alps to the North Sea
      search(title='Danube') -> Danube: a river of 2850 km, from the Black Forest to the Black Sea
    researcher: The Danube, with 2850 km.
    user: By how much?
      subtract(a=2850, b=1233) -> 1617
    researcher: By 1617 km.
    5 requests, 3 tool calls
"""

import asyncio
import re

from pydantic_ai import ModelRetry

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, Answer, ToolCall, ToolResult
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.testing import scripted_model

PAGES = {
    "Rhine": "Rhine: a river of 1233 km, from the Alps to the North Sea",
    "Danube": "Danube: a river of 2850 km, from the Black Forest to the Black Sea",
}


def search(title: str) -> str:
    """Read the page with this title."""
    if title not in PAGES:
        raise ModelRetry(f"no page {title!r}; there are {', '.join(PAGES)}")
    return PAGES[title]


def subtract(a: int, b: int) -> int:
    """Subtract b from a."""
    return a - b


researcher = Agent(
    "researcher",
    model="openai:gpt-4o-mini",
    instructions="Look things up before you answer. Answer in one sentence.",
    tools=[search, subtract],
)


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the model, so that this runs offline."""
    if request.payload == "By how much?":
        if request.results:
            return f"By {request.results[0].result} km."
        rhine, danube = re.findall(r"(\d+) km,", str(request.history))
        return request.call("subtract", a=int(danube), b=int(rhine))
    if request.number == 1:
        return request.call("search", title="Rhine river")
    if request.number == 2:
        return [request.call("search", title="Rhine"), request.call("search", title="Danube")]
    return "The Danube, with 2850 km."


async def main() -> None:
    async with ActorSystem():
        for question in ("Which is longer, the Rhine or the Danube?", "By how much?"):
            print("user:", question)
            calls: dict[str, str] = {}
            async for part in researcher.stream(question, session="user-17"):
                match part:
                    case ToolCall(tool, arguments, call_id):
                        given = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
                        calls[call_id] = f"{tool}({given})"
                    case ToolResult(_, call_id, result, error):
                        print(f"  {calls[call_id]} -> {error or result}")
                    case Answer(output):
                        print("researcher:", output)
                    case _:
                        pass
        spent = researcher.usage
        print(f"{spent.requests} requests, {spent.tool_calls} tool calls")


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted model answers
        asyncio.run(main())
