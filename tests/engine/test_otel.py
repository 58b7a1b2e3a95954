"""Spans exported through OpenTelemetry, where it is installed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, agent_context
from agenticaiframework.patterns import SequentialOrchestration
from agenticaiframework.patterns.engine import WorkflowFailed

from .conftest import engine, steps

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def test_spans_are_exported_under_the_callers_own_span(exported: InMemorySpanExporter) -> None:
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


def parents(exported: InMemorySpanExporter) -> dict[str, str | None]:
    """Return the name of each span's parent, by the span's name."""
    spans = exported.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    return {
        span.name: None if span.parent is None else names.get(span.parent.span_id, "elsewhere")
        for span in spans
    }


@pytest.mark.parametrize("traced", [False, True], ids=["plain engine", "traced engine"])
def test_a_span_made_in_a_handler_is_a_child_of_its_callers(
    exported: InMemorySpanExporter, traced: bool
) -> None:
    tracer = trace.get_tracer("test")

    def spans(name: str) -> Any:
        async def work(payload: Any) -> Any:
            with tracer.start_as_current_span(f"in {name}"):
                return await asyncio.sleep(0, payload)

        return work

    def plain(payload: Any) -> Any:
        with tracer.start_as_current_span("in plain"):
            return payload

    inner = Agent("inner", handler=spans("inner"))

    async def nested(payload: Any) -> Any:
        with tracer.start_as_current_span("in nested"):
            return await inner.ask(payload)

    agent, in_thread = Agent("agent", handler=nested), Agent("in a thread", handler=plain)
    pattern = SequentialOrchestration(name="p", steps=[spans("pattern")])
    flow = steps(
        {"id": "a", "agent": Agent("agent of a step", handler=spans("step"))},
        {"id": "f", "agent": spans("function")},
        {"id": "p", "agent": SequentialOrchestration(name="q", steps=[spans("pattern in step")])},
        {"id": "w", "workflow": steps({"id": "a", "agent": spans("nested workflow")})},
    )

    async def main() -> None:
        async with engine(enable_tracing=traced) as e:
            with tracer.start_as_current_span("request"):
                await agent.ask("x")
                await in_thread.ask("x")
                await pattern.execute("x")
                run_id = await e.start_workflow(workflow=flow)
            await e.wait(run_id)

    asyncio.run(main())
    found = parents(exported)
    assert found["in nested"] == found["in plain"] == found["in pattern"] == "request"
    assert found["in inner"] == "in nested"
    in_steps = ["in step", "in function", "in pattern in step", "in nested workflow"]
    if traced:
        assert found["in step"] == "invoke_agent agent of a step"
        assert all(str(found[name]).startswith("invoke_agent") for name in in_steps)
    else:
        assert [found[name] for name in in_steps] == ["request"] * 4
    [trace_id] = {span.context.trace_id for span in exported.get_finished_spans()}
    assert trace_id


@pytest.mark.parametrize("traced", [False, True], ids=["plain engine", "traced engine"])
def test_after_a_recovery_the_trace_goes_on_where_it_was(
    exported: InMemorySpanExporter, tmp_path: Path, traced: bool
) -> None:
    tracer = trace.get_tracer("test")
    seen: list[Any] = []

    async def work(payload: Any) -> None:
        seen.append(agent_context()["traceparent"])
        with tracer.start_as_current_span("in work"):
            pass

    agent = Agent("work", handler=work)

    def opened() -> Any:
        found = engine(store_url=f"sqlite:///{tmp_path}/runs.db", enable_tracing=traced)
        found.register_agent("work", agent)
        return found

    async def first() -> None:
        async with ActorSystem("first"), opened() as e:
            with tracer.start_as_current_span("request"):
                await e.start_workflow(
                    workflow=steps({"id": "w", "wait_for": "go"}, "work"),
                    workflow_id="run",
                    persist_state=True,
                )
            while (await e.get_workflow_status("run")).state != "waiting":
                await asyncio.sleep(0.001)

    async def second() -> None:
        async with ActorSystem("second"), opened() as e:
            await e.recover()
            await e.signal_workflow("run", "go")
            await e.wait("run")

    asyncio.run(first())
    asyncio.run(second())
    spans = exported.get_finished_spans()
    request = next(span for span in spans if span.name == "request")
    assert {span.context.trace_id for span in spans} == {request.context.trace_id}
    assert seen[0].split("-")[1] == f"{request.context.trace_id:032x}"
    found = parents(exported)
    assert found["in work"] == ("invoke_agent work" if traced else "request")


def test_a_traceparent_that_came_with_a_request_is_the_parent_of_the_run(
    exported: InMemorySpanExporter,
) -> None:
    header = f"00-{'a' * 32}-{'b' * 16}-01"

    async def main() -> Any:
        async with engine(enable_tracing=True) as e:
            await e.execute(
                workflow=steps({"id": "s", "agent": echo}), context={"traceparent": header}
            )
            return e.trace()

    async def echo(payload: Any) -> Any:
        return payload

    root = asyncio.run(main())[0]
    assert (root.trace_id, root.parent_id) == ("a" * 32, "b" * 16)
    spans = exported.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in spans} == {"a" * 32}
