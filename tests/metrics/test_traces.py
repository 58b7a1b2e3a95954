"""One trace from a request through all that it asks, in threads and processes and over a recovery."""

from __future__ import annotations

import asyncio
import gc
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agenticaiframework.actors import Actor, ActorSystem, Agent, AgentFailed, current_traceparent
from agenticaiframework.metrics import measure, trace_agents
from agenticaiframework.patterns import ParallelOrchestration, SequentialOrchestration
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.teams import AgentTeam

from .conftest import Gate, until
from .in_child import where


def request() -> Any:
    """Return a span as a server makes one for a request."""
    return trace.get_tracer("server").start_as_current_span("POST /ask")


def tree(exported: InMemorySpanExporter) -> str:
    """Return the spans as a tree, those of one parent in the order in which they began."""
    spans: Any = sorted(exported.get_finished_spans(), key=lambda span: span.start_time)
    known = {span.context.span_id for span in spans}

    def lines(parent: int | None, depth: int) -> list[str]:
        said: list[str] = []
        for span in spans:
            above = span.parent.span_id if span.parent and span.parent.span_id in known else None
            if above == parent:
                said.append("  " * depth + span.name)
                said += lines(span.context.span_id, depth + 1)
        return said

    return "\n".join(lines(None, 0))


def traces(exported: InMemorySpanExporter) -> int:
    return len({span.context.trace_id for span in exported.get_finished_spans() if span.context})


async def echo(payload: Any) -> Any:
    return payload


def test_agents_that_ask_agents_are_one_trace_on_every_dispatcher(
    exported: InMemorySpanExporter,
) -> None:
    inner = Agent("inner", handler=echo)
    in_thread = Agent("in a thread", handler=lambda payload: payload, dispatcher="thread")
    pinned = Agent("pinned", handler=lambda payload: payload, dispatcher="pinned")
    in_child = Agent("in a child", handler=where, dispatcher="process")
    many = Agent("many", handler=inner.ask, concurrency=4)

    async def desk(payload: Any) -> Any:
        await many.ask(payload)
        await in_thread.ask(payload)
        await pinned.ask(payload)
        return await in_child.ask(payload)

    async def main() -> Any:
        async with ActorSystem() as system:
            trace_agents(system)
            with request():
                return await Agent("desk", handler=desk).ask("x")

    _, seen_in_child = asyncio.run(main())
    assert tree(exported) == (
        "POST /ask\n"
        "  invoke_agent desk\n"
        "    invoke_agent many\n"
        "      invoke_agent inner\n"
        "    invoke_agent in a thread\n"
        "    invoke_agent pinned\n"
        "    invoke_agent in a child"
    )
    assert traces(exported) == 1
    spans: Any = {span.name: span for span in exported.get_finished_spans()}
    ids = spans["invoke_agent in a child"].context
    assert seen_in_child.startswith(f"00-{ids.trace_id:032x}-{ids.span_id:016x}-")


def test_patterns_teams_workflows_models_and_tools_hang_in_it(
    exported: InMemorySpanExporter,
) -> None:
    pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.test import TestModel

    async def look_up(word: str) -> str:
        """Look a word up."""
        return word

    analyst = Agent("analyst", model=TestModel(custom_output_text="so"), tools=[look_up])
    writer, reader = Agent("writer", handler=echo), Agent("reader", handler=echo)
    pattern = SequentialOrchestration(
        name="report",
        steps=[writer, ParallelOrchestration(name="both", branches=[reader, writer])],
    )
    team = AgentTeam("desk", roles=[{"name": "author"}])
    team.assign_agent(writer, role="author")
    flow = {"name": "flow", "steps": [{"id": "ask", "agent": analyst, "input": "why"}]}

    async def front(payload: Any) -> Any:
        await pattern.execute(payload)
        await team.ask(payload)
        return await engine.execute(flow, payload)

    engine = OrchestrationEngine(EngineConfig(enable_tracing=True))

    async def main() -> None:
        async with ActorSystem() as system, engine:
            trace_agents(system)
            with request():
                await Agent("front", handler=front).ask("x")

    asyncio.run(main())
    assert tree(exported) == (
        "POST /ask\n"
        "  invoke_agent front\n"
        "    invoke_workflow report\n"
        "      invoke_agent writer\n"
        "      invoke_workflow both\n"
        "        invoke_agent reader\n"
        "        invoke_agent writer\n"
        "    invoke_workflow desk\n"
        "      invoke_agent writer\n"
        "    invoke_workflow flow\n"
        "      invoke_agent analyst\n"
        "        invoke_agent analyst\n"
        "          chat test\n"
        "          execute_tool look_up\n"
        "          chat test"
    )
    assert traces(exported) == 1


def test_it_goes_on_after_a_recovery(exported: InMemorySpanExporter, tmp_path: Path) -> None:
    inner = Agent("inner", handler=echo)
    flow = {
        "name": "flow",
        "steps": [{"id": "w", "wait_for": "go"}, {"id": "a", "agent": "outer", "input": "x"}],
    }

    def engine() -> OrchestrationEngine:
        config = EngineConfig(store_url=f"sqlite:///{tmp_path}/runs.db", enable_tracing=True)
        made = OrchestrationEngine(config)
        made.register_agent("outer", Agent("outer", handler=inner.ask))
        made.register_workflow("flow", flow)
        return made

    async def first() -> None:
        async with ActorSystem() as system, engine() as e:
            trace_agents(system)
            with request():
                await e.start_workflow("flow", 1, workflow_id="run", persist_state=True)

    async def second() -> None:
        async with ActorSystem() as system, engine() as e:
            trace_agents(system)
            await e.recover()
            await e.signal_workflow("run", "go")
            await e.wait("run")

    asyncio.run(first())
    asyncio.run(second())
    assert traces(exported) == 1
    assert "invoke_agent outer\n" in tree(exported)
    assert tree(exported).endswith("invoke_agent inner")


def test_a_system_in_another_thread_is_in_the_trace(exported: InMemorySpanExporter) -> None:
    agent = Agent("far", handler=echo)
    with ActorSystem.in_background() as system:
        trace_agents(system)
        with request():
            done = agent.request("x", system=system)

            async def wait() -> Any:
                return await done

            asyncio.run(wait())
    assert tree(exported).startswith("POST /ask\n  invoke_agent far")


def test_errors_and_cancellations_end_their_spans(exported: InMemorySpanExporter) -> None:
    gate = Gate()

    async def fail(payload: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    async def main() -> None:
        async with ActorSystem() as system:
            trace_agents(system)
            with pytest.raises(AgentFailed):
                await Agent("bad", handler=fail).ask(1)
            ask = asyncio.create_task(Agent("slow", handler=gate.handle).ask(1))
            await until(lambda: gate.entered)
            ask.cancel()
            await until(lambda: len(exported.get_finished_spans()) == 2)

    asyncio.run(main())
    spans: Any = {span.name: span for span in exported.get_finished_spans()}
    bad, slow = spans["invoke_agent bad"], spans["invoke_agent slow"]
    assert bad.attributes["error.type"] == "ValueError"
    assert bad.status.status_code.name == "ERROR"
    assert bad.events[0].name == "exception"
    assert slow.attributes["error.type"] == "CancelledError"


def test_one_message_does_not_inherit_the_span_of_the_one_before(
    exported: InMemorySpanExporter,
) -> None:
    inner = Agent("inner", handler=echo)
    agent = Agent("agent", handler=inner.ask)

    async def main() -> None:
        async with ActorSystem() as system:
            trace_agents(system)
            for _ in range(3):
                await agent.ask(1)

    asyncio.run(main())
    assert traces(exported) == 3
    assert tree(exported) == "\n".join(["invoke_agent agent\n  invoke_agent inner"] * 3)


def test_plain_actors_have_no_spans_and_stopping_ends_all(exported: InMemorySpanExporter) -> None:
    class Sink(Actor):
        def on_receive(self, message: Any) -> str | None:
            return current_traceparent()

    async def main() -> None:
        async with ActorSystem() as system:
            measure(system)
            stop = trace_agents(system)
            assert await system.start(Sink).request(1) is None
            await Agent("agent", handler=echo).ask(1)
            stop()
            await Agent("agent", handler=echo).ask(1)

    asyncio.run(main())
    assert tree(exported) == "invoke_agent agent"


def test_spans_go_to_the_provider_that_is_given(exported: InMemorySpanExporter) -> None:
    own = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(own))

    async def main() -> None:
        async with ActorSystem() as system:
            trace_agents(system, provider)
            await Agent("agent", handler=echo).ask(1)

    asyncio.run(main())
    assert tree(own) == "invoke_agent agent"
    assert tree(exported) == ""


def test_a_handler_that_never_begins_warns_of_nothing() -> None:
    """A coroutine that is wrapped and never awaited is closed, and its end is told."""
    from agenticaiframework.actors.kernel.handler_watch import _awaited, _Held

    ended: list[BaseException | None] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _awaited(_Held(echo(1), ended.append)).close()
        gc.collect()
    assert [type(error) for error in ended] == [GeneratorExit]
