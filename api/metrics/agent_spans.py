"""Spans for what runs outside of workflows: each message to an agent, each pattern and each piece of a team's
work (extra ``otel``).

An engine makes the spans of its runs and attempts itself, and pydantic-ai those of requests to models and of
tools. These hang between them: with the caller's context variables goes the span that is current there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import (
    ActorRef,
    ActorSystem,
    MissingExtra,
    agent_name_of,
    hands_on,
    message_of,
    watch_handlers,
)
from agenticaiframework.patterns import coordinated_by

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider


def trace_agents(
    system: ActorSystem, tracer_provider: TracerProvider | None = None
) -> Callable[[], None]:
    """Make a span for each message that an agent in *system* handles, for each pattern and each piece of a
    team's work; returns a function that ends it.

    A span is a child of the one that is current where the agent is asked, in any thread, and the parent of
    what its handler makes; where the handler runs in a child process, the trace goes on there if the child
    uses OpenTelemetry. An attempt of a workflow whose engine traces has its span already, and no second one.
    They go to *tracer_provider*, or to the program's. Raises `MissingExtra`.
    """
    try:
        from opentelemetry import trace
    except ImportError:
        raise MissingExtra("Traces", "otel") from None
    tracer = trace.get_tracer("agenticaiframework", tracer_provider=tracer_provider)
    watch = partial(_watch, tracer)
    scheduler = system.scheduler
    ends: list[Callable[[], None]] = []

    def begin() -> None:
        watched = watch_handlers(scheduler, watch, each=True)
        if watched is not None:
            ends.append(watched[1])

    def stop() -> None:
        while ends:
            ends.pop()()

    scheduler.post_or_call(begin)

    def end() -> None:
        scheduler.post_or_call(stop)

    return end


def _watch(tracer: Tracer, ref: ActorRef[Any], _message: Any, _stands_for: int) -> Any:
    """Return what begins the span of a message to *ref*, if there is to be one."""
    agent = agent_name_of(ref)
    if agent is not None:
        return None if hands_on(ref) else partial(_begin, tracer, "invoke_agent", "agent", agent)
    kind = coordinated_by(ref)
    if kind is None:
        return None
    return partial(_begin, tracer, "invoke_workflow", kind, ref.circle_name or kind)


def _begin(tracer: Tracer, operation: str, kind: str, name: str) -> Any:
    from opentelemetry import context, trace

    span_name = f"{operation} {name}"
    if _is_attempt(trace.get_current_span(), span_name):
        return None
    named = "gen_ai.agent.name" if kind == "agent" else "gen_ai.workflow.name"
    attributes = {"gen_ai.operation.name": operation, named: name, "agenticaiframework.kind": kind}
    span = tracer.start_span(span_name, attributes=attributes)
    entered = trace.set_span_in_context(span)
    token = context.attach(entered)

    def end(error: BaseException | None) -> None:
        if error is not None:
            _fail(span, error)
        span.end()
        # A handler that was cut off may be closed in another context.
        if context.get_current() is entered:
            context.detach(token)

    return end


def _is_attempt(span: Span, name: str) -> bool:
    """Tell whether *span* is that of the attempt at a step which asks this agent."""
    attributes: Any = getattr(span, "attributes", None) or {}
    return getattr(span, "name", None) == name and "workflow.attempt" in attributes


def _fail(span: Span, error: BaseException) -> None:
    from opentelemetry import trace

    text = f"{type(error).__name__}: {message_of(error)}"
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(trace.Status(trace.StatusCode.ERROR, text))
    if isinstance(error, Exception):
        span.record_exception(error)


__all__ = ["trace_agents"]
