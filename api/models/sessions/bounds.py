"""How a history is cut to its bounds: by whole turns, so that no tool call is parted from its result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    ToolReturnPart,
    UserPromptPart,
)

from agenticaiframework.actors import contained

from .history import History

__all__ = ["KeptTurn", "estimated_tokens", "fit", "over", "shortened"]

CHARACTERS_A_TOKEN: Final = 4
TOKENS_A_FILE: Final = 1_000
"""What an image or a document counts for, whatever its size: models cut them into pieces of their own."""


@dataclass(slots=True)
class KeptTurn:
    """One turn of a session, and whether it differs from what is stored under its number."""

    number: int
    messages: list[ModelMessage]
    changed: bool = False


def over(turns: Sequence[KeptTurn], history: History) -> bool:
    """Tell whether *turns* are more than *history* keeps."""
    most, tokens = history.max_messages, history.max_tokens
    return (most is not None and sum(len(turn.messages) for turn in turns) > most) or (
        tokens is not None and sum(_tokens(turn.messages, history) for turn in turns) > tokens
    )


def fit(turns: Sequence[KeptTurn], history: History, share: float = 1.0) -> list[KeptTurn]:
    """Return the newest of *turns* that fit into *share* of the bounds, in order.

    Of the newest one its question and its answer are kept where all of it is too much. System prompts
    stay, in the first request that is kept.
    """
    kept: list[KeptTurn] = []
    most = None if history.max_messages is None else max(2, int(history.max_messages * share))
    tokens = None if history.max_tokens is None else max(1, int(history.max_tokens * share))

    def fits(messages: Sequence[ModelMessage]) -> bool:
        return (most is None or len(messages) <= most) and (
            tokens is None or _tokens(messages, history) <= tokens
        )

    for turn in reversed(turns):
        if not fits(turn.messages):
            if kept:
                break
            short = shortened(turn.messages)
            if not fits(short):
                break
            turn = KeptTurn(turn.number, short, True)
        kept.append(turn)
        if most is not None:
            most -= len(turn.messages)
        if tokens is not None:
            tokens -= _tokens(turn.messages, history)
    kept.reverse()
    if kept and kept[0].messages and kept[0].number != turns[0].number:
        dropped = [turn for turn in turns if turn.number < kept[0].number]
        kept[0] = _with_system_prompts(kept[0], dropped)
    return kept


def shortened(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Return a turn's question and its answer: without what went on between model and tools.

    An answer that is the call of an output tool keeps the result of that.
    """
    answers = [n for n, message in enumerate(messages) if isinstance(message, ModelResponse)]
    if not answers or len(messages) <= 2:
        return list(messages)
    last = answers[-1]
    answer, rest = messages[last], list(messages[last + 1 :])
    assert isinstance(answer, ModelResponse)
    called = {call.tool_call_id for call in answer.tool_calls}
    rest = [
        message
        for message in rest
        if isinstance(message, ModelRequest)
        and any(isinstance(p, ToolReturnPart) and p.tool_call_id in called for p in message.parts)
    ]
    return [messages[0], answer, *rest]


def _with_system_prompts(turn: KeptTurn, dropped: Iterable[KeptTurn]) -> KeptTurn:
    first = turn.messages[0]
    if not isinstance(first, ModelRequest):
        return turn
    there = {part.content for part in first.parts if isinstance(part, SystemPromptPart)}
    prompts: dict[str, SystemPromptPart] = {}
    for each in dropped:
        for message in each.messages:
            for part in message.parts:
                if isinstance(part, SystemPromptPart) and part.content not in there:
                    prompts[part.content] = part
    if not prompts:
        return turn
    first = replace(first, parts=[*prompts.values(), *first.parts])
    return KeptTurn(turn.number, [first, *turn.messages[1:]], True)


def _tokens(messages: Sequence[ModelMessage], history: History) -> int:
    count = history.count_tokens
    if count is None:
        return estimated_tokens(messages)
    with contained:
        return count(messages)


def estimated_tokens(messages: Sequence[ModelMessage]) -> int:
    """Return about how many tokens *messages* are: four characters each, and 1,000 a file."""
    characters = files = 0
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart) and not isinstance(part.content, str):
                for each in part.content:
                    if isinstance(each, str):
                        characters += len(each)
                    else:
                        files += 1
                continue
            content: Any = getattr(part, "content", None)
            if isinstance(part, ToolReturnPart):
                files += len(part.files)
                content = part.model_response_str()
            elif content is None:
                content = getattr(part, "args", None)
            if isinstance(content, BinaryContent):
                files += 1
            elif isinstance(content, str):
                characters += len(content)
            elif content is not None:
                characters += len(str(content))
    return -(-characters // CHARACTERS_A_TOKEN) + files * TOKENS_A_FILE
