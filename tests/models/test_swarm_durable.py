"""Swarms and guardrails in steps of stored runs: what was paid for is not asked again."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import RunContext

from agenticaiframework import Agent, Guardrail
from agenticaiframework.actors import ActorSystem
from agenticaiframework.orchestration import (
    AgentHandoff,
    AgentRole,
    AgentTeam,
    EngineConfig,
    Handoff,
    OrchestrationEngine,
    TeamConfig,
)

sys.path.insert(0, str(Path(__file__).parent))
from speaking import Speaker, call, last_part, speaker

FLOW = {"name": "refund", "steps": [{"id": "talk", "team": "desk", "retry": 2}]}


@dataclass
class Trip:
    flight: str = ""


def desk(travel: Speaker, refunder: Speaker, tool: Any, **config: Any) -> AgentTeam:
    team = AgentTeam(
        "desk",
        TeamConfig(mode="swarm", **config),
        roles=[AgentRole(name="travel"), AgentRole(name="refunder"), AgentRole(name="user")],
    )
    team.assign_agent(Agent("travel", model=travel.model), "travel")
    team.assign_agent(Agent("refunder", model=refunder.model, tools=[tool]), "refunder")
    return team


async def waiting(engine: OrchestrationEngine, run_id: str) -> Any:
    async with asyncio.timeout(60):
        while True:
            status = await engine.get_workflow_status(run_id)
            if status.state not in ("running", "pending"):
                return status
            await asyncio.sleep(0.01)


def test_a_swarm_in_a_stored_run_waits_for_its_user_and_repeats_nothing(tmp_path: Path) -> None:
    refunded: list[str] = []

    async def refund_flight(flight: str) -> str:
        """Refund a flight."""
        refunded.append(flight)
        return f"{flight} refunded"

    travel = speaker(call("transfer_to_refunder"), "Your flight is refunded")
    refunder = speaker(
        call("transfer_to_user", message="Which flight?"),
        call("refund_flight", flight="507811"),
        call("transfer_to_travel"),
    )

    def engine_of() -> OrchestrationEngine:
        engine = OrchestrationEngine(EngineConfig(state_store=f"sqlite:///{tmp_path}/runs.db"))
        engine.register_team("desk", desk(travel, refunder, refund_flight))
        return engine

    async def ask() -> str:
        engine = engine_of()
        run_id = await engine.start_workflow(FLOW, "I need to refund my flight", persist_state=True)
        status = await waiting(engine, run_id)
        (question,) = status.questions
        assert status.state == "waiting"
        assert question.data["message"] == "Which flight?"
        await engine.stop()
        return run_id

    async def answer(run_id: str) -> None:
        engine = engine_of()
        (question,) = (await engine.get_workflow_status(run_id)).questions
        await engine.answer(run_id, question.id, "507811")
        await engine.recover()
        result = await engine.wait(run_id)
        assert "Your flight is refunded" in str(result)
        await engine.stop()

    run_id = asyncio.run(ask())
    asyncio.run(answer(run_id))
    assert refunded == ["507811"]
    # Each request was made once, in one process or the other.
    assert (len(travel.asked), len(refunder.asked)) == (2, 3)
    assert "507811" in str(refunder.asked[1])


def test_after_a_crash_of_a_later_member_nothing_is_asked_again(tmp_path: Path) -> None:
    changed: list[str] = []
    hooks: list[str] = []
    checks: list[str] = []

    async def change(ctx: RunContext[Trip]) -> str:
        """Change the seat."""
        changed.append(ctx.deps.flight)
        return f"seat on {ctx.deps.flight}"

    async def rebook(ctx: RunContext[Trip], flight: str) -> str:
        """Rebook to another flight."""
        ctx.deps.flight = flight
        return f"on {flight}"

    def assign(handing: Any) -> None:
        hooks.append("assigned")
        handing.state.flight = f"FLT-{len(hooks)}"

    async def check(task: Any) -> bool:
        checks.append(task)
        return True

    travel = speaker(call("transfer_to_refunder"))
    refunder = speaker(
        call("rebook", flight="FLT-9"),
        RuntimeError("crash"),
        call("change"),
        lambda messages: last_part(messages).content,
    )
    team = AgentTeam(
        "desk",
        TeamConfig(
            mode="swarm", state=Trip, guardrails=[Guardrail(check, "beside", name="checked")]
        ),
        roles=[AgentRole(name="travel"), AgentRole(name="refunder")],
    )
    team.assign_agent(Agent("travel", model=travel.model), "travel")
    team.assign_agent(Agent("refunder", model=refunder.model, tools=[change, rebook]), "refunder")
    team.configure_handoffs(
        [AgentHandoff(from_role="travel", to_role="refunder", on_handoff=assign)]
    )

    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig(state_store=f"sqlite:///{tmp_path}/runs.db"))
        engine.register_team("desk", team)
        run_id = await engine.start_workflow(FLOW, "seat", persist_state=True)
        async with asyncio.timeout(60):
            result = await engine.wait(run_id)
        assert "seat on FLT-9" in str(result)
        await engine.stop()

    asyncio.run(main())
    assert len(travel.asked) == 1
    assert hooks == ["assigned"]
    assert checks == ["seat"]
    assert changed == ["FLT-9"]


def test_a_conversation_on_disk_goes_on_in_another_process(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/chats.db"

    async def lead(payload: Any) -> Any:
        return Handoff("transfer_to_seats", {"wish": payload})

    async def move(ctx: RunContext[Trip], seat: str) -> str:
        """Move to a seat."""
        return f"{seat} on {ctx.deps.flight}"

    def assign(handing: Any) -> None:
        handing.state.flight = "FLT-7"

    seats = speaker(
        call("transfer_to_user", message="Which one?"),
        call("move", seat="3A"),
        lambda messages: last_part(messages).content,
    )

    def team_of() -> AgentTeam:
        team = AgentTeam(
            "airline",
            TeamConfig(mode="swarm", state=Trip, history=store),
            roles=[AgentRole(name="lead"), AgentRole(name="seats")],
        )
        team.assign_agent(Agent("lead", lead), "lead")
        team.assign_agent(Agent("seats", model=seats.model, tools=[move]), "seats")
        team.configure_handoffs(
            [
                AgentHandoff(from_role="lead", to_role="seats", on_handoff=assign),
                AgentHandoff(from_role="seats", to_role="user"),
            ]
        )
        return team

    async def one(message: str) -> Any:
        async with ActorSystem():
            return await team_of().ask(message, session="user-17")

    first = asyncio.run(one("a seat"))
    assert (first.final, first.waiting) == ("Which one?", True)
    second = asyncio.run(one("3A"))
    assert (second.final, second.speaker) == ("3A on FLT-7", "seats")
    assert second.state == Trip("FLT-7")
    assert [(u.speaker, u.kind) for u in second.conversation] == [
        ("user", "message"),
        ("lead", "handoff"),
        ("seats", "handoff"),
        ("user", "message"),
        ("seats", "tool"),
        ("seats", "message"),
    ]
    assert second.conversation[1].content["data"] == {"wish": "a seat"}
    # What the model was shown in the other process is what it was shown before, and more.
    before, after = (
        [str(getattr(part, "content", part.part_kind)) for m in asked for part in m.parts]
        for asked in seats.asked[:2]
    )
    assert after[: len(before)] == before
    assert after[-1] == "3A"


def test_a_turn_of_a_session_in_a_stored_run_is_kept_once(tmp_path: Path) -> None:
    lead = speaker("hello", RuntimeError("crash"), "hello again")
    team = AgentTeam("desk", TeamConfig(mode="swarm"), roles=[AgentRole(name="lead")])
    team.assign_agent(Agent("lead", model=lead.model), "lead")

    async def main() -> Any:
        engine = OrchestrationEngine(EngineConfig(state_store=f"sqlite:///{tmp_path}/runs.db"))
        engine.register_team("desk", team)
        for message in ("one", "two"):
            await engine.execute(
                workflow=FLOW, input_data=message, persist_state=True, context={"session": "s"}
            )
        result = await team.ask("three", session="s")
        await engine.stop()
        return result

    result = asyncio.run(main())
    assert [u.content for u in result.conversation] == [
        "one", "hello", "two", "hello again", "three", "hello again"
    ]  # fmt: skip


def test_guardrails_of_a_team_that_waits_for_its_user_are_checked_once(tmp_path: Path) -> None:
    checks: list[Any] = []

    async def check(value: Any) -> bool:
        checks.append(value)
        return True

    lead = speaker(call("transfer_to_user", message="Which flight?"), "done")
    team = AgentTeam(
        "desk",
        TeamConfig(
            mode="swarm",
            guardrails=[
                Guardrail(check, "before", name="one"),
                Guardrail(check, "beside", name="two"),
                Guardrail(check, "after", name="three"),
            ],
        ),
        roles=[AgentRole(name="lead"), AgentRole(name="user")],
    )
    team.assign_agent(Agent("lead", model=lead.model), "lead")

    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig(state_store=f"sqlite:///{tmp_path}/runs.db"))
        engine.register_team("desk", team)
        run_id = await engine.start_workflow(
            FLOW, "a refund", persist_state=True, context={"session": "s"}
        )
        (question,) = (await waiting(engine, run_id)).questions
        assert question.data == {"message": "Which flight?", "team": "desk", "session": "s"}
        await engine.answer(run_id, question.id, "507811")
        async with asyncio.timeout(60):
            await engine.wait(run_id)
        result = await team.ask("thanks", session="s")
        assert [u.content for u in result.conversation if u.kind == "message"] == [
            "a refund", "507811", "done", "thanks", "done"
        ]  # fmt: skip
        await engine.stop()

    asyncio.run(main())
    assert checks[:3] == ["a refund", "a refund", "done"]
    assert len(lead.asked) == 3
