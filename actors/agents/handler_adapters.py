"""Objects of other libraries as handlers: what reads them is installed by the layer above."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class AdaptedHandler:
    """How an object that is not a plain function answers payloads.

    Either *handler* is a function that does, or *wrapped* is an agent of the model library, which is
    asked as the agents with a model are. *waits* tells that it waits for a provider, so that it is
    asked 32 times at once and a provider's errors are expected, as with a model.
    """

    handler: Callable[..., Any] | None = None
    wrapped: Any = None
    waits: bool = True


HandlerAdapter: TypeAlias = Callable[[str, object], AdaptedHandler | None]
"""Given an agent's name and its handler; None for what it does not know. Raises
`AgentDefinitionError` for what it knows and cannot use, with the line that works."""

_adapter: HandlerAdapter | None = None


def set_handler_adapter(adapter: HandlerAdapter | None) -> HandlerAdapter | None:
    """Let *adapter* read handlers that are not functions from now on; return the one it replaces."""
    global _adapter
    previous, _adapter = _adapter, adapter
    return previous


def adapt_handler(name: str, handler: object) -> AdaptedHandler | None:
    """Return how *handler* is used, or None if it is to be called as it is."""
    return None if _adapter is None else _adapter(name, handler)


__all__ = ["AdaptedHandler", "HandlerAdapter", "adapt_handler", "set_handler_adapter"]
