"""The request to an agent: a kernel request that speaks the agent's errors and owns its work.

The asker owns the work: when the waiting ends early, by a timeout or a cancellation,
the handler is cancelled too. That is the difference to a raw actor's request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..errors import ActorDied, RequestTimeout, StartFailed
from ..kernel.request import ABANDONED, PENDING, Request
from .directory import Named
from .errors import AgentError, AgentFailed, AgentStopped, AgentTimeout


class Work:
    """A payload for an agent's handler, as against a message for its inbox."""

    __slots__ = ("context", "payload")

    def __init__(self, payload: Any, context: Mapping[str, Any] | None) -> None:
        self.payload = payload
        self.context = context

    def __repr__(self) -> str:
        return f"Work({self.payload!r})"


class AgentRequest(Request):
    """An awaitable for an agent's answer. See `Agent.ask` for what it raises."""

    __slots__ = ("agent",)

    agent: Named

    def _exception(self) -> BaseException:
        error: BaseException = super()._exception()
        name = self.agent.name
        if isinstance(error, RequestTimeout):
            return AgentTimeout(name, error.timeout_s or 0.0)
        if isinstance(error, AgentError) and error.agent == name:
            return error
        if isinstance(error, ActorDied):
            reason = error.reason
            home: Any = self._target
            if home.closed is not None and error.ref is home:
                return AgentStopped(name, reason)
            if isinstance(reason, StartFailed):
                reason = reason.reason
            failed = AgentFailed(name, reason)
            if isinstance(reason, BaseException):
                failed.__cause__ = reason
            return failed
        if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
            return error
        failed = AgentFailed(name, error)
        failed.__cause__ = error
        return failed

    def _expire(self, timeout_s: float) -> None:
        pending = self._state == PENDING
        super()._expire(timeout_s)
        if pending:
            self._withdraw(AgentTimeout(self.agent.name, timeout_s))

    def abandon(self) -> None:
        """Stop waiting, and have the work cancelled."""
        pending = self._state == PENDING
        super().abandon()
        if pending and self._state == ABANDONED:
            self._withdraw(None)

    def _withdraw(self, timeout: AgentTimeout | None) -> None:
        target: Any = self._target
        self._home.post_or_call(target.withdraw, self, timeout)
