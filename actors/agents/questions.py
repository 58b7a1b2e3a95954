"""The error of a question that nothing can take down where it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import AgenticError


class QuestionOpen(AgenticError):
    """A handler asked for something that only a person, or another program, can answer.

    In a step of a workflow its run waits for the answer. Elsewhere nothing keeps the question, and this
    is raised: ``name`` and ``data`` are those of the question. It is the failure of this request alone.
    """

    expected = True

    def __init__(self, name: str, data: Any = None) -> None:
        super().__init__(
            f"The question {name!r} needs an answer, and nothing here can wait for one: {data!r}. In a step "
            "of a workflow its run waits: await engine.execute(workflow=...), and "
            "await engine.answer(workflow_id, question, value)."
        )
        self.name = name
        self.data = data


@dataclass(frozen=True)
class PendingCall:
    """A call of a tool that a model has asked for, and that needs approval."""

    tool: str
    arguments: dict[str, Any]
    call_id: str
    agent: str = ""
    """The agent whose model asks for it."""
    reason: str | None = None
    """Why it needs approval, if the tool says so."""
    metadata: dict[str, Any] | None = None
    """What else the tool says of it."""


class ApprovalNeeded(QuestionOpen):
    """A model asked for tools that need approval, and nothing here can give it: ``calls`` are those.

    It is the failure of this request alone.
    """

    def __init__(self, agent: str, calls: Sequence[PendingCall]) -> None:
        AgenticError.__init__(
            self,
            f"Agent {agent!r} needs approval for {', '.join(map(_said, calls))}. In a step of a workflow its "
            "run waits for that: await engine.approve(workflow_id, call_id, True). Elsewhere give the agent "
            "a function that decides: Agent(..., approve=lambda call: call.arguments['sum'] < 100).",
        )
        self.agent = agent
        self.name = "approve"
        self.calls = tuple(calls)
        self.data = [vars(call) for call in calls]


def _said(call: PendingCall) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return f"{call.tool}({given}) [{call.call_id}]"


__all__ = ["ApprovalNeeded", "PendingCall", "QuestionOpen"]
