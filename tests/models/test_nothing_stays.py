"""What is built for a model agent goes with it, also where its tools refer to it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from agenticaiframework import Agent
from agenticaiframework.testing import scripted_model


async def ask_one(session: str | None) -> weakref.ref[Agent]:
    def describe(of: str) -> str:
        """Say what there is."""
        return f"{of}: {agent.name}"

    agent = Agent("self-aware", model="openai:gpt-4o-mini", tools=[describe])
    assert await agent.ask(
        "Describe yourself.", **({} if session is None else {"session": session})
    )
    return weakref.ref(agent)


def answer(request: Any) -> Any:
    return "Done." if request.results else request.call("describe", of="name")


@pytest.mark.parametrize("session", [None, "one"])
def test_a_model_agent_whose_tool_refers_to_it_is_collected(session: str | None) -> None:
    async def main() -> list[weakref.ref[Agent]]:
        with scripted_model(answer):
            return [await ask_one(session) for _ in range(3)]

    left = asyncio.run(main())
    gc.collect()
    assert not [agent for agent in left if agent() is not None]
