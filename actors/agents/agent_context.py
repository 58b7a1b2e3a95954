"""What comes with a message to an agent, beside its payload: found by the handler in `agent_context`."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

NOTHING: Final[Mapping[str, Any]] = {}

CONTEXT: Final[ContextVar[Mapping[str, Any]]] = ContextVar("agenticaiframework_agent_context")
"""The variable itself, for the path of every message to an agent."""


def agent_context() -> Mapping[str, Any]:
    """Return what came with the message that the running handler handles (idempotency key, ...)."""
    return CONTEXT.get(NOTHING)


def enter_agent_context(context: Mapping[str, Any] | None) -> None:
    """Let `agent_context` return *context* for the rest of the handler that calls this."""
    CONTEXT.set(NOTHING if context is None else context)
