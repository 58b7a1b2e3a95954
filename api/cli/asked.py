"""What runs have asked, as lines."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final, cast

from .showing import json_text, say

if TYPE_CHECKING:
    from agenticaiframework.patterns.engine import Question

MOST_SHOWN: Final = 2_000
"""Characters of what one question was asked with."""


def say_questions(workflow_id: str, questions: tuple[Question, ...]) -> None:
    """Print what a run has asked, and how it is answered."""
    for question in questions:
        tool = is_approval(question.data)
        said = asked_with(question.data)
        if question.answered:
            say(f"answered {question.id}{': ' if said else ''}{said}")
            continue
        say(f"{'approve' if tool else 'asks'} {question.id}{': ' if said else ''}{said}")
        say(f"  {answer_with(workflow_id, question.id, question.data)}")


def is_approval(data: Any) -> bool:
    """Tell whether a question is whether a tool may be called."""
    return isinstance(data, dict) and "tool" in data and "arguments" in data


def asked_with(data: Any) -> str:
    """Return what a question was asked with: the tool's call, or JSON; an empty text for nothing."""
    if not is_approval(data):
        return "" if data is None else json_text(data, indent=None)[:MOST_SHOWN]
    call = cast("dict[str, Any]", data)
    why = f" ({call['reason']})" if call.get("reason") else ""
    return f"{call['tool']} {json_text(call['arguments'], indent=None)[:MOST_SHOWN]}{why}"


def answer_with(workflow_id: str, question: str, data: Any) -> str:
    """Return the command that answers a question."""
    run, asked = shlex.quote(workflow_id), shlex.quote(question)
    if is_approval(data):
        return f"agenticaiframework workflows approve {run} {asked} --yes (or --no)"
    return f"agenticaiframework workflows answer {run} {asked} --value JSON"
