"""Models for the tests of sessions, and who said what in messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pydantic_ai import messages as m
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agenticaiframework.actors import ActorSystem, Agent


def texts(messages: Sequence[m.ModelMessage]) -> list[str]:
    """Return who said what."""
    found: list[str] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, m.UserPromptPart):
                found.append(f"u:{part.content}")
            elif isinstance(part, m.TextPart):
                found.append(f"a:{part.content}")
            elif isinstance(part, m.ToolCallPart):
                found.append(f"call:{part.tool_name}")
            elif isinstance(part, m.ToolReturnPart):
                found.append(f"return:{part.tool_name}")
            elif isinstance(part, m.SystemPromptPart):
                found.append(f"s:{part.content}")
    return found


class Echo:
    """A model that answers with what it was asked last, and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.instructions: list[str | None] = []

    def __call__(self, messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
        self.seen.append(texts(messages))
        self.instructions.append(info.instructions)
        return m.ModelResponse([m.TextPart(f"re {self.seen[-1][-1][2:]}")])

    async def stream(self, messages: list[m.ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for part in self(messages, info).parts:
            assert isinstance(part, m.TextPart)
            yield part.content[:2]
            yield part.content[2:]

    def agent(self, name: str = "echo", **options: Any) -> Agent:
        model = FunctionModel(self, stream_function=self.stream)
        return Agent(name, model=model, instructions="Repeat.", **options)


def run(main: Callable[[ActorSystem], Any]) -> Any:
    """Run *main* in a system of its own."""

    async def inside() -> Any:
        async with ActorSystem() as system:
            return await main(system)

    return asyncio.run(inside())
