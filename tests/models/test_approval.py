"""Tools that need approval: the run waits for it, and what is decided reaches the model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import ApprovalRequired, Tool
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.tools import ToolApproved, ToolDenied

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentFailed,
    ApprovalNeeded,
    PendingCall,
    agent_context,
)
from agenticaiframework.patterns import ParallelOrchestration
from agenticaiframework.patterns.engine import (
    AlreadyAnswered,
    EngineConfig,
    OrchestrationEngine,
    UnknownQuestion,
    WorkflowStatus,
)
from agenticaiframework.patterns.teams import AgentRole, AgentTeam, TeamConfig

Call = tuple[str, dict[str, Any], str]


class Bank:
    """Tools that pay back, and a model that asks for them."""

    def __init__(self, *calls: Call) -> None:
        self.calls = calls or (("refund", {"order": 7}, "c7"),)
        self.refunded: list[tuple[int, str]] = []
        self.asked = 0
        self.told: list[Any] = []
        self.model = FunctionModel(self.answer)

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked += 1
        if any(isinstance(message, ModelResponse) for message in messages):
            self.told = [getattr(part, "content", None) for part in messages[-1].parts]
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart(*call) for call in self.calls])

    def refund(self, order: int) -> str:
        """Pay an order back."""
        self.refunded.append((order, agent_context().get("idempotency_key", "")))
        return f"refunded {order}"

    def look(self, order: int) -> str:
        """Look at an order."""
        self.refunded.append((-order, agent_context().get("idempotency_key", "")))
        return f"seen {order}"

    def dear(self, order: int) -> str:
        """Pay back, and ask only for some orders."""
        if order > 100:
            raise ApprovalRequired(metadata={"reason": "above the limit"})
        return self.refund(order)

    def agent(self, name: str = "clerk", **more: Any) -> Agent:
        tools = [Tool(self.refund, requires_approval=True), self.look]
        return Agent(name, model=self.model, tools=tools, **more)


def make_engine(folder: Path, *, stored: bool = True) -> OrchestrationEngine:
    return OrchestrationEngine(
        EngineConfig(
            persist_state=stored,
            state_store=f"sqlite:///{folder}/approval.sqlite",
            durability="normal",
        )
    )


@pytest.fixture(params=["memory", "stored"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> OrchestrationEngine:
    return make_engine(tmp_path, stored=request.param == "stored")


def run(main: Callable[[], Awaitable[Any]], engine: OrchestrationEngine | None = None) -> Any:
    async def inside() -> Any:
        async with ActorSystem("test"):
            if engine is None:
                return await main()
            async with engine:
                return await main()

    return asyncio.run(inside())


async def waiting(engine: OrchestrationEngine, run_id: str, questions: int = 1) -> WorkflowStatus:
    async with asyncio.timeout(60):
        while True:
            status = await engine.get_workflow_status(run_id)
            if len(status.questions) == questions and status.state == "waiting":
                return status
            assert not status.finished, status
            await asyncio.sleep(0.01)


def flow(agent: str = "clerk", kind: str = "agent") -> dict[str, Any]:
    return {"name": "flow", "steps": [{"id": "s", kind: agent}]}


def test_a_call_is_approved(engine: OrchestrationEngine) -> None:
    bank = Bank()

    async def main() -> None:
        engine.register_agent("clerk", bank.agent())
        run_id = await engine.start_workflow(workflow=flow(), input_data="refund 7")
        [question] = (await waiting(engine, run_id)).questions
        assert question.id == "s/approve:c7"
        assert question.data == {
            "tool": "refund",
            "arguments": {"order": 7},
            "call_id": "c7",
            "agent": "clerk",
        }
        with pytest.raises(UnknownQuestion, match="approve:c7"):
            await engine.approve(run_id, "c8", True)
        await engine.approve(run_id, "c7")
        with pytest.raises(AlreadyAnswered):
            await engine.approve(run_id, "c7", False)
        assert (await engine.wait(run_id, 60))["s"] == "done"
        [(order, key)] = bank.refunded
        assert order == 7
        assert key.startswith(f"{run_id}:s/refund:c7")
        assert bank.asked == 2

    run(main, engine)


@pytest.mark.parametrize(
    ("answer", "refunded", "told"),
    [
        ({"ok": True, "arguments": {"order": 8}}, [8], "refunded 8"),
        ({"ok": False, "reason": "ask again on Monday"}, [], "ask again on Monday"),
        ({"ok": False}, [], "The call was not approved."),
    ],
    ids=["other arguments", "words", "no words"],
)
def test_what_is_decided_reaches_the_model(
    engine: OrchestrationEngine, answer: dict[str, Any], refunded: list[int], told: str
) -> None:
    bank = Bank()

    async def main() -> None:
        engine.register_agent("clerk", bank.agent())
        run_id = await engine.start_workflow(workflow=flow(), input_data="refund 7")
        await waiting(engine, run_id)
        await engine.approve(run_id, "c7", **answer)
        assert (await engine.wait(run_id, 60))["s"] == "done"
        assert [order for order, _ in bank.refunded] == refunded
        assert bank.told == [told]

    run(main, engine)


@pytest.mark.parametrize(
    "wrong", [{"ok": False, "arguments": {"order": 8}}, {"ok": "yes"}], ids=["denied", "a text"]
)
def test_an_answer_that_cannot_be(tmp_path: Path, wrong: dict[str, Any]) -> None:
    engine = make_engine(tmp_path)

    async def main() -> None:
        with pytest.raises((ValueError, TypeError), match="ok"):
            await engine.approve("any", "c7", **wrong)

    run(main, engine)


def test_several_calls_wait_at_once(engine: OrchestrationEngine) -> None:
    bank = Bank(
        ("refund", {"order": 1}, "c1"),
        ("look", {"order": 2}, "c2"),
        ("refund", {"order": 3}, "c3"),
    )

    async def main() -> None:
        engine.register_agent("clerk", bank.agent())
        run_id = await engine.start_workflow(workflow=flow(), input_data="refund")
        status = await waiting(engine, run_id, 2)
        assert [one.data["call_id"] for one in status.questions] == ["c1", "c3"]
        assert [order for order, _ in bank.refunded] == [-2]
        await engine.approve(run_id, "c3", False, reason="no")
        await waiting(engine, run_id, 1)
        await engine.approve(run_id, "c1")
        assert (await engine.wait(run_id, 60))["s"] == "done"
        assert [order for order, _ in bank.refunded] == [-2, 1]
        assert sorted(bank.told) == ["no", "refunded 1", "seen 2"]

    run(main, engine)


def test_a_tool_says_why_it_asks(engine: OrchestrationEngine) -> None:
    bank = Bank(("dear", {"order": 7}, "c7"), ("dear", {"order": 700}, "c700"))

    async def main() -> None:
        engine.register_agent("clerk", Agent("clerk", model=bank.model, tools=[bank.dear]))
        run_id = await engine.start_workflow(workflow=flow(), input_data="refund")
        [question] = (await waiting(engine, run_id)).questions
        assert question.data["reason"] == "above the limit"
        await engine.approve(run_id, "c700", False)
        await engine.wait(run_id, 60)
        assert [order for order, _ in bank.refunded] == [7]

    run(main, engine)


def test_days_later_in_another_process(tmp_path: Path) -> None:
    bank = Bank()
    first, second, third = (make_engine(tmp_path) for _ in range(3))

    async def asking() -> str:
        first.register_agent("clerk", bank.agent())
        run_id = await first.start_workflow(workflow=flow(), input_data="refund 7")
        await waiting(first, run_id)
        return run_id

    run_id = run(asking, first)
    run(lambda: second.approve(run_id, "c7"), second)

    async def going_on() -> None:
        third.register_agent("clerk", bank.agent())
        await third.recover()
        assert (await third.wait(run_id, 60))["s"] == "done"

    run(going_on, third)
    assert bank.asked == 2
    assert [order for order, _ in bank.refunded] == [7]


def test_in_patterns_nested_runs_and_behind_agents(engine: OrchestrationEngine) -> None:
    bank, other = Bank(), Bank(("refund", {"order": 9}, "c9"))

    async def main() -> None:
        clerk, second = bank.agent(), other.agent("second")
        lead = Agent("lead", handler=lambda payload: second.ask(payload))
        engine.register_agent("clerk", clerk)
        engine.register_agent("lead", lead)
        engine.register_pattern(
            "both", ParallelOrchestration(name="both", branches=["clerk", "lead"])
        )
        engine.register_workflow("inner", flow("both", "pattern") | {"name": "inner"})
        run_id = await engine.start_workflow(workflow=flow("inner", "workflow"), input_data="x")
        status = await waiting(engine, run_id, 2)
        assert {one.id for one in status.questions} == {
            "s/s/both/clerk/approve:c7",
            "s/s/both/lead/second/approve:c9",
        }
        await engine.approve(run_id, "c9")
        await engine.approve(run_id, "c7")
        await engine.wait(run_id, 60)
        assert (bank.asked, other.asked) == (2, 2)
        assert [order for order, _ in bank.refunded + other.refunded] == [7, 9]

    run(main, engine)


def test_an_agent_that_is_a_tool_asks(engine: OrchestrationEngine) -> None:
    bank, lead_bank = Bank(), Bank(("helper", {"text": "x"}, "h1"))
    clerk = bank.agent()

    async def helper(text: str) -> Any:
        """Ask the clerk."""
        return await clerk.ask(text)

    async def main() -> None:
        engine.register_agent("lead", Agent("lead", model=lead_bank.model, tools=[helper]))
        run_id = await engine.start_workflow(workflow=flow("lead"), input_data="x")
        [question] = (await waiting(engine, run_id)).questions
        assert question.id == "s/helper:h1/clerk/approve:c7"
        await engine.approve(run_id, "c7")
        assert (await engine.wait(run_id, 60))["s"] == "done"
        assert (bank.asked, lead_bank.asked) == (2, 2)
        assert [order for order, _ in bank.refunded] == [7]

    run(main, engine)


@pytest.mark.parametrize(
    ("decision", "refunded"),
    [
        (True, [7]),
        (False, []),
        (ToolDenied("no"), []),
        (ToolApproved(override_args={"order": 9}), [9]),
    ],
)
@pytest.mark.parametrize("plain", [True, False])
def test_an_agents_own_function_decides(decision: Any, refunded: list[int], plain: bool) -> None:
    bank = Bank()
    seen: list[PendingCall] = []

    def decide(call: PendingCall) -> Any:
        seen.append(call)
        return decision

    async def decide_later(call: PendingCall) -> Any:
        return decide(call)

    async def main() -> None:
        clerk = bank.agent(approve=decide if plain else decide_later)
        assert await clerk.ask("refund 7") == "done"
        [call] = seen
        assert (call.tool, call.arguments, call.call_id, call.agent) == (
            "refund",
            {"order": 7},
            "c7",
            "clerk",
        )
        assert [order for order, _ in bank.refunded] == refunded

    run(main)


def test_without_one_it_is_an_expected_error_with_the_calls() -> None:
    bank = Bank(("refund", {"order": 7}, "c7"), ("refund", {"order": 8}, "c8"))

    async def main() -> None:
        clerk = bank.agent()
        with pytest.raises(AgentFailed, match=r"refund\(order=7\)") as failed:
            await clerk.ask("refund")
        cause = failed.value.__cause__
        assert isinstance(cause, ApprovalNeeded)
        assert [call.call_id for call in cause.calls] == ["c7", "c8"]
        assert failed.value.expected
        assert not bank.refunded

    run(main)


def test_what_a_function_leaves_open_is_asked(engine: OrchestrationEngine) -> None:
    bank = Bank(("refund", {"order": 7}, "c7"), ("refund", {"order": 700}, "c700"))
    decided: list[str] = []

    def decide(call: PendingCall) -> bool | None:
        decided.append(call.call_id)
        return True if call.arguments["order"] < 100 else None

    async def main() -> None:
        engine.register_agent("clerk", bank.agent(approve=decide))
        run_id = await engine.start_workflow(workflow=flow(), input_data="x")
        [question] = (await waiting(engine, run_id)).questions
        assert question.data["call_id"] == "c700"
        await engine.approve(run_id, "c700")
        assert (await engine.wait(run_id, 60))["s"] == "done"
        assert sorted(order for order, _ in bank.refunded) == [7, 700]
        assert decided == ["c7", "c700"]  # what it said is recorded

    run(main, engine)


def test_an_agent_that_is_a_tool_needs_approval_outside_of_a_workflow() -> None:
    bank, lead_bank = Bank(), Bank(("clerk", {"request": "x"}, "h1"))

    async def main() -> None:
        lead = Agent("lead", model=lead_bank.model, tools=[bank.agent()])
        with pytest.raises(AgentFailed, match=r"refund\(order=7\)") as failed:
            await lead.ask("x")
        assert failed.value.expected

    run(main)


def test_an_agent_given_as_a_tool_asks(engine: OrchestrationEngine) -> None:
    bank, lead_bank = Bank(), Bank(("clerk", {"request": "x"}, "h1"))

    async def main() -> None:
        lead = Agent("lead", model=lead_bank.model, tools=[bank.agent()])
        engine.register_agent("lead", lead)
        run_id = await engine.start_workflow(workflow=flow("lead"), input_data="x")
        [question] = (await waiting(engine, run_id)).questions
        await engine.approve(run_id, "c7")
        assert (await engine.wait(run_id, 60))["s"] == "done"
        assert (bank.asked, lead_bank.asked) == (2, 2)
        assert [order for order, _ in bank.refunded] == [7]
        assert question.data["agent"] == "clerk"

    run(main, engine)


def test_an_agent_of_pydantic_ai_asks(engine: OrchestrationEngine) -> None:
    bank = Bank()

    async def main() -> None:
        given = PydanticAgent(bank.model, tools=[Tool(bank.refund, requires_approval=True)])
        engine.register_agent("clerk", Agent("clerk", handler=given))
        run_id = await engine.start_workflow(workflow=flow(), input_data="x")
        await waiting(engine, run_id)
        await engine.approve(run_id, "c7")
        assert (await engine.wait(run_id, 60))["s"] == "done"
        assert bank.asked == 2
        assert [order for order, _ in bank.refunded] == [7]

    run(main, engine)


@pytest.mark.parametrize("mode", ["triage", "swarm"])
def test_a_member_of_a_team_asks(engine: OrchestrationEngine, mode: str) -> None:
    bank = Bank()

    async def main() -> None:
        team = AgentTeam(
            name="desk",
            roles=[AgentRole(name="clerk", description="pays back")],
            config=TeamConfig(mode=mode) if mode == "swarm" else TeamConfig(),
        )
        team.assign_agent(bank.agent(), role="clerk")
        engine.register_team("desk", team)
        run_id = await engine.start_workflow(workflow=flow("desk", "team"), input_data="x")
        [question] = (await waiting(engine, run_id)).questions
        await engine.approve(run_id, question.id)
        await engine.wait(run_id, 60)
        assert bank.asked == 2
        assert [order for order, _ in bank.refunded] == [7]

    run(main, engine)


def test_a_conversation_asks_and_others_go_on_in_its_session(tmp_path: Path) -> None:
    bank = Bank()
    engine = make_engine(tmp_path)

    async def main() -> None:
        clerk = bank.agent()
        engine.register_agent("clerk", clerk)
        run_id = await engine.start_workflow(
            workflow=flow(), input_data="refund 7", context={"session": "user-17"}
        )
        await waiting(engine, run_id)
        await engine.approve(run_id, "c7")
        assert (await engine.wait(run_id, 60))["s"] == "done"
        assert bank.asked == 2
        assert await clerk.ask("and now?", session="user-17", timeout=10) == "done"
        assert bank.asked == 3  # it knows what was said before, and asks for nothing again

    run(main, engine)


def test_the_status_says_at_once_that_a_question_has_an_answer(tmp_path: Path) -> None:
    bank = Bank(("refund", {"order": 7}, "c7"), ("refund", {"order": 8}, "c8"))

    async def asks() -> str:
        async with make_engine(tmp_path) as engine:
            engine.register_agent("clerk", bank.agent())
            engine.register_workflow("inner", flow() | {"name": "inner"})
            run_id = await engine.start_workflow(
                workflow=flow("inner", "workflow"), input_data="go"
            )
            await waiting(engine, run_id, 2)
            return run_id

    async def answers(run_id: str) -> None:
        # It has no agents, so the answer stays where it is.
        async with make_engine(tmp_path) as engine:
            await engine.approve(run_id, "c7")
            status = await engine.get_workflow_status(run_id)
            assert {one.id.rpartition(":")[2]: one.answered for one in status.questions} == {
                "c7": True,
                "c8": False,
            }
            with pytest.raises(AlreadyAnswered):
                await engine.approve(run_id, "c7", False)

    run_id = run(asks)
    run(lambda: answers(run_id))


def test_once_answered_a_question_is_never_shown_as_open(engine: OrchestrationEngine) -> None:
    bank = Bank()

    async def main() -> None:
        engine.register_agent("clerk", bank.agent())
        run_id = await engine.start_workflow(workflow=flow(), input_data="refund 7")
        await waiting(engine, run_id)
        await engine.approve(run_id, "c7")
        shown = (await engine.get_workflow_status(run_id)).questions
        assert [one for one in shown if not one.answered] == []
        assert (await engine.wait(run_id, 60))["s"] == "done"
        assert not (await engine.get_workflow_status(run_id)).questions

    run(main, engine)
