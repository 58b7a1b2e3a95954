"""Messages of one speaker in a row, made one before pydantic-ai does that.

It joins them two at a time, and copies for each what it has joined so far: a conversation of 8,000
messages in a row, half a megabyte that a user sends, would hold the loop for twenty seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

_PLAIN: Final = frozenset({"system-prompt", "text", "user-prompt"})
_SENT_BY: Final = ("provider_response_id", "provider_name", "model_name")


def in_turns(messages: Sequence[Any]) -> list[Any]:
    """Return *messages* with those in a row that pydantic-ai would join as one. The given stay as they
    are."""
    turns: list[Any] = []
    joined: list[Any] | None = None
    """The parts of the last turn, if it was made here."""
    for message in messages:
        if not (
            turns
            and turns[-1].kind == message.kind
            and _joins(message)
            and (joined is not None or _joins(turns[-1]))
        ):
            turns.append(message)
            joined = None
            continue
        if joined is None:
            joined = [*turns[-1].parts]
            turns[-1] = replace(turns[-1], parts=joined)
        joined.extend(message.parts)
        turns[-1].timestamp = message.timestamp or turns[-1].timestamp
    return turns


def _joins(message: Any) -> bool:
    if message.metadata is not None:
        return False
    if message.kind == "request" and message.instructions is not None:
        return False
    if message.kind == "response" and any(getattr(message, name) for name in _SENT_BY):
        return False
    return all(part.part_kind in _PLAIN for part in message.parts)


__all__ = ["in_turns"]
