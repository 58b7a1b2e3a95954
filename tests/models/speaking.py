"""Models that say what a test writes down, and remember what they were asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from agenticaiframework.actors.simulation import run_sim

R = TypeVar("R")


def simulated(test: Callable[..., Coroutine[Any, Any, R]]) -> Callable[..., R]:
    """Return *test* run in virtual time, in the order of a plain loop."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> R:
        return run_sim(lambda: test(*args, **kwargs))

    return run


Said = str | ToolCallPart | Sequence[str | ToolCallPart] | Exception


def call(tool: str, **arguments: Any) -> ToolCallPart:
    return ToolCallPart(tool, arguments)


@dataclass
class Speaker:
    """Says one thing after another; the last again and again. A function says it of the messages."""

    says: Sequence[Said | Callable[[list[ModelMessage]], Said]]
    asked: list[list[ModelMessage]] = field(default_factory=list)
    infos: list[AgentInfo] = field(default_factory=list)
    waits: asyncio.Event | None = None
    stopped: int = 0

    @property
    def model(self) -> FunctionModel:
        return FunctionModel(self._answer, stream_function=self._stream, model_name="speaker")

    async def _next(self, messages: list[ModelMessage], info: AgentInfo) -> Sequence[Any]:
        turn = min(len(self.asked), len(self.says) - 1)
        self.asked.append(list(messages))
        self.infos.append(info)
        if self.waits is not None:
            try:
                await self.waits.wait()
            except asyncio.CancelledError:
                self.stopped += 1
                raise
        said: Any = self.says[turn]
        if callable(said):
            said = said(messages)
        if isinstance(said, Exception):
            raise said
        return [said] if isinstance(said, (str, ToolCallPart)) else list(said)

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = await self._next(messages, info)
        return ModelResponse([TextPart(s) if isinstance(s, str) else s for s in said])

    async def _stream(
        self, messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        for index, said in enumerate(await self._next(messages, info)):
            if isinstance(said, str):
                for word in said.split(" "):
                    yield word + " "
            else:
                yield {
                    index: DeltaToolCall(
                        name=said.tool_name,
                        json_args=said.args_as_json_str(),
                        tool_call_id=said.tool_call_id,
                    )
                }


def speaker(*says: Said | Callable[[list[ModelMessage]], Said]) -> Speaker:
    return Speaker(says)


def last_part(messages: list[ModelMessage]) -> Any:
    return messages[-1].parts[-1]
