"""Spans exported through OpenTelemetry, where it is installed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import agent_context
from agenticaiframework.patterns.engine import WorkflowFailed

from .conftest import engine, steps

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture(scope="module")
def exported() -> InMemorySpanExporter:
    # OpenTelemetry takes one provider a process, so the module shares it.
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def test_spans_are_exported_under_the_callers_own_span(exported: InMemorySpanExporter) -> None:
    exported.clear()
    seen: list[Any] = []

    async def work(payload: Any) -> str:
        seen.append(dict(agent_context()))
        return "x"

    async def main() -> list[Any]:
        async with engine(enable_tracing=True) as e:
            e.register_agent("w", work)
            with trace.get_tracer("test").start_as_current_span("request"):
                flow = steps({"id": "s", "agent": "w"}, {"id": "n", "workflow": steps("w")})
                await e.execute(workflow=flow)
            return e.trace()

    ours = asyncio.run(main())
    spans = {span.name: span for span in exported.get_finished_spans()}
    outer = spans["request"]
    inner = [s for s in exported.get_finished_spans() if s.name == "invoke_workflow test"]
    assert len(inner) == 2
    trace_id = outer.get_span_context().trace_id
    assert {s.context.trace_id for s in exported.get_finished_spans()} == {trace_id}
    assert {span.trace_id for span in ours} == {f"{trace_id:032x}"}
    roots = [s for s in inner if s.parent.span_id == outer.get_span_context().span_id]
    assert len(roots) == 1
    agent = spans["invoke_agent work"]
    assert agent.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert seen[0]["traceparent"].split("-")[1] == f"{trace_id:032x}"


def test_failures_are_exported_as_errors(exported: InMemorySpanExporter) -> None:
    exported.clear()

    async def fail(payload: Any) -> None:
        raise ValueError("broken")

    async def main() -> None:
        async with engine(enable_tracing=True) as e:
            with pytest.raises(WorkflowFailed):
                await e.execute(workflow=steps({"id": "s", "agent": fail}))

    asyncio.run(main())
    for span in exported.get_finished_spans():
        assert span.status.status_code.name == "ERROR"
        assert span.attributes["error.type"]
