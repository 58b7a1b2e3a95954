"""pydantic-ai's own spans, where OpenTelemetry is set up: children of the caller's span.

The caller's context variables go with every ask, and with them the span that is current there: that
of the attempt in a workflow, or the caller's own. What is said in a conversation stands in the spans
only where that is asked for.
"""

from __future__ import annotations

from typing import Any

from pydantic_ai.capabilities import AbstractCapability, Instrumentation
from pydantic_ai.models.instrumented import InstrumentationSettings

from agenticaiframework.actors import TRACE_CONTENT, ModelSpec

from .tracing import tracer_provider

_made: dict[bool, tuple[Any, InstrumentationSettings]] = {}
"""The settings without and with content, for the provider of spans that they were made for."""


def instrumentation(spec: ModelSpec) -> list[AbstractCapability[Any]]:
    """Return what makes the spans of a run of *spec*'s agent; nothing where they would go nowhere."""
    provider = tracer_provider()
    if provider is None or getattr(spec.wrapped, "instrument", None):
        return []
    content = spec.trace_content or TRACE_CONTENT.get()
    made = _made.get(content)
    if made is None or made[0] is not provider:
        settings = InstrumentationSettings(
            include_content=content,
            include_binary_content=content,
            include_model_request_parameters=content,
        )
        made = _made[content] = (provider, settings)
    return [Instrumentation(made[1])]


__all__ = ["instrumentation"]
