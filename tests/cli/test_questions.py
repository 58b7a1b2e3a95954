"""What stored runs ask, shown and answered by the command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cyclopts")

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, agent_context
from agenticaiframework.cli import main
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine


class Desk:
    """A store, an agent that asks, and the command."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/runs.sqlite"

    def engine(self) -> OrchestrationEngine:
        engine = OrchestrationEngine(EngineConfig(state_store=self.url, persist_state=True))
        engine.register_agent("clerk", Agent("clerk", handler=self.ask))
        return engine

    async def ask(self, payload: Any) -> Any:
        context = agent_context()
        return await asyncio.gather(
            context.question("note", {"say": "hello"}, group="g"),
            context.question(
                "approve:c7",
                {"tool": "refund", "arguments": {"order": 7}, "call_id": "c7", "reason": "dear"},
                group="g",
            ),
        )

    def begin(self) -> str:
        async def begin() -> str:
            async with ActorSystem("test"), self.engine() as engine:
                flow = {"name": "flow", "steps": [{"id": "s", "agent": "clerk"}]}
                run_id = await engine.start_workflow(workflow=flow)
                async with asyncio.timeout(120):
                    while (await engine.get_workflow_status(run_id)).state != "waiting":
                        await asyncio.sleep(0.01)
                return run_id

        return asyncio.run(begin())

    def go_on(self, run_id: str) -> Any:
        async def go_on() -> Any:
            async with ActorSystem("test"), self.engine() as engine:
                await engine.recover()
                return (await engine.wait(run_id, 120))["s"]

        return asyncio.run(go_on())

    def command(self, *arguments: str) -> int:
        return main(["workflows", *arguments, "--store", self.url])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_questions_are_shown_and_answered(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = desk.begin()
    assert desk.command("show", run_id) == 0
    shown = capsys.readouterr().out
    assert 'asks s/note: {"say": "hello"}' in shown
    assert 'approve s/approve:c7: refund {"order": 7} (dear)' in shown
    assert desk.command("show", run_id, "--json") == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [one["id"] for one in steps["s"]["questions"]] == ["s/note", "s/approve:c7"]
    assert desk.command("answer", run_id, "note", "--value", '{"say": "hi"}') == 0
    assert "'s/note'" in capsys.readouterr().out
    arguments = ["--arguments", '{"order": 8}', "--json"]
    assert desk.command("approve", run_id, "c7", "--yes", *arguments) == 0
    assert json.loads(capsys.readouterr().out)["question"] == "s/approve:c7"
    assert desk.go_on(run_id) == [
        {"say": "hi"},
        {"approved": True, "arguments": {"order": 8}},
    ]


def test_a_call_is_denied_with_a_reason(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = desk.begin()
    assert desk.command("approve", run_id, "c7", "--no", "--reason", "too dear") == 0
    assert desk.command("answer", run_id, "note") == 0
    assert desk.go_on(run_id) == [None, {"approved": False, "reason": "too dear"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["approve", "c7"], "say --yes or --no"),
        (["approve", "c8", "--yes"], "no open question 'c8'"),
        (["approve", "note", "--yes"], "not about a tool"),
        (["approve", "c7", "--yes", "--arguments", "[1]"], "a JSON object"),
        (["approve", "c7", "--no", "--arguments", "{}"], "denied"),
        (["answer", "nte"], "s/note"),
        (["answer", "note", "--value", "{bad"], "is not JSON"),
    ],
)
def test_what_cannot_be_is_said(
    desk: Desk, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    run_id = desk.begin()
    name, *rest = arguments
    assert desk.command(name, run_id, *rest) != 0
    assert said in capsys.readouterr().err


def test_a_second_answer_is_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = desk.begin()
    assert desk.command("answer", run_id, "note") == 0
    assert desk.command("answer", run_id, "note") != 0
    assert "answered already" in capsys.readouterr().err
