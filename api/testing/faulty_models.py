"""A model and tools of pydantic-ai that have the faults of a simulated run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelConnectionError, ModelHTTPError
from pydantic_ai.messages import (
    FinishReason,
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset

from agenticaiframework.actors.simulation import (
    CutStream,
    DropConnection,
    HangModel,
    RateLimit,
    Refusal,
    ServerError,
    SlowModel,
    SlowStream,
    WrongAnswer,
)

from .bad_day import BadDay

Struck = list[tuple[int, Any]]
"""Faults that strike one request, each with its place in the plan."""


@dataclass
class FaultyProvider(AbstractCapability[Any]):
    """Puts the faults of *day* beneath the model and the tools of *agent*, for one run."""

    day: BadDay
    agent: str

    _opened: bool = False

    def wrap_beneath(self, model: Model) -> Model:
        """Return *model* with the faults: beneath limits, retries and fallbacks."""
        self._opened = True
        return FaultyModel(model, self.day, self.agent)

    def get_wrapper_model(self, model: Model) -> Model | None:
        # An agent of pydantic-ai that was given as a handler opens its model itself.
        return None if self._opened else FaultyModel(model, self.day, self.agent)

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
        # Round the tools themselves: within the time limits that are round them.
        return toolset.visit_and_replace(lambda leaf: FaultyToolset(leaf, self.day, self.agent))


@dataclass
class FaultyToolset(WrapperToolset[Any]):
    """Tools of *agent* that may hang."""

    day: BadDay
    agent: str

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        for index, fault in self.day.at_call(self.agent, name):
            self.day.land(index, fault, f"tool {name} of {self.agent}")
            await self.day.hang()
        return await self.wrapped.call_tool(name, tool_args, ctx, tool)


class FaultyModel(WrapperModel):
    """A model of *agent* whose provider has its bad days."""

    def __init__(self, wrapped: Model, day: BadDay, agent: str) -> None:
        super().__init__(wrapped)
        self._day = day
        self._agent = agent

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        struck = self._day.at_request(self._agent)
        await self._before(struck)
        response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        for index, fault in struck:
            if isinstance(fault, CutStream):
                self._land(index, fault)
                raise self._lost("the connection was lost in the middle of the answer")
        return self._answer(struck, response, model_request_parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        struck = self._day.at_request(self._agent)
        await self._before(struck)
        async with self.wrapped.request_stream(
            messages, model_settings, model_request_parameters, run_context
        ) as stream:
            after = (CutStream, SlowStream, WrongAnswer, Refusal)
            if not any(isinstance(fault, after) for _, fault in struck):
                yield stream
                return
            events = [event async for event in stream]
            response = stream.get()
        answer = self._answer(struck, response, model_request_parameters)
        spoiled = SpoiledStream(
            answer,
            model_request_parameters=model_request_parameters,
            replay_events=events if answer is response else True,
        )
        spoiled.spoil = lambda parts: self._between(struck, parts)
        yield spoiled

    async def _before(self, struck: Struck) -> None:
        for index, fault in struck:
            match fault:
                case RateLimit(retry_after_s=wait_s):
                    self._land(index, fault)
                    headers = {} if wait_s is None else {"retry-after": f"{wait_s:g}"}
                    said = {"error": {"message": "injected rate limit"}}
                    raise ModelHTTPError(429, self.model_name, said, headers=headers)
                case ServerError(status=status):
                    self._land(index, fault)
                    said = {"error": {"message": "injected failure of the provider"}}
                    raise ModelHTTPError(status, self.model_name, said)
                case DropConnection():
                    self._land(index, fault)
                    raise self._lost("the connection was lost")
                case HangModel():
                    self._land(index, fault)
                    await self._day.hang()
                case SlowModel(delay_s=delay_s):
                    self._land(index, fault)
                    await asyncio.sleep(delay_s)
                case _:
                    pass

    async def _between(self, struck: Struck, parts: int) -> None:
        """Strike before the part of a stream that comes after *parts* others; -1: at its end."""
        for index, fault in struck:
            if isinstance(fault, SlowStream) and parts != -1:
                if parts == 0:
                    self._land(index, fault)
                await asyncio.sleep(fault.delay_s)
            elif isinstance(fault, CutStream) and parts in (fault.after, -1):
                self._land(index, fault)
                raise self._lost("the connection was lost in the middle of the answer")

    def _answer(
        self, struck: Struck, response: ModelResponse, parameters: ModelRequestParameters
    ) -> ModelResponse:
        for index, fault in struck:
            if isinstance(fault, WrongAnswer):
                self._land(index, fault)
                tools = parameters.output_tools
                if tools and not parameters.allow_text_output:
                    part: Any = ToolCallPart(tools[0].name, fault.text)
                else:
                    part = TextPart(fault.text)
                response = replace(response, parts=[part])
            elif isinstance(fault, Refusal):
                self._land(index, fault)
                parts = [TextPart(fault.text)] if fault.text else []
                reason: FinishReason = "stop" if fault.text else "content_filter"
                response = replace(response, parts=parts, finish_reason=reason)
        return response

    def _land(self, index: int, fault: Any) -> None:
        self._day.land(index, fault, f"the model of {self._agent}")

    def _lost(self, message: str) -> ModelConnectionError:
        return ModelConnectionError(self.model_name, f"injected: {message}", phase="read")


class SpoiledStream(CompletedStreamedResponse):
    """A stream that is slow, or ends too early: *spoil* is awaited before each part, and at the end."""

    spoil: Callable[[int], Awaitable[None]]

    def __aiter__(self) -> AsyncIterator[ModelResponseStreamEvent]:
        # Kept where pydantic-ai keeps it, which puts back there what it has looked at.
        if self._event_iterator is None:
            self._event_iterator = self._spoil(super().__aiter__())
        return self._event_iterator

    async def _spoil(
        self, events: AsyncIterator[ModelResponseStreamEvent]
    ) -> AsyncIterator[ModelResponseStreamEvent]:
        parts = 0
        async for event in events:
            if event.event_kind in ("part_start", "part_delta"):
                await self.spoil(parts)
                parts += 1
            yield event
        await self.spoil(-1)
