"""What requests add to an agent with a model: made once for each, and it keeps neither of them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agenticaiframework.actors import (
    MODEL_TURN,
    ActorSystem,
    Agent,
    HandoffTool,
    ModelSpec,
    ModelTurn,
    TurnShape,
)

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}

SHAPES = {
    "nothing": TurnShape,
    "a type": lambda: TurnShape(output_type=str),
    "a schema": lambda: TurnShape(output_schema=TEXT),
    "handoffs": lambda: TurnShape((HandoffTool("leave", "leave", "Leaves.", str),)),
}


class Desk:
    """Holds the agent that calls it, as an object with tools often does."""

    def __init__(self) -> None:
        self.agent = Agent("desk", model=FunctionModel(self._said), tools=[self.look])

    def look(self) -> str:
        """Look."""
        return self.agent.name

    async def _said(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart("done")])


async def ask(agent: Agent, shape: TurnShape) -> Any:
    return await agent.ask("hello", context={MODEL_TURN: ModelTurn(shape)})


@pytest.mark.parametrize("kind", SHAPES)
def test_a_shape_that_stays_keeps_no_agent_that_was_asked_under_it(kind: str) -> None:
    shape = SHAPES[kind]()

    async def main() -> weakref.ref[Agent]:
        async with ActorSystem():
            agent = Desk().agent
            await ask(agent, shape)
            return weakref.ref(agent)

    agent = asyncio.run(main())
    gc.collect()
    assert agent() is None


@pytest.mark.parametrize("kind", SHAPES)
def test_an_agent_that_stays_keeps_no_shape_that_it_was_asked_under(kind: str) -> None:
    async def main() -> None:
        async with ActorSystem():
            agent = Desk().agent
            gone = []
            for _ in range(3):
                shape = SHAPES[kind]()
                await ask(agent, shape)
                gone.append(weakref.ref(shape))
            await agent.ask("hello")  # an agent that rests may remember its latest request
            del shape
            gc.collect()
            assert [ref() for ref in gone] == [None] * 3

    asyncio.run(main())


def test_what_is_added_is_added_once_for_each_shape() -> None:
    spec = ModelSpec("desk")
    typed, handing_over = SHAPES["a type"](), SHAPES["handoffs"]()
    assert typed.applied_to(spec) is typed.applied_to(spec)
    assert typed.applied_to(spec).output_type is str
    assert not typed.applied_to(spec).handoffs
    assert handing_over.applied_to(spec).handoffs == handing_over.handoffs
    assert TurnShape().applied_to(spec) is spec
    own = ModelSpec("desk", output_type=int)
    assert typed.applied_to(own) is own
