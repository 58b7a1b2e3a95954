"""pydantic-ai's spans hang below those of who asks, and hold no content unless that is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai.models.test import TestModel


async def look(x: int) -> str:
    """Look something up."""
    return "a secret"


def tree(exported: InMemorySpanExporter) -> list[tuple[str, str | None]]:
    """Return the spans with the names of their parents, in the order in which they ended."""
    spans: Any = exported.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    return [
        (span.name, None if span.parent is None else names.get(span.parent.span_id))
        for span in spans
    ]


def told(exported: InMemorySpanExporter) -> str:
    return " ".join(str(dict(span.attributes or {})) for span in exported.get_finished_spans())


def agent(**options: Any) -> Agent:
    return Agent(
        "analyst", model=TestModel(custom_output_text="the answer"), tools=[look], **options
    )


def test_an_ask_has_a_span_under_the_callers(exported: InMemorySpanExporter) -> None:
    analyst = agent()

    async def main() -> None:
        async with ActorSystem():
            with trace.get_tracer("test").start_as_current_span("request"):
                await analyst.ask("a question")

    asyncio.run(main())
    found = tree(exported)
    assert ("invoke_agent analyst", "request") in found
    assert ("chat test", "invoke_agent analyst") in found
    assert ("execute_tool look", "invoke_agent analyst") in found or (
        "execute_tool look",
        "running 1 tool",
    ) in found
    spans: Any = exported.get_finished_spans()
    assert len({span.context.trace_id for span in spans}) == 1
    assert "secret" not in told(exported)
    assert "a question" not in told(exported)
    assert "gen_ai.usage.input_tokens" in told(exported)


def test_an_ask_from_a_thread_is_in_its_trace(exported: InMemorySpanExporter) -> None:
    analyst = agent()

    async def main() -> None:
        async with ActorSystem() as system:

            def request_in_thread() -> Any:
                with trace.get_tracer("test").start_as_current_span("thread"):
                    return analyst.request("x", system=system)

            await (await asyncio.to_thread(request_in_thread))

    asyncio.run(main())
    assert ("invoke_agent analyst", "thread") in tree(exported)


def test_content_is_there_when_the_agent_asks_for_it(exported: InMemorySpanExporter) -> None:
    analyst = agent(trace_content=True)

    async def main() -> None:
        async with ActorSystem():
            await analyst.ask("a question")

    asyncio.run(main())
    assert "a question" in told(exported)
    assert "a secret" in told(exported)


@pytest.mark.parametrize("content", [False, True])
def test_in_a_workflow_they_are_children_of_the_attempt(
    exported: InMemorySpanExporter, content: bool
) -> None:
    analyst = agent()
    workflow = {"name": "w", "steps": [{"id": "a", "agent": analyst}]}

    async def main() -> None:
        async with ActorSystem():
            config = EngineConfig(enable_tracing=True, trace_content=content)
            await OrchestrationEngine(config).execute(workflow, "a question")

    asyncio.run(main())
    spans: Any = exported.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans}
    chat = next(span for span in spans if span.name == "chat test")
    path: list[str] = []
    span: Any = chat
    while span is not None:
        path.append(span.name)
        span = None if span.parent is None else by_id.get(span.parent.span_id)
    assert path[1:] == ["invoke_agent analyst", "invoke_agent analyst", "invoke_workflow w"] or (
        path[-1] == "invoke_workflow w" and path.count("invoke_agent analyst") == 2
    )
    assert ("a question" in told(exported)) is content
    outer = next(span for span in spans if span.name == "invoke_workflow w")
    assert outer.attributes["agenticaiframework.usage.requests"] == 2
    assert outer.attributes["gen_ai.aggregated_usage.input_tokens"] == sum(
        each.attributes["gen_ai.usage.input_tokens"] for each in spans if each.name == "chat test"
    )
