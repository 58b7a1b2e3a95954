"""What asking an agent can raise."""

from __future__ import annotations

from typing import Any

from ..errors import AgenticError
from ..reasons import describe_reason


class AgentError(AgenticError):
    """Base class of the errors of agents; *agent* is the agent's name."""

    def __init__(self, agent: str, message: str) -> None:
        super().__init__(message)
        self.agent = agent


class AgentFailed(AgentError):
    """The agent crashed on this message, or died before it answered.

    *reason* is the exit reason. The handler's exception, if that was it, is also the ``__cause__``.
    """

    def __init__(self, agent: str, reason: Any) -> None:
        super().__init__(agent, f"Agent {agent!r} failed: {describe_reason(reason)}")
        self.reason = reason


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
    """The agent has been stopped for good, and takes no messages."""

    def __init__(self, agent: str, reason: Any) -> None:
        super().__init__(
            agent,
            f"Agent {agent!r} has been stopped ({describe_reason(reason)}) and is not coming back "
            "by itself. Restart it through its supervisor, or remove it there.",
        )
        self.reason = reason


class AgentDefinitionError(AgenticError, ValueError):
    """An agent was defined in a way that cannot work."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}. For example: Agent('writer', handler=write) or "
            "Agent('writer', model='gpt-4o-mini', instructions='Write clearly')"
        )
