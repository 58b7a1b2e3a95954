"""Handlers that are async generators: what they yield is streamed, and what their answer is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from .parts import Answer, TextDelta, ThinkingDelta, ToolCall, ToolResult, part_sink, room_for_parts

_BESIDE: Final = (ThinkingDelta, ToolCall, ToolResult)
"""Parts that tell of the work, and are none of its answer."""


async def drain(parts: AsyncGenerator[Any, None]) -> Any:
    """Return the answer of a handler that yields *parts*, each of which is sent on as it comes.

    Text is sent as a `TextDelta`. The answer is the output of the `Answer` that was yielded, if one
    was; else, if all that was yielded is text, the whole text; else what was yielded last.
    """
    sink = part_sink()
    texts: list[str] | None = []
    last: Any = None
    try:
        async for part in parts:
            if isinstance(part, Answer):
                return part.output
            if isinstance(part, str):
                part = TextDelta(part)
            if sink is not None:
                sink.send(part)
                await room_for_parts(sink)
            if isinstance(part, _BESIDE):
                continue
            if not isinstance(part, TextDelta):
                texts, last = None, part
            elif texts is None:
                last = part.text
            else:
                texts.append(part.text)
    finally:
        await parts.aclose()
    if texts is None:
        return last
    return "".join(texts) if texts else None


__all__ = ["drain"]
