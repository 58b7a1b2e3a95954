"""Model agents in workflows: typed answers in code, texts of streams, questions that are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

pytest.importorskip("pydantic_ai")

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, agent_context, send_chunk
from agenticaiframework.models import tool
from agenticaiframework.orchestration import WorkflowRun, workflow
from agenticaiframework.patterns import SequentialOrchestration
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowEnded,
    WorkflowFailed,
)
from agenticaiframework.patterns.expressions.errors import ExpressionError
from agenticaiframework.testing import scripted_model


class Report(BaseModel):
    title: str
    score: int = 0


class Refused(BaseModel):
    why: str


def make_engine(folder: Path, stored: bool) -> OrchestrationEngine:
    if not stored:
        return OrchestrationEngine()
    url = f"sqlite:///{folder}/runs.sqlite"
    return OrchestrationEngine(EngineConfig(persist_state=True, state_store=url))


@pytest.fixture(params=[False, True], ids=["memory", "stored"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> OrchestrationEngine:
    return make_engine(tmp_path, request.param)


def run(main: Callable[[], Awaitable[Any]], engine: OrchestrationEngine) -> Any:
    async def inside() -> Any:
        async with ActorSystem("test"), engine, asyncio.timeout(60):
            return await main()

    return asyncio.run(inside())


ANSWERS: list[tuple[Any, Any, Any]] = [
    (Report, {"title": "Rivers"}, Report(title="Rivers")),
    (list[Report], [{"title": "a"}], [Report(title="a")]),
    (Report | None, None, None),
    ([Report, Refused], {"why": "no"}, Refused(why="no")),
    (dict[str, Report], {"a": {"title": "x"}}, {"a": Report(title="x")}),
    (Literal["yes", "no"], "yes", "yes"),
    (None, "free text", "free text"),
]


@pytest.mark.parametrize(("output", "said", "answer"), ANSWERS)
def test_code_gets_the_answer_of_a_typed_agent_as_its_type(
    engine: OrchestrationEngine, output: Any, said: Any, answer: Any
) -> None:
    analyst = Agent("analyst", model="scripted", output_type=output)
    got: list[Any] = []

    @workflow(name="ask_once")
    async def ask_once(run: WorkflowRun, topic: str) -> str:
        got.append(await run.ask(analyst, topic))
        return "done"

    with scripted_model(lambda agent, payload: said):
        run(lambda: engine.execute(ask_once, "rivers"), engine)
    assert got == [answer]
    assert type(got[0]) is type(answer)


def test_what_was_stored_and_read_back_is_of_the_type_too(tmp_path: Path) -> None:
    analyst = Agent("analyst", model="scripted", output_type=Report)
    asked: list[Any] = []
    got: list[Any] = []

    @workflow(name="ask_and_wait")
    async def ask_and_wait(run: WorkflowRun, topic: str) -> int:
        report = await run.ask(analyst, topic)
        got.append(report)
        await run.wait_for("go")
        return int(report.score)

    def script(agent: str, payload: Any) -> Any:
        asked.append(payload)
        return {"title": "Rivers", "score": 7}

    first, second = (make_engine(tmp_path, True) for _ in range(2))

    async def begin() -> str:
        run_id = await first.start_workflow(ask_and_wait, "rivers")
        while (await first.get_workflow_status(run_id)).state != "waiting":
            await asyncio.sleep(0.01)
        return run_id

    async def go_on(run_id: str) -> Any:
        second.register_workflow(ask_and_wait)
        await second.recover()
        await second.signal_workflow(run_id, "go")
        return await second.wait(run_id)

    with scripted_model(script):
        run_id = run(begin, first)
        assert run(lambda: go_on(run_id), second) == 7
    assert asked == ["rivers"]
    assert len(got) >= 2  # the code runs again from the top
    assert set(map(repr, got)) == {repr(Report(title="Rivers", score=7))}


def test_the_text_of_a_streamed_answer_is_one_property_of_every_event(
    engine: OrchestrationEngine,
) -> None:
    writer = Agent("writer", model="scripted")

    async def told(payload: Any) -> str:
        send_chunk("plain ")
        send_chunk({"progress": 1})
        return "told"

    both = SequentialOrchestration(name="both", steps=[Agent("told", handler=told), writer])
    flow = {"name": "flow", "steps": [{"id": "s", "pattern": "both"}]}

    async def main() -> None:
        engine.register_pattern("both", both)
        said = "".join([event.text async for event in both.stream("x")])
        assert said == "plain one two three"
        events = engine.stream(workflow=flow, input_data="x")
        assert "".join([event.text async for event in events]) == said

    with scripted_model(lambda agent, payload: "one two three"):
        run(main, engine)


def test_a_stream_gives_the_result_of_its_run(engine: OrchestrationEngine) -> None:
    flow = {"name": "flow", "steps": [{"id": "s", "agent": "s"}]}

    async def main() -> None:
        engine.register_agent("s", Agent("s", handler=lambda payload: payload * 2))
        stream = engine.stream(workflow=flow, input_data=2)
        assert repr(stream) == "<WorkflowStream of a run that has not begun>"
        assert (await stream.result())["s"] == 4
        read = engine.stream(stream.workflow_id)
        assert [event.kind async for event in read][-1] == "workflow_completed"
        assert repr(read) == f"<WorkflowStream {stream.workflow_id}, at its end>"
        assert (await read.result())["s"] == 4
        failing = engine.stream(workflow=flow, input_data={})
        with pytest.raises(WorkflowFailed):
            await failing.result()

    run(main, engine)


def test_the_next_question_is_waited_for(engine: OrchestrationEngine) -> None:
    def refund(order: int) -> str:
        """Refund."""
        return f"refunded {order}"

    clerk = Agent("clerk", model="scripted", tools=[tool(refund, requires_approval=True)])
    inner = {"name": "inner", "steps": [{"id": "pay", "agent": "clerk"}]}
    flow = {"name": "flow", "steps": [{"id": "in", "workflow": "inner"}]}

    def script(request: Any) -> Any:
        return request.results[-1].result if request.results else request.call("refund", order=7)

    async def main() -> None:
        engine.register_agent("clerk", clerk)
        engine.register_workflow("inner", inner)
        run_id = await engine.start_workflow(flow, "x")
        question = await engine.next_question(run_id, 20)
        assert question.data["arguments"] == {"order": 7}
        await engine.approve(run_id, question.id)
        with pytest.raises(WorkflowEnded):
            await engine.next_question(run_id, 20)
        assert (await engine.wait(run_id))["in"]["pay"] == "refunded 7"

    with scripted_model(script):
        run(main, engine)


def test_the_wait_for_a_question_has_an_end(engine: OrchestrationEngine) -> None:
    go_on = asyncio.Event()

    async def slow(payload: Any) -> Any:
        await go_on.wait()
        return await agent_context().question("really")

    async def main() -> None:
        engine.register_agent("slow", Agent("slow", handler=slow))
        flow = {"name": "flow", "steps": [{"id": "s", "agent": "slow"}]}
        run_id = await engine.start_workflow(flow, "x")
        with pytest.raises(TimeoutError):
            await engine.next_question(run_id, 0.05)
        waiting = asyncio.ensure_future(engine.next_question(run_id))
        await asyncio.sleep(0)
        go_on.set()
        assert (await waiting).name == "really"
        await engine.cancel_workflow(run_id)

    run(main, engine)


def test_an_index_that_a_step_has_found_is_refused_with_the_form_that_works() -> None:
    from agenticaiframework.patterns.engine.definition.templates import compile_template

    with pytest.raises(ExpressionError, match="a step with a handler"):
        compile_template({"joke": "$jokes[$best]"})
    with pytest.raises(ExpressionError, match=r'\$step\["best"\]'):
        compile_template("$jokes[best]")
