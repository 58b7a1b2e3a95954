"""An agent's handler in a child process: what goes there, and how it is called there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from ..dispatch.process_child import call_work, complete
from .agent_context import enter_agent_context


def agent_work(agent: str, handler: Any, payload: Any, context: Any) -> bytes:
    """Return the call of an agent's handler, pickled. Raises `NotPicklable`."""
    return call_work(
        call_handler,
        {
            f"The handler of agent {agent!r}": handler,
            f"The payload for agent {agent!r}": payload,
            f"The context of a message to agent {agent!r}": None
            if context is None
            else dict(context),
        },
    )


def call_handler(
    handler: Callable[[Any], Any], payload: Any, context: Mapping[str, Any] | None
) -> Any:
    """Return the result of an agent's *handler*, which finds *context* in `agent_context()`."""

    def handle() -> Any:
        enter_agent_context(context)
        return complete(handler(payload))

    return Context().run(handle)
