"""The span that is current here, as a W3C ``traceparent``: how a trace goes on in another process.

Within a process the caller's context variables go with every ask, and the current span with them. A message
that leaves the process takes this text along. A program that has not imported OpenTelemetry pays a look into a
dictionary.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def tracing_in_use() -> bool:
    """Tell whether the program uses OpenTelemetry: one that has not imported it is in no span of it."""
    return "opentelemetry.trace" in sys.modules


def current_traceparent() -> str | None:
    """Return the W3C ``traceparent`` of the calling code's span, None if it is in none."""
    if not tracing_in_use():
        return None
    from opentelemetry import trace

    ids = trace.get_current_span().get_span_context()
    if not ids.is_valid:
        return None
    return f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{int(ids.trace_flags):02x}"


def enter_traceparent(traceparent: Any) -> None:
    """Let the span *traceparent* of another process be the current one from here on, in a program that
    uses OpenTelemetry."""
    if not tracing_in_use():
        return
    from opentelemetry.trace.propagation import tracecontext

    propagator = tracecontext.TraceContextTextMapPropagator()
    make_current(lambda here: propagator.extract({"traceparent": str(traceparent)}, here))


def make_current(change: Callable[[Any], Any]) -> None:
    """Let what *change* returns of OpenTelemetry's current context be the current one from here on."""
    from opentelemetry import context

    context.attach(change(context.get_current()))


__all__ = ["current_traceparent", "enter_traceparent", "make_current", "tracing_in_use"]
