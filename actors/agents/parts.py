"""The parts of an answer, sent while its agent still works on it.

A handler finds where they go in its context, under the key `CHUNKS`: the stream of the caller
(`Agent.stream`), or that of the pattern or the engine around it. Elsewhere there is nothing there, and
sending a part does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from .agent_context import RUNTIME, agent_context
from .usage import NO_USAGE, Usage

CHUNKS: Final = f"{RUNTIME}chunks"
"""Where a handler's context has the `PartSink`, while its answer is streamed."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text."""

    text: str
    kind: Literal["text"] = field(default="text", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More of what the model thinks before it answers."""

    text: str
    kind: Literal["thinking"] = field(default="thinking", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls *tool*; *call_id* is that of its `ToolResult`."""

    tool: str
    arguments: Any
    call_id: str
    kind: Literal["tool_call"] = field(default="tool_call", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call returned. *error* says why it is to be tried again; None if it did well."""

    tool: str
    call_id: str
    result: Any = None
    error: str | None = None
    kind: Literal["tool_result"] = field(default="tool_result", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer, as `Agent.ask` returns it: the last part of `Agent.stream`.

    A handler that is an async generator yields one to say what its answer is.
    """

    output: Any
    usage: Usage = NO_USAGE
    kind: Literal["answer"] = field(default="answer", init=False, repr=False)


Part: TypeAlias = TextDelta | ThinkingDelta | ToolCall | ToolResult | Answer


class PartSink(Protocol):
    """Takes the parts of one answer. Found in a handler's context, under `CHUNKS`."""

    def send(self, part: Any, /) -> None:
        """Hand *part* on to who reads the answer."""
        ...


class NoSink:
    """Takes parts of an answer where there is no stream to reach."""

    def send(self, part: Any, /) -> None:
        """Drop *part*."""


async def room_for_parts(sink: Any) -> None:
    """Wait until the reader of *sink*, if it is on another node, has kept up with what was sent."""
    room = getattr(sink, "room", None)
    if room is not None:
        await room()


def part_sink() -> PartSink | None:
    """Return where the parts of the running handler's answer go; None if it is not streamed."""
    sink = agent_context().get(CHUNKS)
    return None if sink is None or isinstance(sink, NoSink) else cast("PartSink", sink)


def send_chunk(data: Any) -> bool:
    """Report *data* as a part of the answer that the running handler is working on.

    Return whether the answer is streamed; if it is not, nothing happens. Call it on the
    loop's thread, that is, in an ``async`` handler.
    """
    sink = part_sink()
    if sink is None:
        return False
    sink.send(data)
    return True


__all__ = [
    "CHUNKS",
    "Answer",
    "NoSink",
    "Part",
    "PartSink",
    "TextDelta",
    "ThinkingDelta",
    "ToolCall",
    "ToolResult",
    "part_sink",
    "room_for_parts",
    "send_chunk",
]
