"""Model agents in the steps of workflows: what was answered and done is recorded, and not done again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import ModelRetry, Tool
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, agent_context
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowRun,
    workflow,
)

RETRY = {"attempts": 4, "initial_delay_s": 0.001}


class Script:
    """A model that answers the n-th request of a conversation by its n-th line, and counts."""

    def __init__(self, *lines: Any) -> None:
        self.lines = list(lines)
        self.asked: list[int] = []
        self.seen: list[list[ModelMessage]] = []
        self.fail_at: dict[int, int] = {}
        """How often the request with that number fails."""
        self.model = FunctionModel(self.answer, stream_function=self.stream)

    def _next(self, messages: list[ModelMessage]) -> Any:
        number = sum(isinstance(m, ModelResponse) for m in messages)
        self.asked.append(number)
        self.seen.append(list(messages))
        if self.fail_at.get(number, 0) > 0:
            self.fail_at[number] -= 1
            raise ConnectionError("the provider is down")
        line = self.lines[min(number, len(self.lines) - 1)]
        return line(messages) if callable(line) else line

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        line = self._next(messages)
        if isinstance(line, str):
            return ModelResponse(parts=[TextPart(line)])
        return ModelResponse(parts=[ToolCallPart(name, args, id_) for name, args, id_ in line])

    async def stream(self, messages: list[ModelMessage], info: AgentInfo) -> Any:
        line = self._next(messages)
        if isinstance(line, str):
            for word in line.split(" "):
                yield word + " "
            return
        for index, (name, args, id_) in enumerate(line):
            yield {index: DeltaToolCall(name, json.dumps(args), tool_call_id=id_)}


class Tools:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.keys: list[str] = []
        self.failures: dict[str, int] = {}

    async def act(self, what: str) -> str:
        """Do what is said."""
        self.keys.append(agent_context()["idempotency_key"])
        self.log.append(what)
        if self.failures.get(what, 0) > 0:
            self.failures[what] -= 1
            raise ModelRetry(f"not {what}")
        return f"did {what}"

    def block(self, what: str) -> str:
        """Do what is said, in a thread."""
        self.keys.append(agent_context()["idempotency_key"])
        self.log.append(what)
        return f"did {what}"


def act(what: str, id_: str, tool: str = "act") -> tuple[str, dict[str, str], str]:
    return tool, {"what": what}, id_


@pytest.fixture(params=["memory", "stored"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> OrchestrationEngine:
    return make_engine(tmp_path, stored=request.param == "stored")


def make_engine(folder: Path, *, stored: bool = True) -> OrchestrationEngine:
    return OrchestrationEngine(
        EngineConfig(
            persist_state=stored,
            state_store=f"sqlite:///{folder}/durable.sqlite",
            durability="normal",
        )
    )


def run(main: Callable[[], Awaitable[Any]], engine: OrchestrationEngine) -> Any:
    async def inside() -> Any:
        async with ActorSystem("test"), engine:
            return await main()

    return asyncio.run(inside())


def flow(agent: str = "worker", **fields: Any) -> dict[str, Any]:
    return {"name": "flow", "steps": [{"id": "s", "agent": agent, "retry": RETRY, **fields}]}


async def execute(engine: OrchestrationEngine, stream: bool, workflow: Any) -> Any:
    if not stream:
        return await engine.execute(workflow=workflow, input_data="go")
    async with engine.stream(workflow=workflow, input_data="go") as events:
        ids = [event.workflow_id async for event in events]
        return await engine.wait(ids[0])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_outage_repeats_one_request_and_no_tool(
    engine: OrchestrationEngine, stream: bool
) -> None:
    script = Script(
        [act("a", "c1"), act("b", "c2"), act("c", "c3", "block")],
        [act("d", "c4")],
        "all done",
    )
    script.fail_at = {1: 1, 2: 2}
    tools = Tools()

    async def main() -> None:
        agent = Agent("worker", model=script.model, tools=[tools.act, tools.block])
        engine.register_agent("worker", agent)
        result = await execute(engine, stream, flow())
        assert result["s"].strip() == "all done"
        assert sorted(script.asked) == [0, 1, 1, 2, 2, 2]
        assert sorted(tools.log) == ["a", "b", "c", "d"]
        base = f"{result.workflow_id}:s"
        assert sorted(tools.keys) == sorted(
            [f"{base}/act:c1", f"{base}/act:c2", f"{base}/block:c3", f"{base}/act:c4"]
        )

    run(main, engine)


def test_the_record_goes_on_in_another_process(tmp_path: Path) -> None:
    script = Script([act("a", "c1")], "all done")
    tools = Tools()
    script.fail_at = {1: 100}
    first, second = make_engine(tmp_path), make_engine(tmp_path)

    def agent() -> Agent:
        return Agent("worker", model=script.model, tools=[tools.act])

    async def failing() -> str:
        first.register_agent("worker", agent())
        run_id = await first.start_workflow(workflow=flow(), input_data="go")
        with pytest.raises(Exception, match="down"):
            await first.wait(run_id)
        return run_id

    run_id = run(failing, first)
    script.fail_at = {}
    script.asked.clear()

    async def resuming() -> None:
        second.register_agent("worker", agent())
        await second.resume_workflow(run_id)
        assert (await second.wait(run_id))["s"] == "all done"

    run(resuming, second)
    assert script.asked == [1]
    assert tools.log == ["a"]


def test_what_a_tool_told_the_model_is_recorded(engine: OrchestrationEngine) -> None:
    script = Script([act("a", "c1")], [act("a", "c2")], "all done")
    script.fail_at = {1: 1, 2: 1}
    tools = Tools()
    tools.failures["a"] = 1

    async def main() -> None:
        agent = Agent("worker", model=script.model, tools=[tools.act])
        engine.register_agent("worker", agent)
        assert (await execute(engine, False, flow()))["s"] == "all done"
        assert tools.log == ["a", "a"]
        assert script.asked == [0, 1, 1, 2, 2]
        told = script.seen[-1][2].parts[0]
        assert isinstance(told, (ToolReturnPart, RetryPromptPart))
        assert "not a" in str(told.content)

    run(main, engine)


def test_a_retry_after_an_unfit_answer_asks_again_after_the_last_tool(
    engine: OrchestrationEngine,
) -> None:
    fits: list[bool] = []

    def number(messages: list[ModelMessage]) -> Any:
        fits.append(len(fits) >= 2)
        return [("final_result", {"response": 7 if fits[-1] else "seven"}, f"f{len(fits)}")]

    script = Script([act("a", "c1")], number)
    tools = Tools()

    async def main() -> None:
        agent = Agent("worker", model=script.model, tools=[tools.act], output_type=int, retries=1)
        engine.register_agent("worker", agent)
        result = await execute(engine, False, flow())
        assert result["s"] == 7
        # Two answers that did not fit, then the step's retry: only what came after the tool is new.
        assert script.asked[:3] == [0, 1, 2]
        assert script.asked.count(0) == 1
        assert tools.log == ["a"]

    run(main, engine)


def test_a_tool_that_was_called_wrongly_too_often_is_called_again(
    engine: OrchestrationEngine,
) -> None:
    script = Script([act("a", "c1"), act("b", "c2")], [act("b", "c3")], "all done")
    tools = Tools()
    tools.failures["b"] = 2

    async def main() -> None:
        agent = Agent("worker", model=script.model, tools=[tools.act], retries=0)
        engine.register_agent("worker", agent)
        assert (await execute(engine, False, flow()))["s"] == "all done"
        assert tools.log.count("a") == 1

    run(main, engine)


def test_a_call_of_a_tool_that_is_gone_is_told_and_nothing_is_done_twice(tmp_path: Path) -> None:
    tools = Tools()
    script = Script([act("a", "c1"), act("b", "c2", "block")], [act("c", "c3")], "all done")
    script.fail_at = {2: 100}
    first, second = make_engine(tmp_path), make_engine(tmp_path)

    async def failing() -> str:
        agent = Agent("worker", model=script.model, tools=[tools.act, tools.block])
        first.register_agent("worker", agent)
        run_id = await first.start_workflow(workflow=flow(), input_data="go")
        with pytest.raises(Exception, match="down"):
            await first.wait(run_id)
        return run_id

    run_id = run(failing, first)
    script.fail_at = {}
    script.asked.clear()

    async def resuming() -> None:
        # The tool "block" is gone: what was recorded behind its result answers something else.
        agent = Agent("worker", model=script.model, tools=[tools.act], instructions="Other words.")
        second.register_agent("worker", agent)
        await second.resume_workflow(run_id)
        assert (await second.wait(run_id))["s"] == "all done"

    run(resuming, second)
    assert script.asked == [1, 2]
    assert sorted(tools.log) == ["a", "b", "c"]


def test_an_agent_as_a_tool_and_behind_others(engine: OrchestrationEngine) -> None:
    inner_script = Script([act("inner", "i1")], "inner done")
    inner_script.fail_at = {1: 1}
    outer_script = Script([("helper", {"payload": "x"}, "o1")], "outer done")
    outer_script.fail_at = {1: 1}
    tools = Tools()
    helper = Agent("helper", model=inner_script.model, tools=[tools.act])

    async def ask_helper(payload: str) -> Any:
        """Ask the helper."""
        return await helper.ask(payload)

    async def main() -> None:
        lead = Agent("lead", model=outer_script.model, tools=[Tool(ask_helper, name="helper")])
        boss = Agent("boss", handler=lambda payload: lead.ask(payload))
        engine.register_agent("boss", boss)
        assert (await execute(engine, False, flow("boss")))["s"] == "outer done"
        assert outer_script.asked == [0, 1, 1]
        assert tools.log == ["inner"]

    run(main, engine)


def test_items_and_code(engine: OrchestrationEngine) -> None:
    script = Script([act("a", "c1")], "done")
    script.fail_at = {1: 2}
    tools = Tools()

    async def main() -> None:
        engine.register_agent("worker", Agent("worker", model=script.model, tools=[tools.act]))

        @workflow(name="code")
        async def code(wf: WorkflowRun, given: Any) -> Any:
            retry = RETRY
            return await asyncio.gather(*(wf.ask("worker", n, retry=retry) for n in range(2)))

        assert await engine.execute(workflow=code, input_data=1) == ["done", "done"]
        assert sorted(script.asked) == [0, 0, 1, 1, 1, 1]
        assert tools.log == ["a", "a"]
        script.fail_at = {1: 2}
        result = await execute(engine, False, flow(for_each=[1, 2, 3], input="$item"))
        assert result["s"] == ["done"] * 3
        assert tools.log == ["a"] * 5
        assert len(set(tools.keys)) == 5

    run(main, engine)


def test_several_conversations_of_one_handling(engine: OrchestrationEngine) -> None:
    script = Script([act("a", "c1")], "done")
    tools = Tools()
    tries: list[int] = []

    async def main() -> None:
        worker = Agent("worker", model=script.model, tools=[tools.act])

        async def handler(payload: Any) -> Any:
            got = [await worker.ask(n) for n in range(3)]
            tries.append(1)
            if len(tries) == 1:
                raise ConnectionError("cut off")
            return got

        engine.register_agent("lead", Agent("lead", handler=handler))
        assert (await execute(engine, False, flow("lead")))["s"] == ["done"] * 3
        assert script.asked == [0, 1] * 3
        assert tools.log == ["a"] * 3

    run(main, engine)


def test_the_ids_of_calls_may_come_again(engine: OrchestrationEngine) -> None:
    script = Script([act("a", "c")], [act("b", "c")], [act("c", "c")], "done")
    script.fail_at = {3: 1}
    tools = Tools()

    async def main() -> None:
        engine.register_agent("worker", Agent("worker", model=script.model, tools=[tools.act]))
        assert (await execute(engine, False, flow()))["s"] == "done"
        assert tools.log == ["a", "b", "c"]
        assert len(set(tools.keys)) == 3

    run(main, engine)


def test_a_history_is_not_stored_again_and_again(tmp_path: Path) -> None:
    turns, size = 20, 5_000
    script = Script(*([act("x" * size, f"c{n}")] for n in range(turns)), "done")
    tools = Tools()
    engine = make_engine(tmp_path)

    async def main() -> None:
        engine.register_agent("worker", Agent("worker", model=script.model, tools=[tools.act]))
        assert (await execute(engine, False, flow()))["s"] == "done"

    run(main, engine)
    files = sum(f.stat().st_size for f in tmp_path.glob("durable.sqlite*"))
    assert files < 4_500_000 + 6 * turns * size  # a history a turn would be 2 MB more


def test_a_stream_goes_on_with_whole_parts(tmp_path: Path) -> None:
    script = Script([act("a", "c1")], "one two three")
    script.fail_at = {1: 1}
    tools = Tools()
    engine = make_engine(tmp_path)

    async def main() -> None:
        engine.register_agent("worker", Agent("worker", model=script.model, tools=[tools.act]))
        kinds: list[tuple[int, str]] = []
        async with engine.stream(workflow=flow(), input_data="go") as events:
            async for event in events:
                if event.kind == "work":
                    data = getattr(event.data, "data", event.data)
                    kinds.append((event.attempt, getattr(data, "kind", type(data).__name__)))
        assert (2, "tool_call") in kinds
        assert (2, "text") in kinds
        assert script.asked == [0, 1, 1]

    run(main, engine)
