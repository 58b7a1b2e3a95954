"""A request whose time limit counts from when its agent takes it up."""

from __future__ import annotations

from collections.abc import Callable

from ..kernel.request import PENDING
from .agent_request import AgentRequest
from .errors import AgentTimeout, QueueTimeout


class StepRequest(AgentRequest):
    """A request for a step of something larger: how long it waits for its agent is a limit of its own.

    Made by `Agent.request_step`. What an agent is busy with before says nothing about how long this
    work takes; so its limit begins when the handler does. Its state belongs to the loop's thread of
    the agent's system.
    """

    __slots__ = ("_queue_limit_s", "limit_s", "on_taken", "taken_at")

    def __init__(self) -> None:
        # Before it is sent: an agent on another loop may take it up before it is given its limits.
        self.limit_s: float | None = None
        self._queue_limit_s: float | None = None
        self.on_taken: Callable[[], object] | None = None
        """Called when its agent takes it up, by an `AgentHost`: for the node that has asked."""
        self.taken_at: float | None = None
        """When its agent took it up, in the system's time; None while it waits."""

    def limit(self, limit_s: float | None, queue_limit_s: float | None) -> None:
        """Give it *limit_s* from when it is taken up, and *queue_limit_s* until then.

        Safe from any thread.
        """
        self._home.post_or_call(self._set_limits, limit_s, queue_limit_s)

    def _set_limits(self, limit_s: float | None, queue_limit_s: float | None) -> None:
        self.limit_s = limit_s
        self._queue_limit_s = queue_limit_s
        if self._state != PENDING:
            return
        home = self._home
        if self.taken_at is None:
            if queue_limit_s is not None:
                self._result = home.loop.call_later(
                    queue_limit_s, self._not_taken_up, queue_limit_s
                )
        elif limit_s is not None:
            self._result = home.loop.call_at(
                self.taken_at + limit_s, self._expire, limit_s, context=home.context
            )

    def taken_up(self) -> None:
        """Its agent begins to handle it. Safe from any thread."""
        self._home.post_or_call(self._begin, self._home.loop.time())

    def _begin(self, now: float) -> None:
        if self._state != PENDING or self.taken_at is not None:
            return
        self.taken_at = now
        if self.on_taken is not None:
            self.on_taken()
        timer, self._result = self._result, None
        if timer is not None:
            timer.cancel()
        if self.limit_s is not None:
            self.start_timer(self.limit_s)

    def _not_taken_up(self, queue_limit_s: float) -> None:
        if self.taken_at is None:
            # As a kernel request, not as an agent's: there is no work yet that could be cancelled.
            super(AgentRequest, self)._expire(queue_limit_s)

    def _exception(self) -> BaseException:
        error = super()._exception()
        if self.taken_at is None and error.__class__ is AgentTimeout:
            return QueueTimeout(self.agent.name, self._queue_limit_s or 0.0)
        return error
