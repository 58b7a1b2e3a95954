"""pydantic-ai's history processors, as an agent's `History` names them."""

from __future__ import annotations

from typing import Any

from pydantic_ai.capabilities import AbstractCapability, ProcessHistory

from agenticaiframework.actors import ModelSpec

from .history import as_history

__all__ = ["history_processing"]


def history_processing(spec: ModelSpec) -> list[AbstractCapability[Any]]:
    """Return the processors of *spec* as capabilities: those that are ones already are taken as they are."""
    history = as_history(spec.agent, spec.history)
    given = () if history is None else history.processors
    return [
        each if isinstance(each, AbstractCapability) else ProcessHistory(each) for each in given
    ]
