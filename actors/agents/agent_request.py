"""The request to an agent: a kernel request that speaks the agent's errors and owns its work.

The asker owns the work: when the waiting ends early, by a timeout or a cancellation,
the handler is cancelled too. That is the difference to a raw actor's request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ..errors import ActorDied, CallingSelf, RequestTimeout, StartFailed
from ..kernel.carried import Carried, Carrier
from ..kernel.current import current_host
from ..kernel.request import ABANDONED, PENDING, Request
from ..looks import is_a
from ..reasons import CoolingDown
from .agent_context import CONTEXT
from .call_words import Terms
from .caller_side import CallerSide
from .directory import Named
from .errors import AgentError, AgentFailed, AgentStopped, AgentTimeout
from .metering import METER
from .portable import portable_context
from .trace_parent import current_traceparent, enter_traceparent

if TYPE_CHECKING:
    from ..kernel.host import Host


class Work(Carrier):
    """A payload for an agent's handler, as against a message for its inbox.

    *context* is what the handler finds in `agent_context()`, where that is not what *variables* has:
    the caller's context, which nothing else enters, and in which the agent's system is the current
    one.
    """

    # No constructor: one is made for each message, and setting the slots costs half of its call.
    __slots__ = ("context", "payload")

    payload: Any
    context: Mapping[str, Any] | None
    is_call = False
    """Whether more than an answer is said about it, between two nodes."""

    def as_letter(self) -> Work:
        self.variables = None
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # To another node; the context variables stay here, but for the span that this belongs to.
        return work_there, (self.payload, portable_context(self.context), current_traceparent())

    def __repr__(self) -> str:
        return f"Work({self.payload!r})"


def work_there(
    payload: Any,
    context: dict[str, Any] | None,
    traceparent: str | None,
    terms: Terms | None = None,
) -> Work:
    """Return the work that was sent as these from another node, in a context of its own."""
    work = Work()
    if terms is not None:
        work = called = CalledWork()
        called.terms = terms
    work.payload = payload
    work.context = context
    work.variables = variables = copy_context()
    if traceparent is not None:
        variables.run(enter_traceparent, traceparent)
    return work


class CalledWork(Work):
    """Work that is sent to another node, where its handler says more to the caller than its answer."""

    __slots__ = ("terms",)

    terms: Terms
    is_call = True

    def __reduce__(self) -> tuple[Any, ...]:
        sent = self.payload, portable_context(self.context), current_traceparent(), self.terms
        return work_there, sent


def work_from_here(
    name: str, payload: Any, context: Mapping[str, Any] | None, system: Host
) -> Work:
    """Return *payload* as work for the agent *name* in *system*, with the context of this place.

    A payload that was put into `with_context` has brought its own. *context* is what the caller gives;
    inside a handler, what that found in its `agent_context` is handed on with it.
    """
    if type(payload) is Carried:
        variables = payload.variables.copy()
        payload = payload.message
    else:
        variables = copy_context()
    if CONTEXT in variables and (handling := variables[CONTEXT]) is not None:
        context = handling.hand_on(name, context)
    if current_host not in variables or variables[current_host] is not system:
        variables.run(current_host.set, system)
    work = Work()
    work.payload = payload
    work.context = context
    work.variables = variables
    return work


class AgentRequest(Request):
    """An awaitable for an agent's answer. See `Agent.ask` for what it raises."""

    __slots__ = ("_side", "agent")

    agent: Named
    _side: CallerSide | None

    # To an agent on another node; on the loop's thread.

    def as_sent(self) -> Work:
        """Return the work as it goes to another node, and be ready for what its handler says."""
        work: Work = self.message
        target: Any = self._target
        self._side = None
        spec = getattr(self.agent, "model_spec", None)
        if spec is None and work.context is None and work.variables.get(METER) is None:
            return work  # nothing of it is with the caller
        side = CallerSide(self.agent.name, spec, work.context, work.variables, target.system)
        terms = side.terms()
        if terms is None:
            return work
        self._side = side
        sent = CalledWork()
        sent.payload, sent.context, sent.variables = work.payload, work.context, work.variables
        sent.terms = terms
        return sent

    def noted(self, word: Any, error: BaseException | None, remark: Any) -> None:
        """Do what its handler on another node says."""
        if self._side is not None and self._state == PENDING:
            self._side.noted(word, error, remark)

    def as_received(self, answer: Any) -> Any:
        """Return the *answer* of its handler on another node as one of this node would give it."""
        return answer if self._side is None else self._side.answer(answer)

    def call_over(self) -> None:
        """Its handler on another node says nothing more."""
        side, self._side = self._side, None
        if side is not None:
            side.over()

    def _exception(self) -> BaseException:
        error: BaseException = super()._exception()
        name = self.agent.name
        if self._state == ABANDONED and is_a(error, CallingSelf):
            return error  # it was this request that closed the circle
        expected = self._is_expected(error)
        if is_a(error, RequestTimeout) and not expected:
            return AgentTimeout(name, error.timeout_s or 0.0)
        if is_a(error, AgentError) and error.agent == name:
            return error
        if is_a(error, ActorDied) and not expected:
            reason = error.reason
            home: Any = self._target
            rests = is_a(reason, CoolingDown)
            if (rests or home.closed is not None) and error.ref is home:
                return AgentStopped(name, reason)
            if is_a(reason, StartFailed):
                reason = reason.reason
            failed = AgentFailed(name, reason)
            if is_a(reason, BaseException):
                failed.__cause__ = reason
            return failed
        if is_a(error, asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            return error
        failed = AgentFailed(name, error, expected=expected)
        failed.__cause__ = error
        return failed

    def _is_expected(self, error: BaseException) -> bool:
        """Tell whether the agent expects *error*, and it is not about its own end, or its lateness."""
        home: Any = self._target
        about: Any = None
        if is_a(error, RequestTimeout):
            about = error.target
        elif is_a(error, ActorDied):
            about = error.ref
        own = about is home or getattr(about, "name", None) == home.name
        return not own and home.expects(error)

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
