"""What requests to models take, counted where they are sent: beneath records, fallbacks and retries.

A request is counted when it is sent, so that a limit of requests holds for many at once; its tokens and
its price when it has ended. One that failed counts as failed, one that was cut off as not measured.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelMessage, ModelRequestAttempt, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset
from pydantic_ai.usage import RequestUsage

from agenticaiframework.actors import InnerJournal, Usage, current_meter, exit_of

from ..content.surrogates import make_whole
from ..content.unreadable import unreadable
from ..content.unsendable import unsendable
from .sent import SentRequest

_UNKNOWN_PRICES: Final = 1_000
"""Models without a known price that are remembered as such."""
_BELIEVED_S: Final = 60.0


class Spending(AbstractCapability[Any]):
    """Counts the requests and tool calls of an agent that was not made here: its innermost capability.

    Elsewhere its model and its tools are wrapped instead: a capability takes a tenth of a run.
    """

    def get_wrapper_model(self, model: Model) -> Model | None:
        return None if is_metered(model) else MeteredModel(model)

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
        return MeteredToolset(toolset)


def metered_model(model: Model) -> Model:
    """Return *model* such that its requests are counted, and once."""
    return model if is_metered(model) else MeteredModel(model)


def metered_toolsets(toolsets: Sequence[AbstractToolset[Any]]) -> list[AbstractToolset[Any]]:
    """Return *toolsets* such that calls of their tools are counted."""
    return [MeteredToolset(toolset) for toolset in toolsets]


def is_metered(model: Model) -> bool:
    """Tell whether the requests of *model* are counted within it."""
    inner: Model | None = model
    while isinstance(inner, WrapperModel):
        if isinstance(inner, MeteredModel):
            return True
        inner = inner.wrapped
    return isinstance(inner, MeteredWithin)


class MeteredWithin:
    """A model that only passes requests on, to models that count them."""


class MeteredModel(WrapperModel):
    """*wrapped*, each request of which is counted by the meter of the work that it is made for."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        sent = await SentRequest(self.wrapped, streamed=False).admitted()
        try:
            response = await self.wrapped.request(
                messages, model_settings, model_request_parameters
            )
        except BaseException as error:
            sent.failed(error)
            _raise_what_it_is(error, self.wrapped)
            raise
        make_whole(response)
        sent.ended(usage_of_response(response))
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        sent = await SentRequest(self.wrapped, streamed=True).admitted()
        stream: StreamedResponse | None = None
        before: list[ModelRequestAttempt] | None = None
        try:
            async with self.wrapped.request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as stream:
                # What is added while it is read was sent by others, who count it.
                before = stream.failed_attempts
                yield stream
        except BaseException as error:
            if stream is None:
                sent.failed(error)
            else:
                _cut_off(sent, replace(stream.get(), failed_attempts=before), error)
            _raise_what_it_is(error, self.wrapped)
            raise
        response = replace(stream.get(), failed_attempts=before)
        make_whole(response)
        if response.state == "complete":
            sent.ended(usage_of_response(response))
        else:
            _cut_off(sent, response, None)


@dataclass
class MeteredToolset(WrapperToolset[Any]):
    """Tools whose calls are counted where they are really made."""

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        meter = current_meter()
        if meter is None:
            return await self.wrapped.call_tool(name, tool_args, ctx, tool)
        await meter.admit_tool()
        try:
            result = await self.wrapped.call_tool(name, tool_args, ctx, tool)
        except BaseException:
            meter.end_tool(returned=False)
            raise
        meter.end_tool(returned=True)
        return result


def _cut_off(sent: SentRequest, response: ModelResponse, error: BaseException | None) -> None:
    """Count what of an answer had come."""
    usage = usage_of_response(response)
    if not usage.total_tokens:
        usage += Usage(unmeasured_requests=1 - usage.unmeasured_requests)
    sent.ended(usage, error)


def _raise_what_it_is(error: BaseException, model: Model) -> None:
    """Raise what *error* is where *model* could not be sent what it was asked, its answer could not be
    read, or its function has exited.

    Innermost, so that a breaker, retries and fallbacks see what it is.
    """
    if isinstance(error, Exception):
        found: Exception | None = unsendable(error, model) or unreadable(error, model)
    else:
        found = exit_of(error)
    if found is not None:
        raise found from error


def count_again(usage: Usage, journal: InnerJournal) -> None:
    """Count *usage* of what comes from the record of *journal* in what is asked here: what the journal is
    of has it counted."""
    meter = current_meter()
    if meter is not None:
        meter.spend_again(usage, journal.meter)


def usage_of_response(response: ModelResponse) -> Usage:
    """Return what *response* took, with the answers before it that were not taken.

    Its price is worked out where it does not say it itself, and put where pydantic-ai looks for it.
    """
    used = response.usage
    if used.cost is None:
        used.cost = _price_of(response)
    usage = usage_of_request(used)
    for attempt in response.failed_attempts or ():
        before = attempt.usage
        if before is None:
            usage += Usage(1, failed_requests=1)
        else:
            usage += usage_of_request(before)
    return usage


def usage_of_request(used: RequestUsage) -> Usage:
    """Return pydantic-ai's usage of one request as ours."""
    measured = bool(used.input_tokens or used.output_tokens)
    return Usage(
        1,
        0,
        used.input_tokens,
        used.output_tokens,
        used.cache_read_tokens,
        used.cache_write_tokens,
        used.output_reasoning_tokens,
        used.input_audio_tokens,
        used.output_audio_tokens,
        0,
        used.unmeasured_requests or int(not measured),
        int(measured and used.cost is None),
        used.cost,
    )


_unpriced: dict[tuple[str | None, str | None, str | None], float] = {}
"""Models whose price is not known, by name, provider and its address: until when that is believed.

Looking for a price that there is not takes longer than all else here, and prices may be loaded later."""


def _price_of(response: ModelResponse) -> Decimal | None:
    key = (response.model_name, response.provider_name, response.provider_url)
    if not response.model_name or response.usage.unmeasured_requests:
        return None
    believed_until = _unpriced.get(key)
    if believed_until is not None and time.monotonic() < believed_until:
        return None
    try:
        return response.cost().total_price
    except (LookupError, ValueError):
        if len(_unpriced) >= _UNKNOWN_PRICES:
            _unpriced.clear()
        _unpriced[key] = time.monotonic() + _BELIEVED_S
        return None
