"""Models for the tests of tools: they call what a test says, and answer with what came back."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

Call = tuple[str, dict[str, Any]]


class CallingModel:
    """Calls *rounds* of tools, one round a request, and then answers with all results as JSON.

    The answer is a list of ``[tool, outcome, content]``. *seen* has what the model was offered.
    """

    def __init__(self, *rounds: Sequence[Call]) -> None:
        self.rounds = rounds
        self.offered: dict[str, Any] = {}
        self.messages: list[ModelMessage] = []
        self.model = FunctionModel(self._answer, stream_function=self._stream)

    async def _stream(
        self, messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str | DeltaToolCalls]:
        for index, part in enumerate(self._answer(messages, info).parts):
            if isinstance(part, ToolCallPart):
                call = DeltaToolCall(
                    part.tool_name, json.dumps(part.args), tool_call_id=part.tool_call_id
                )
                yield {index: call}
            elif isinstance(part, TextPart):
                yield part.content

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.offered = {each.name: each for each in info.function_tools}
        self.messages = messages
        done = sum(isinstance(message, ModelResponse) for message in messages)
        if done < len(self.rounds):
            return ModelResponse([ToolCallPart(name, args) for name, args in self.rounds[done]])
        results = [
            [part.tool_name, part.outcome, told(part)]
            for message in messages
            if isinstance(message, ModelRequest)
            for part in message.parts
            if isinstance(part, ToolReturnPart)
        ]
        return ModelResponse([TextPart(json.dumps(results))])


def told(part: ToolReturnPart) -> Any:
    """Return what a model reads of *part*."""
    content = part.content
    if isinstance(content, BinaryContent):
        return None
    if part.outcome != "success" or isinstance(content, str):
        return part.model_response_str(wrap_if_error=False)
    return json.loads(part.model_response_str())


def calling(*calls: Call) -> FunctionModel:
    """Return a model that makes *calls* at once."""
    return CallingModel(calls).model


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Return an asynchronous test as a plain one, which runs it on a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run
