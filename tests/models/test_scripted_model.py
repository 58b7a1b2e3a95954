"""`agenticaiframework.testing.scripted_model`: code that makes its own model agents, offline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, AgentFailed
from agenticaiframework.testing import scripted_model


def in_system(main: Callable[[], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        async with ActorSystem(), asyncio.timeout(60):
            return await main()

    return asyncio.run(inside())


def test_every_model_agent_is_answered_by_the_function() -> None:
    async def main() -> None:
        with scripted_model(lambda agent, payload: f"{agent} got {payload}"):
            assert await Agent("a", model="gpt-4").ask(1) == "a got 1"
            assert await Agent("b", model="local", instructions="x").ask([2]) == "b got [2]"
            assert await Agent("c", handler=lambda payload: payload).ask(3) == 3

    in_system(main)


def test_its_text_is_read_as_a_models_would_be() -> None:
    async def main() -> None:
        with scripted_model(lambda agent, payload: payload):
            agent = Agent("a", model="gpt-4")
            assert await agent.ask('```json\n{"x": 1}\n```') == {"x": 1}
            assert await agent.ask({"y": 2}) == {"y": 2}
            assert await agent.ask("plain") == "plain"

    in_system(main)


def test_an_async_function_may_wait() -> None:
    async def main() -> None:
        ready = asyncio.Event()

        async def answer(agent: str, payload: Any) -> str:
            await ready.wait()
            return "waited"

        with scripted_model(answer):
            asking = asyncio.ensure_future(Agent("a", model="gpt-4").ask("x"))
            await asyncio.sleep(0)
            ready.set()
            assert await asking == "waited"

    in_system(main)


def test_what_the_function_raises_is_a_crash_of_the_agent() -> None:
    async def main() -> None:
        def answer(agent: str, payload: Any) -> str:
            raise ConnectionError("no network")

        with scripted_model(answer), pytest.raises(AgentFailed) as caught:
            await Agent("a", model="gpt-4").ask("x")
        assert isinstance(caught.value.__cause__, ConnectionError)

    in_system(main)


def test_it_ends_with_its_block_and_the_one_around_it_counts_again() -> None:
    async def main() -> None:
        agent = Agent("a", model="scripted", instructions="Answer")
        with scripted_model(lambda *_: "outer"):
            with scripted_model(lambda *_: "inner"):
                assert await agent.ask("x") == "inner"
            assert await agent.ask("x") == "outer"
        assert await agent.ask("x") == "[a] Answer | x"

    in_system(main)


def test_it_can_be_installed_for_the_whole_process() -> None:
    model = scripted_model(lambda agent, payload: "installed").install()
    try:
        assert model.install() is model
        assert in_system(lambda: Agent("a", model="gpt-4").ask("x")) == "installed"
        assert in_system(lambda: Agent("b", model="gpt-4").ask("x")) == "installed"
    finally:
        model.uninstall()
        model.uninstall()
    assert in_system(lambda: Agent("c", model="scripted").ask("x")).startswith("[c]")


def test_something_that_is_no_function_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="scripted_model"):
        scripted_model("an answer")  # type: ignore[arg-type]
