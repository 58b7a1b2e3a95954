"""A request whose time limit counts from when its agent takes it up."""

from __future__ import annotations

from ..kernel.request import ABANDONED, PENDING
from .agent_request import AgentRequest
from .errors import QueueTimeout


class StepRequest(AgentRequest):
    """A request for a step of something larger: how long it waits for its agent is a limit of its own.

    Made by `Agent.request_step`, on the loop's thread. What an agent is busy with before says nothing
    about how long this work takes; so its limit begins when the handler does.
    """

    __slots__ = ("limit_s", "taken_at")

    limit_s: float | None
    taken_at: float | None
    """When its agent took it up, in the system's time; None while it waits."""

    def limit(self, limit_s: float | None, queue_limit_s: float | None) -> None:
        """Give it *limit_s* from when it is taken up, and *queue_limit_s* until then."""
        self.limit_s = limit_s
        self.taken_at = None
        if queue_limit_s is not None and self._state == PENDING:
            self._result = self._home.loop.call_later(
                queue_limit_s, self._not_taken_up, queue_limit_s
            )

    def taken_up(self) -> None:
        """Its agent begins to handle it. Safe from any thread."""
        self._home.post_or_call(self._begin, self._home.loop.time())

    def _begin(self, now: float) -> None:
        if self._state != PENDING:
            return
        self.taken_at = now
        timer, self._result = self._result, None
        if timer is not None:
            timer.cancel()
        if self.limit_s is not None:
            self.start_timer(self.limit_s)

    def _not_taken_up(self, queue_limit_s: float) -> None:
        if self._state != PENDING or self.taken_at is not None:
            return
        waiter = self._waiter
        self._result = QueueTimeout(self.agent.name, queue_limit_s)
        self._state = ABANDONED
        if waiter is not None:
            waiter._reply_ready(self)
