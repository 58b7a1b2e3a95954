"""What asking an agent can raise."""

from __future__ import annotations

from typing import Any

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


class AgentDefinitionError(AgenticError, ValueError):
    """An agent was defined in a way that cannot work."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}. For example: Agent('writer', handler=write) or "
            "Agent('writer', model='gpt-4o-mini', instructions='Write clearly')"
        )
