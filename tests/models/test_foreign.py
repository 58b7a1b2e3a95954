"""Objects of other libraries as handlers, told by the names of their classes alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

pydantic_ai = pytest.importorskip("pydantic_ai")

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentDefinitionError,
    AgentFailed,
    RequestRejected,
    Usage,
    metered,
)


def in_system(main: Callable[[], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        async with ActorSystem(), asyncio.timeout(60):
            return await main()

    return asyncio.run(inside())


def foreign(module: str, name: str, /, **members: Any) -> Any:
    """A class that says it is *name* of *module*."""
    return type(name, (), {"__module__": module, **members})


def test_a_crew_is_given_its_inputs_and_its_output_is_unwrapped() -> None:
    asked: list[Any] = []

    class Output:
        pydantic = None
        json_dict = None
        raw = "a plan"

        class token_usage:
            successful_requests, prompt_tokens, completion_tokens = 2, 30, 7
            cached_prompt_tokens = 10

    async def kickoff_async(self: Any, inputs: Any) -> Any:
        asked.append(inputs)
        return Output()

    async def main() -> None:
        agent = Agent("crew", foreign("crewai.crew", "Crew", kickoff_async=kickoff_async)())
        assert await agent.ask({"topic": "rivers"}) == "a plan"
        with metered() as meter:
            result = await agent.run("rivers")
        assert meter.spent.total_tokens == 37
        assert asked == [{"topic": "rivers"}, {"input": "rivers"}]
        assert result.usage == Usage(
            requests=2, input_tokens=30, output_tokens=7, cache_read_tokens=10
        )

    in_system(main)


def test_the_tool_of_an_mcp_server_takes_its_arguments_as_the_payload() -> None:
    def add(a: int, b: int = 1) -> int:
        return a + b

    async def late(a: int) -> int:
        return -a

    kind = foreign("mcp.server.mcpserver.tools.base", "Tool", name="add", context_kwarg=None)

    async def main() -> None:
        tool = kind()
        tool.fn = add
        agent = Agent("add", tool)
        assert await agent.ask({"a": 1, "b": 2}) == 3
        assert await agent.ask({"a": "4"}) == 5
        assert await agent.ask(7) == 8
        with pytest.raises(AgentFailed, match="do not fit") as caught:
            await agent.ask({"a": "many"})
        assert isinstance(caught.value.__cause__, RequestRejected)
        assert agent.is_alive
        tool = kind()
        tool.fn = late
        assert await Agent("late", tool).ask({"a": 1}) == -1

    in_system(main)


def test_a_tool_of_pydantic_ai_is_a_handler_too() -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    def seen(ctx: pydantic_ai.RunContext[None], a: int) -> int:
        """Look."""
        return a

    async def main() -> None:
        assert await Agent("add", pydantic_ai.Tool(add)).ask({"a": 1, "b": 2}) == 3

    in_system(main)
    with pytest.raises(AgentDefinitionError, match=r"tools=\[tool\]"):
        Agent("seen", pydantic_ai.Tool(seen, takes_ctx=True))


class Sync:
    def __call__(self, payload: Any) -> Any:
        return payload


class Async:
    async def __call__(self, payload: Any) -> Any:
        return payload


def test_callable_objects_and_partials_are_handlers() -> None:
    async def both(prefix: str, payload: Any) -> Any:
        return f"{prefix} {payload}"

    async def main() -> None:
        for handler, said in ((Sync(), "x"), (Async(), "x"), (partial(both, "say"), "say x")):
            agent = Agent("a", handler)
            assert await agent.ask("x") == said
        assert Agent("b", Async()).dispatcher == "event_loop"
        assert Agent("b", partial(both, "say")).dispatcher == "event_loop"
        assert Agent("b", Sync()).dispatcher == "thread"

    in_system(main)


class Runs:
    async def arun(self, payload: Any) -> Any:
        return payload


class Named:
    def run(self, *, question: str) -> str:
        return question


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (Sync, r"handler=Sync\(\)"),
        (Runs(), r"handler=runs\.arun"),
        (Named(), r"lambda payload: named\.run\(\*\*payload\)"),
        ({"a": 1}, "function\\(payload\\) returns the answer"),
        (foreign("langgraph.graph.state", "StateGraph")(), r"stategraph\.compile\(\)"),
        (foreign("mcp.types", "Tool", name="search")(), r"tools=\[tool\]"),
        (foreign("mcp_types", "Tool", name="search")(), r"tools=\['search'\]"),
        (foreign("mcp.client.session", "ClientSession")(), r"McpServer\(\.\.\.\)"),
        (foreign("fastmcp.server.server", "FastMCP")(), r"tools=\[fastmcp\]"),
        (foreign("agents.tool", "FunctionTool", name="t")(), "that it was made of"),
        (foreign("pydantic_ai.models", "Model")(), "model=model"),
        (foreign("langchain_core.runnables.base", "Runnable"), r"Runnable\(\.\.\.\)"),
    ],
)
def test_what_cannot_be_one_is_refused_with_the_line_that_works(handler: Any, said: str) -> None:
    with pytest.raises(AgentDefinitionError, match=said):
        Agent("a", handler)


def test_nothing_is_imported_to_tell_them() -> None:
    code = (
        "import sys\n"
        "from agenticaiframework import Agent\n"
        "class Sync:\n    def __call__(self, payload): return payload\n"
        "Agent('a', Sync())\n"
        "print([name for name in ('pydantic_ai', 'langchain_core', 'agents', 'mcp', 'crewai')"
        " if name in sys.modules])\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
