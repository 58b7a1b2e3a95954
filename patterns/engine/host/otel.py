"""Spans handed to OpenTelemetry, where its API is installed (extra ``otel``)."""

from __future__ import annotations

from contextvars import Context
from copy import copy
from typing import Any

from agenticaiframework.actors import TRACE_CONTENT, make_current, text_of

from .tracing import Span


class OtelExporter:
    """Mirrors our spans as OpenTelemetry's, under the caller's own trace if it has one.

    What a handler finds as ``traceparent`` is what the backend shows: OpenTelemetry's SDK is given our
    ids. A tracer of another kind makes its own, which become ours; what is cut off with its process has
    others then in the process that goes on.
    """

    def __init__(self, content: bool = False) -> None:
        from opentelemetry import trace

        self._content = content
        self._trace = trace

    def begin(self, span: Span, parent: Span | None, outside: Any) -> None:
        """Start OpenTelemetry's span for *span*."""
        trace = self._trace
        context = outside
        if parent is not None and parent.exported is not None:
            context = trace.set_span_in_context(parent.exported)
        exported = self._tracer_for(span).start_span(
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

    def _tracer_for(self, span: Span) -> Any:
        """Return a tracer that gives its next span the ids of *span*, if it can be told to."""
        tracer: Any = self._trace.get_tracer("agenticaiframework")
        if not hasattr(tracer, "id_generator"):
            return tracer
        tracer = copy(tracer)  # no other span is to get these ids
        tracer.id_generator = _TheseIds(span)
        return tracer

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
        copy.run(make_current, lambda here: self._trace.set_span_in_context(exported, here))
        if self._content:
            copy.run(TRACE_CONTENT.set, True)
        return copy


class _TheseIds:
    """Gives the ids of one span, as the SDK's `IdGenerator` does."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def generate_trace_id(self) -> int:
        """Return the trace id, if no span is the parent."""
        return int(self._span.trace_id, 16)

    def generate_span_id(self) -> int:
        """Return the span id."""
        return int(self._span.span_id, 16)

    def is_trace_id_random(self) -> bool:
        """Tell whether the trace id is random, as W3C's flag says: it may be another process's."""
        return False


def current_context() -> Any:
    """Return OpenTelemetry's context of the calling code, or None without OpenTelemetry."""
    try:
        from opentelemetry import context
    except ImportError:
        return None
    return context.get_current()


def make_exporter(content: bool = False) -> OtelExporter | None:
    """Return an exporter where OpenTelemetry's API is installed, else None.

    With *content* the spans of model agents hold what is said in their conversations.
    """
    try:
        return OtelExporter(content)
    except ImportError:
        return None


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, bool, int, float)) else text_of(value)
