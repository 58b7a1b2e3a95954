"""What an agent's work has brought: the answer, and what came with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .agent_context import RUNTIME
from .usage import NO_USAGE, Usage

WHOLE_RESULT: Final = f"{RUNTIME}whole_result"
"""The entry of a context that asks for the `AgentResult`, and not for the answer alone."""


@dataclass(frozen=True, slots=True)
class AgentResult:
    """The answer to one request to an agent, from `Agent.run`.

    *output* is what `Agent.ask` returns. *usage* is what asking the model has cost, nothing where none
    was asked. *new_messages* are the messages of this request, in the form of the model library.
    """

    output: Any
    usage: Usage = NO_USAGE
    new_messages: Sequence[Any] = ()


__all__ = ["WHOLE_RESULT", "AgentResult"]
