"""Spans handed to OpenTelemetry, where its API is installed (extra ``otel``)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import Context
from typing import Any

from agenticaiframework.actors import text_of

from .tracing import Span


class OtelExporter:
    """Mirrors our spans as OpenTelemetry's, under the caller's own trace if it has one.

    Our ids become OpenTelemetry's when a real SDK is configured, so that what a handler finds as
    ``traceparent`` is what the backend shows.
    """

    def __init__(self) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._tracer = trace.get_tracer("agenticaiframework")

    def begin(self, span: Span, parent: Span | None, outside: Any) -> None:
        """Start OpenTelemetry's span for *span*."""
        trace = self._trace
        context = outside
        if parent is not None and parent.exported is not None:
            context = trace.set_span_in_context(parent.exported)
        exported = self._tracer.start_span(
            span.name,
            context=context,
            attributes={key: _plain(value) for key, value in span.attributes.items()},
            start_time=int(span.start * 1e9),
        )
        span.exported = exported
        ids = exported.get_span_context()
        if ids.is_valid and exported.is_recording():
            span.trace_id = f"{ids.trace_id:032x}"
            span.span_id = f"{ids.span_id:016x}"

    def end(self, span: Span, error: BaseException | str | None) -> None:
        """End OpenTelemetry's span for *span*."""
        exported: Any = span.exported
        if exported is None:
            return
        trace = self._trace
        for key, value in span.attributes.items():
            exported.set_attribute(key, _plain(value))
        if span.status == "error":
            exported.set_status(trace.Status(trace.StatusCode.ERROR, span.error or ""))
            if isinstance(error, BaseException):
                exported.record_exception(error)
                exported.set_attribute("error.type", type(error).__name__)
        exported.end(end_time=None if span.end is None else int(span.end * 1e9))
        span.exported = None

    def inside(self, span: Span, variables: Context | None) -> Context | None:
        """Return *variables* such that the spans which are made in them are children of *span*."""
        exported = span.exported
        if exported is None:
            return variables
        copy = Context() if variables is None else variables.copy()
        copy.run(_make_current, lambda here: self._trace.set_span_in_context(exported, here))
        return copy


def in_use() -> bool:
    """Tell whether the program uses OpenTelemetry: one that has not imported it is in no span of it."""
    return "opentelemetry.trace" in sys.modules


def current_traceparent() -> str | None:
    """Return the W3C ``traceparent`` of the calling code's span, None if it is in none."""
    if not in_use():
        return None
    from opentelemetry import trace

    ids = trace.get_current_span().get_span_context()
    if not ids.is_valid:
        return None
    return f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{int(ids.trace_flags):02x}"


def enter_traceparent(traceparent: Any) -> None:
    """Let the span *traceparent* of another process be the current one from here on, in a program that
    uses OpenTelemetry."""
    if not in_use():
        return
    from opentelemetry.trace.propagation import tracecontext

    propagator = tracecontext.TraceContextTextMapPropagator()
    _make_current(lambda here: propagator.extract({"traceparent": str(traceparent)}, here))


def _make_current(change: Callable[[Any], Any]) -> None:
    from opentelemetry import context

    context.attach(change(context.get_current()))


def current_context() -> Any:
    """Return OpenTelemetry's context of the calling code, or None without OpenTelemetry."""
    try:
        from opentelemetry import context
    except ImportError:
        return None
    return context.get_current()


def make_exporter() -> OtelExporter | None:
    """Return an exporter where OpenTelemetry's API is installed, else None."""
    try:
        return OtelExporter()
    except ImportError:
        return None


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, bool, int, float)) else text_of(value)
