"""What came of a request to an agent of another library."""

from __future__ import annotations

from typing import Any

from agenticaiframework.actors import (
    WHOLE_RESULT,
    AgentResult,
    Usage,
    agent_context,
    current_meter,
)


def whole(output: Any, usage: Usage) -> Any:
    """Count *usage*, and return *output* as the answer: as a result, where one is asked for."""
    meter = current_meter()
    if meter is not None:
        meter.spend(usage)
    return AgentResult(output, usage) if WHOLE_RESULT in agent_context() else output
