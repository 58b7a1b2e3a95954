"""What asking models costs: counted once, wherever it is spent, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent as ForeignAgent
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage, UsageLimits

from agenticaiframework import Agent
from agenticaiframework.actors import (
    NO_USAGE,
    ActorSystem,
    AgentDefinitionError,
    AgentFailed,
    ModelRequestEnded,
    TextDelta,
    Usage,
    UsageLimitReached,
    causes_of,
    metered,
)
from agenticaiframework.cli import main as command_line
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    ParallelOrchestration,
    Retry,
    SequentialOrchestration,
    TeamConfig,
)
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowFailed,
)
from agenticaiframework.patterns.resilience import HedgedRequest
from agenticaiframework.testing import Simulation, simulate


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        async with ActorSystem():
            return await main()

    return asyncio.run(inside())


def answer(text: str = "done", *tools: tuple[str, dict[str, Any]]) -> ModelResponse:
    """Return an answer of a hundred tokens in and twenty out."""
    parts = [ToolCallPart(name, arguments) for name, arguments in tools] or [TextPart(text)]
    return ModelResponse(parts, usage=RequestUsage(input_tokens=100, output_tokens=20))


def answers(turns: int = 1, *, fails: int = 0) -> FunctionModel:
    """Return a model that calls its tool *turns* - 1 times, and fails *fails* times before that."""
    left = [fails]

    async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if left[0]:
            left[0] -= 1
            raise ConnectionError("overloaded")
        said = sum(isinstance(message, ModelResponse) for message in messages)
        if said < turns - 1:
            return answer("", (info.function_tools[0].name, {"x": said}))
        return answer()

    return FunctionModel(respond)


async def look(x: int) -> str:
    """Look something up."""
    return f"saw {x}"


def spent(requests: int, tools: int = 0) -> Usage:
    """Return what *requests* answers take."""
    return Usage(requests, tools, 100 * requests, 20 * requests, unpriced_requests=requests)


def limit_of(error: BaseException | None) -> UsageLimitReached:
    assert error is not None
    return next(each for each in causes_of(error) if isinstance(each, UsageLimitReached))


# -- counting --------------------------------------------------------------------------------------


def test_an_answer_tells_what_its_requests_and_tools_took() -> None:
    agent = Agent("a", model=answers(3), tools=[look])

    async def main() -> None:
        result = await agent.run("x")
        assert result.usage == spent(3, 2)
        assert agent.usage == spent(3, 2)
        assert (await agent.run("x")).usage == spent(3, 2)
        assert agent.usage == spent(6, 4)

    run(main)
    assert agent.usage is NO_USAGE, "what was spent belongs to a system"


def test_what_a_tool_that_is_an_agent_spends_counts_in_the_answer_and_once_by_agent() -> None:
    worker = Agent("worker", model=answers(2), tools=[look])

    async def delegate(x: int) -> str:
        """Delegate."""
        return str(await worker.ask(x))

    lead = Agent("lead", model=answers(2), tools=[delegate])

    async def main() -> None:
        result = await lead.run("x")
        assert result.usage == spent(4, 2)
        assert lead.usage == spent(2, 1)
        assert worker.usage == spent(2, 1)

    run(main)


def test_failed_attempts_count() -> None:
    agent = Agent("a", model=answers(1, fails=2))
    step = {"agent": agent, "retry": {"attempts": 3, "initial_delay_s": 0}}

    async def main() -> None:
        report = await SequentialOrchestration("s", [step]).run("x")
        assert report.ok
        assert report.usage == spent(1) + Usage(2, failed_requests=2)

    run(main)


def test_every_model_of_a_fallback_counts() -> None:
    model = FallbackModel(
        answers(1, fails=1), answers(1, fails=1), answers(), fallback_on=(ConnectionError,)
    )
    agent = Agent("a", model=model)

    async def main() -> None:
        assert (await agent.run("x")).usage == spent(1) + Usage(2, failed_requests=2)

    run(main)


def test_the_loser_of_a_hedge_counts() -> None:
    hangs = asyncio.Event()

    async def never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await hangs.wait()
        return answer()

    slow = Agent("slow", model=FunctionModel(never))
    fast = Agent("fast", model=answers())
    hedged = HedgedRequest("h", [slow, fast], after_s=0.001)

    async def main() -> None:
        report = await hedged.run("x")
        assert report.usage == spent(1) + Usage(1, unmeasured_requests=1)

    run(main)


def test_parallel_branches_and_teams_add_up() -> None:
    reader = Agent("reader", model=answers(2), tools=[look])
    writer = Agent("writer", model=answers())
    inner = SequentialOrchestration("inner", [reader, writer])
    panel = ParallelOrchestration("panel", [reader, inner, writer])
    team = AgentTeam("desk", roles=[AgentRole(name="lead"), AgentRole(name="other")])
    team.assign_agent(reader, "lead")
    team.assign_agent(writer, "other")

    async def main() -> None:
        with metered() as meter:
            report = await panel.run("x")
            result = await team.execute_task("x")
        assert report.usage == spent(6, 2)
        assert result.usage == spent(3, 1)
        assert meter.spent == report.usage + result.usage == reader.usage + writer.usage

    run(main)


def test_an_agent_of_pydantic_ais_counts_as_ours_do() -> None:
    agent = Agent("given", ForeignAgent(answers(2), tools=[look]))

    async def main() -> None:
        assert (await agent.run("x")).usage == spent(2, 1)
        assert agent.usage == spent(2, 1)

    run(main)


def test_a_stream_tells_its_usage_in_its_last_part() -> None:
    agent = Agent("a", model=TestModel(custom_output_text="one two three"))

    async def main() -> None:
        parts = [part async for part in agent.stream("x")]
        assert any(isinstance(part, TextDelta) for part in parts)
        assert parts[-1].usage.requests == 1
        assert parts[-1].usage == agent.usage

    run(main)


def test_each_request_is_told_on_the_event_stream() -> None:
    agent = Agent("a", model=answers(2), tools=[look])
    broken = Agent("b", model=answers(1, fails=1))
    told: list[ModelRequestEnded] = []

    async def main() -> None:
        end = ActorSystem.current().subscribe(told.append, ModelRequestEnded)
        await agent.ask("x", session="user-17")
        with pytest.raises(AgentFailed):
            await broken.ask("x")
        end()
        await agent.ask("x")

    run(main)
    assert [(each.agent, each.usage.total_tokens) for each in told] == [
        ("a", 120),
        ("a", 120),
        ("b", 0),
    ]
    assert told[0].session == "user-17"
    assert told[2].error == "ConnectionError: overloaded"


def test_a_session_tells_what_its_turns_took() -> None:
    agent = Agent("talker", model=answers(2), tools=[look])

    async def main() -> None:
        await agent.ask("x", session="user-17")
        await agent.ask("x", session="user-17")
        await agent.ask("x", session="user-18")
        assert (await agent.session("user-17").usage()).requests == 3
        assert (await agent.session("nobody").usage()) is NO_USAGE

    run(main)


# -- limits ----------------------------------------------------------------------------------------


def test_the_limit_of_an_answer_stops_before_the_next_request() -> None:
    agent = Agent("a", model=answers(5), tools=[look], usage_limits=UsageLimits(request_limit=2))

    async def main() -> None:
        with pytest.raises(AgentFailed) as caught:
            await agent.ask("x")
        reached = limit_of(caught.value)
        assert caught.value.expected
        assert (reached.limit, reached.allowed, reached.spent) == ("request_limit", 2, spent(2, 2))
        assert agent.usage == spent(2, 2)

    run(main)


def test_the_limit_of_an_answer_holds_for_the_agents_that_its_tools_ask() -> None:
    worker = Agent("worker", model=answers())

    async def delegate(x: int) -> str:
        """Delegate."""
        return str(await worker.ask(x))

    lead = Agent(
        "lead", model=answers(9), tools=[delegate], usage_limits={"total_tokens_limit": 480}
    )

    async def main() -> None:
        with pytest.raises(AgentFailed) as caught:
            await lead.ask("x")
        reached = limit_of(caught.value)
        assert reached.spent.requests == 4
        assert {name: one.requests for name, one in reached.spent_by.items()} == {
            "lead": 2,
            "worker": 2,
        }

    run(main)


def test_a_budget_is_shared_by_what_runs_in_parallel() -> None:
    reader = Agent("reader", model=answers(), concurrency=8)
    engine = OrchestrationEngine(EngineConfig())
    pages = {"name": "pages", "steps": [
        {"id": "read", "agent": reader, "for_each": "$input.pages", "max_concurrency": 8}
    ]}  # fmt: skip

    async def main() -> None:
        run_id = await engine.start_workflow(
            pages, {"pages": list(range(100))}, usage_limits=UsageLimits(total_tokens_limit=2400)
        )
        with pytest.raises(WorkflowFailed) as caught:
            await engine.wait(run_id)
        reached = limit_of(caught.value)
        assert (reached.kind, reached.name) == ("workflow", "pages")
        usage = (await engine.get_workflow_status(run_id)).usage
        assert 2400 <= usage.total_tokens <= 2400 + 8 * 120

    run(main)


def test_a_team_and_a_pattern_stop_at_their_limits_and_are_not_retried() -> None:
    writer = Agent("writer", model=answers())
    team = AgentTeam(
        "desk",
        TeamConfig(usage_limits=UsageLimits(request_limit=1), retry=Retry(attempts=5)),
        roles=[AgentRole(name="lead"), AgentRole(name="other")],
    )
    team.assign_agent(writer, "lead")
    team.assign_agent(Agent("other", model=answers()), "other")
    step = {"agent": writer, "retry": 5}
    pattern = SequentialOrchestration("s", [step, step], usage_limits={"request_limit": 1})

    async def main() -> None:
        with pytest.raises(Exception) as caught:
            await team.execute_task("x")
        assert limit_of(caught.value).kind == "team"
        report = await pattern.run("x")
        assert limit_of(report.outcome.cause).kind == "pattern"
        assert report["writer#2"].attempts == 1
        assert (await pattern.run("x", usage_limits={"request_limit": 2})).ok

    run(main)


def test_a_wrong_limit_is_refused_when_the_agent_is_made() -> None:
    with pytest.raises(AgentDefinitionError, match="total_tokens_limit"):
        Agent("a", model="test", usage_limits={"tokens": 5})


def test_limits_go_through_the_written_form_of_a_definition() -> None:
    pattern = SequentialOrchestration("s", ["a"], usage_limits={"cost_limit": "0.5"})
    data = pattern.to_dict()
    assert data["usage_limits"] == {"cost_limit": "0.5"}
    again = SequentialOrchestration.from_dict(data)
    assert again.definition.usage_limits == pattern.definition.usage_limits


# -- on the command line ---------------------------------------------------------------------------

PROJECT = """
name: essay
agents:
  writer: {handler: "essay_agents:write"}
workflow:
  name: essay
  steps: [{id: write, agent: writer}]
"""

HANDLERS = """
from decimal import Decimal

from agenticaiframework.actors import Usage, current_meter


def write(payload):
    current_meter().spend(Usage(2, input_tokens=900, output_tokens=100, cost=Decimal("0.0042")))
    return "done"
"""


def test_the_command_line_says_what_was_spent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "essay.yaml").write_text(PROJECT)
    (tmp_path / "essay_agents.py").write_text(HANDLERS)
    store = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    monkeypatch.setenv("AGENTICAI_STORE", store)
    assert command_line(["run", str(tmp_path / "essay.yaml"), "--persist"]) == 0
    said = "spent 2 requests, 1,000 tokens (900 in, 100 out), $0.0042"
    # Where standard output is not a terminal, it has the result alone.
    printed = capsys.readouterr().err
    assert said in printed
    run_id = next(word for word in printed.split() if word.startswith("wf_"))
    assert command_line(["workflows", "show", run_id, "--store", store]) == 0
    assert said.replace("spent ", "spent: ") in capsys.readouterr().out


# -- in simulation ---------------------------------------------------------------------------------


@simulate(runs=30, faults=True)
async def test_what_is_counted_is_what_was_sent(sim: Simulation) -> None:
    sent: list[int] = []

    async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        sent.append(1)
        await asyncio.sleep(1)
        return answer()

    readers = [Agent(f"reader{n}", model=FunctionModel(respond)) for n in range(3)]
    panel = ParallelOrchestration(
        "panel", [{"agent": reader, "retry": 3} for reader in readers], join="collect"
    )
    limited = ParallelOrchestration("limited", readers, usage_limits={"request_limit": 2})
    with metered() as meter:
        await panel.run("x", timeout=60)
        before = len(sent)
        await limited.run("x", timeout=60)
    assert len(sent) - before <= 2
    # A fault may take the place of an answer: such a request was sent as well.
    spent = meter.spent
    without = spent.failed_requests + spent.unmeasured_requests
    assert spent.requests - without <= len(sent) <= spent.requests
