"""Summaries: what takes the place of the older turns of a history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_core import to_json

from agenticaiframework.actors import SESSION, Agent, call_step, contained
from agenticaiframework.patterns.engine.store import StoreError

__all__ = ["SummaryRefused", "summary_of", "transcript"]

HEAD = "Summary of the conversation until here: "


class SummaryRefused(StoreError, TypeError):
    """What ``summarize=`` returned is neither a text nor messages."""

    def __init__(self, given: str) -> None:
        super().__init__(
            f"History(summarize=...) returned a value of the class {given}. Let it return a text, or a list of "
            "messages of pydantic-ai."
        )


async def summary_of(messages: list[ModelMessage], summarize: Any) -> list[ModelMessage]:
    """Return what *summarize* makes of *messages*, as messages."""
    if isinstance(summarize, Agent):
        # Outside of the session: what it is asked does not belong to a conversation of its own.
        said: Any = _as_text(await summarize.ask(transcript(messages), context={SESSION: None}))
    elif not callable(summarize):  # an agent of pydantic-ai
        said = _as_text((await summarize.run(transcript(messages))).output)
    else:
        with contained:
            said = await call_step(cast("Callable[..., Any]", summarize), (messages,), {})
    if isinstance(said, str):
        return [ModelRequest([UserPromptPart(HEAD + said)])]
    if isinstance(said, Sequence):
        items = list(cast("Sequence[Any]", said))
        if all(isinstance(each, (ModelRequest, ModelResponse)) for each in items):
            return items
    raise SummaryRefused(type(cast("object", said)).__name__)


def _as_text(answer: Any) -> str:
    return answer if isinstance(answer, str) else to_json(answer, fallback=str).decode()


def transcript(messages: Sequence[ModelMessage]) -> str:
    """Return *messages* as a text that a person could read."""
    lines: list[str] = []
    for message in messages:
        for part in message.parts:
            match part:
                case UserPromptPart(content=str(text)):
                    lines.append(f"user: {text}")
                case UserPromptPart(content=contents):
                    texts = [each if isinstance(each, str) else "[a file]" for each in contents]
                    lines.append(f"user: {' '.join(texts)}")
                case TextPart(content=text):
                    lines.append(f"assistant: {text}")
                case ToolCallPart(tool_name=tool):
                    lines.append(f"assistant calls {tool}: {part.args_as_json_str()}")
                case ToolReturnPart(tool_name=tool):
                    lines.append(f"{tool} returns: {part.model_response_str()}")
                case RetryFeedbackPart(content=str(text)):
                    lines.append(f"system: {text}")
                case SystemPromptPart(content=text):
                    lines.append(f"system: {text}")
                case _:
                    pass
    return "\n".join(lines)
