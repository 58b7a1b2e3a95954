"""The programs in examples/gallery that are about agents together."""

from __future__ import annotations

import asyncio
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework import GuardrailTripped
from agenticaiframework.actors import ActorSystem
from agenticaiframework.testing import scripted_model

pytest.importorskip("pydantic_ai")

GALLERY = Path(__file__).parents[2] / "examples" / "gallery"


def program(name: str) -> dict[str, Any]:
    return runpy.run_path(str(GALLERY / name))


def test_a_swarm_refunds_a_flight() -> None:
    names = program("06_refund_swarm.py")
    with scripted_model(names["script"]):
        first, result = asyncio.run(names["main"]())
    assert (first.waiting, result.waiting) == (True, False)
    assert result.final == "Your flight is refunded"
    assert names["refunded"] == ["507811"]
    assert [(u.role, u.kind) for u in result.conversation] == [
        ("user", "message"),
        ("travel_agent", "handoff"),
        ("refunder", "handoff"),
        ("user", "message"),
        ("refunder", "tool"),
        ("refunder", "handoff"),
        ("travel_agent", "message"),
    ]


def test_a_poet_writes_until_a_critic_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    names = program("07_write_and_judge.py")
    with scripted_model(names["script"]):
        refused = asyncio.run(names["main"]())
    said = capsys.readouterr().out
    assert "posted: Cars, lighter than rain after 2 rounds" in said
    assert (refused.draft, refused.feedback) == (names["SHORT"], "I do not like it.")
    assert len(names["published"]) == 1
    assert sorted(names["log"]) == ["a text about cats", "an image of cats"]


def called(name: str, *arguments: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, str(GALLERY / name), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return ran.stdout.splitlines()


def test_an_airline_serves_its_customers_in_two_processes(tmp_path: Path) -> None:
    store = str(tmp_path / "chats.db")
    messages = ["hi", "may I take a bag?", "I want another seat", "solve x + 2 = 4"]
    said = called("09_airline_service.py", store, *messages)
    assert said[1::2] == [
        "triage: Hello, how can I help?  [2 entries]",
        "questions: One bag of up to 23 kg.  [6 entries]",
        "seats: You sit on 3A of flight FLT-476 now.  [11 entries]",
        "refused (no homework): we do no homework",
    ]
    again = called("09_airline_service.py", store, "thanks")
    assert again[1] == "seats: Anything else about your seat?  [13 entries]"


def test_a_refusal_beside_costs_no_answer() -> None:
    names = program("09_airline_service.py")

    async def main() -> None:
        async with ActorSystem():
            with pytest.raises(GuardrailTripped, match="we do no homework"):
                await names["service"](":memory:").ask("solve x + 2 = 4", timeout=30)

    with scripted_model(names["script"]):
        asyncio.run(main())
    # The request was stopped, not waited for.
    assert names["asked"] == {"checker": 1, "triage": 1}


def test_a_manager_goes_on_in_another_process_after_the_review(tmp_path: Path) -> None:
    store = str(tmp_path / "runs.db")
    assert called("13_manager_with_ledger.py", "start", store) == []
    # No planner is asked again; the second pass asks the manager and the workers anew.
    assert called("13_manager_with_ledger.py", "finish", store) == [
        "reviewed: 1. gather facts  2. write",
        "first: A brief with facts about rivers",
        "again: A brief with facts about rivers",
        "asked: {'manager': 6, 'researcher': 2, 'writer': 2}",
    ]
