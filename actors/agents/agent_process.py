"""An agent's handler in a child process: what goes there, and how it is called there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from ..dispatch.process_child import NotPicklable, call_work, complete, is_picklable
from .agent_context import enter_agent_context
from .trace_parent import current_traceparent, enter_traceparent


def agent_work(agent: str, handler: Any, payload: Any, context: Any) -> bytes:
    """Return the call of an agent's handler, pickled, in the context of the message.

    Raises `NotPicklable`.

    Of *context* goes what can be pickled: some of it comes from handlers around the asker, which could
    not know that it would have to be.
    """
    parts = {
        f"The handler of agent {agent!r}": handler,
        f"The payload for agent {agent!r}": payload,
        "context": None if context is None else dict(context),
        "traceparent": current_traceparent(),
    }
    try:
        return call_work(call_handler, parts)
    except NotPicklable:
        if context is None:
            raise
    parts["context"] = {key: value for key, value in context.items() if is_picklable(value)}
    return call_work(call_handler, parts)


def call_handler(
    handler: Callable[[Any], Any],
    payload: Any,
    context: Mapping[str, Any] | None,
    traceparent: str | None,
) -> Any:
    """Return the result of an agent's *handler*, which finds *context* in `agent_context()`.

    The span *traceparent* is the current one in it, where the child uses OpenTelemetry.
    """

    def handle() -> Any:
        enter_agent_context(context)
        if traceparent is not None:
            enter_traceparent(traceparent)
        return complete(handler(payload))

    return Context().run(handle)
