"""What asking an agent can raise."""

from __future__ import annotations

import re
from typing import Any, Final

from ..errors import AgenticError
from ..looks import is_a
from ..reasons import CoolingDown, describe_reason


class AgentError(AgenticError):
    """Base class of the errors of agents; *agent* is the agent's name."""

    def __init__(self, agent: str, message: str) -> None:
        super().__init__(message)
        self.agent = agent


class AgentFailed(AgentError):
    """The agent failed on this message, or died before it answered.

    *reason* is the handler's exception, which is also the ``__cause__``, or the exit reason. *expected*
    tells whether that was the failure of this request alone: then the agent lives, and a handler that
    lets this error pass is as well as the agent is.
    """

    def __init__(self, agent: str, reason: Any, *, expected: bool = False) -> None:
        super().__init__(agent, f"Agent {agent!r} failed: {describe_reason(reason)}")
        self.reason = reason
        self.expected = expected


class AgentTimeout(AgentError, TimeoutError):
    """The agent did not answer in time. Its work has been cancelled."""

    def __init__(self, agent: str, timeout_s: float) -> None:
        super().__init__(agent, f"Agent {agent!r} did not answer within {timeout_s:g} s")
        self.timeout_s = timeout_s


class QueueTimeout(AgentTimeout):
    """The agent did not take a step's work up in time, because it was busy. It was never handled."""

    def __init__(self, agent: str, timeout_s: float) -> None:
        AgentError.__init__(
            self,
            agent,
            f"The work waited {timeout_s:g} s in the queue of agent {agent!r}, which did not take it up. "
            "Let more be handled at once with Agent(..., concurrency=n), or wait longer: "
            "queue_timeout_seconds",
        )
        self.timeout_s = timeout_s


class NotAwaited(AgentError):
    """Nothing waits any more for what an agent works on, so what it asks of its caller has no answer."""

    expected = True

    def __init__(self, agent: str, what: str) -> None:
        super().__init__(
            agent,
            f"{what} of agent {agent!r} has no outcome: the request that it belongs to is over, or its "
            "node has lost the caller's.",
        )
        self.what = what


class AgentStopped(AgentError):
    """The agent has been stopped, and answers nothing.

    *back_in_s* is None if that is for good; if it cools down after too many failures, the seconds
    until its supervisor starts it afresh.
    """

    def __init__(self, agent: str, reason: Any) -> None:
        self.back_in_s: float | None = None
        if is_a(reason, CoolingDown):
            self.back_in_s = reason.back_in_s
            said = f"cools down: {reason}. Its supervisor can `restart_child` it before."
        else:
            said = (
                f"has been stopped ({describe_reason(reason)}) and is not coming back "
                "by itself. Restart it through its supervisor, or remove it there."
            )
        super().__init__(agent, f"Agent {agent!r} {said}")
        self.reason = reason


_WITH_MODEL: Final = "Agent('writer', model='openai:gpt-4o-mini', {})"
_WITH_HANDLER: Final = "Agent('writer', handler=write, {})"

_FORMS: Final = {
    "approve": _WITH_MODEL.format(
        "tools=[refund], approve=lambda call: call.arguments['sum'] < 100"
    ),
    "capabilities": _WITH_HANDLER.format("capabilities=['draft', 'translate']"),
    "concurrency": _WITH_HANDLER.format("concurrency=8"),
    "dispatcher": _WITH_HANDLER.format("dispatcher='thread'"),
    "expected_errors": _WITH_HANDLER.format("expected_errors=(ConnectionError,)"),
    "fallback_models": _WITH_MODEL.format(
        "fallback_models=['anthropic:claude-sonnet-4-5', 'local']"
    ),
    "guardrails": _WITH_MODEL.format("guardrails=[no_secrets]"),
    "history": _WITH_MODEL.format("history=History(max_messages=60)"),
    "model_settings": _WITH_MODEL.format("model_settings={'temperature': 0.2}"),
    "output_schema": _WITH_MODEL.format("output_schema={'type': 'object', ...}"),
    "output_type": _WITH_MODEL.format("output_type=Report"),
    "retries": _WITH_MODEL.format("retries={'output': 2, 'tools': 1}"),
    "tools": _WITH_MODEL.format("tools=[search, fetch_page]"),
    "usage_limits": _WITH_MODEL.format("usage_limits={'total_tokens_limit': 20_000}"),
}
"""A call that works, for each parameter that may be given wrongly."""

_EITHER: Final = (
    "Agent('writer', handler=write) or "
    "Agent('writer', model='gpt-4o-mini', instructions='Write clearly')"
)
_WORD: Final = re.compile(r"\w+")


class AgentDefinitionError(AgenticError, ValueError):
    """An agent was defined in a way that cannot work: the message says what, and shows a form that works."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}{_example_for(problem)}")


def _example_for(problem: str) -> str:
    """Return a call that works, about the parameter that *problem* names first; nothing if it has one."""
    if "For example" in problem:
        return ""
    named = (word for word in _WORD.findall(problem) if word in _FORMS)
    example = f" For example: {_FORMS.get(next(named, ''), _EITHER)}"
    return example if problem.endswith((".", "?")) else f".{example}"
