"""Messages as a store keeps them: the JSON of pydantic-ai, without what each request says anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelRequest

from agenticaiframework.patterns.engine.store import StoreCorrupt, ValueNotStorable

__all__ = ["decoded", "encoded", "without_instructions"]


def encoded(messages: Sequence[ModelMessage]) -> bytes:
    """Return the JSON of *messages*. Raises ValueNotStorable."""
    try:
        return ModelMessagesTypeAdapter.dump_json(list(messages))
    except Exception as error:  # also what a value's own serializer raises
        raise ValueNotStorable("a turn of a session", str(error)) from error


def decoded(body: bytes | str, store: str = "a store of sessions") -> list[ModelMessage]:
    """Return the messages behind *body*. Raises StoreCorrupt."""
    try:
        return ModelMessagesTypeAdapter.validate_json(body)
    except ValueError as error:
        raise StoreCorrupt(store, f"a turn is not a list of messages ({error})") from error


def without_instructions(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Return *messages* without their instructions: each run brings those of its agent."""
    return [
        replace(message, instructions=None)
        if isinstance(message, ModelRequest) and message.instructions is not None
        else message
        for message in messages
    ]
