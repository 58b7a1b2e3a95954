"""The events of a run of pydantic-ai as the parts of an answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator
from typing import Any

from pydantic_ai.messages import (
    AgentStreamEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
)

from agenticaiframework.actors import (
    Part,
    PartSink,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    as_data,
    room_for_parts,
)

from ..content.surrogates import ends_in_half, whole


class StreamedParts:
    """Sends what happens in one run to a `PartSink`. Owned by the task that runs it."""

    __slots__ = ("_half", "_sink")

    def __init__(self, sink: PartSink) -> None:
        self._sink = sink
        self._half: TextDelta | ThinkingDelta | None = None
        """The first half of a surrogate pair, which waits for the other one."""

    async def handle(self, _ctx: Any, events: AsyncIterable[AgentStreamEvent]) -> None:
        """Send the parts that *events* are, in their order."""
        sink = self._sink
        async for event in events:
            part = part_of(event)
            for each in () if part is None else self._whole(part):
                sink.send(each)
                await room_for_parts(sink)
        half, self._half = self._half, None
        if half is not None:
            sink.send(type(half)(whole(half.text)))

    def _whole(self, part: Part) -> Iterator[Part]:
        """Yield *part* with no half of a surrogate pair in its text, and before it what waited."""
        half = self._half
        if not isinstance(part, (TextDelta, ThinkingDelta)):
            if half is not None:
                self._half = None
                yield type(half)(whole(half.text))
            yield part
            return
        text = part.text
        if half is None and text.isascii():
            yield part
            return
        self._half = None
        if half is not None and type(half) is type(part):
            text = half.text + text
        elif half is not None:
            yield type(half)(whole(half.text))
        if ends_in_half(text):
            text, self._half = text[:-1], type(part)(text[-1])
        if text:
            yield type(part)(whole(text))


def part_of(event: AgentStreamEvent) -> Part | None:
    """Return *event* as a part of an answer; None for what is none."""
    match event:
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
            return TextDelta(text)
        case PartStartEvent(part=TextPart(content=text)) if text:
            return TextDelta(text)
        case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text)) if text:
            return ThinkingDelta(text)
        case PartStartEvent(part=ThinkingPart(content=text)) if text:
            return ThinkingDelta(text)
        case FunctionToolCallEvent(part=call):
            return ToolCall(call.tool_name, arguments_of(call), call.tool_call_id)
        case FunctionToolResultEvent(part=done):
            if done.outcome != "success":
                error = done.model_response_str(wrap_if_error=False)
                return ToolResult(done.tool_name, done.tool_call_id, error=error)
            return ToolResult(done.tool_name, done.tool_call_id, as_data(done.content))
        case _:
            return None


def arguments_of(call: ToolCallPart) -> Any:
    """Return the arguments of *call* as a mapping, or as the text that is none."""
    try:
        return call.args_as_dict()
    except (ValueError, AssertionError):
        return call.args
