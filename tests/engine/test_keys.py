"""Idempotency keys: one for each piece of work, whatever attempts are made at it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from agenticaiframework.actors import agent_context
from agenticaiframework.orchestration import EngineConfig, OrchestrationEngine, WorkflowFailed

from .conftest import run_in_virtual_time


@pytest.mark.parametrize("stored", [False, True])
def test_attempts_share_a_key_and_other_work_has_another(stored: bool) -> None:
    keys: list[str] = []
    failing = True

    def work(payload: Any) -> Any:
        context = agent_context()
        keys.append(context["idempotency_key"])
        if context["attempt"] == 1 and context["step"] != "loop" and "compensating" not in context:
            raise ConnectionError("the answer is lost")
        return {"done": context.get("iteration", 1) == 2}

    def breaks(_: Any) -> str:
        if failing:
            raise ValueError("no")
        return "ok"

    async def main() -> None:
        nonlocal failing
        engine = OrchestrationEngine(EngineConfig(state_store="memory://", persist_state=stored))
        retry = {"attempts": 2, "initial_delay_s": 0.1}
        steps = [
            {"id": "pay", "agent": work, "retry": retry, "compensate": work},
            {"id": "each", "agent": work, "retry": retry, "for_each": [0, 1]},
            {"id": "loop", "agent": work, "max_iterations": 3},
            {"id": "break", "agent": breaks},
        ]
        run = await engine.start_workflow({"name": "flow", "steps": steps}, workflow_id="a:b")
        with pytest.raises(WorkflowFailed):
            await engine.wait(run)
        assert Counter(keys) == {
            "a%3Ab:pay": 2,
            "a%3Ab:each:0": 2,
            "a%3Ab:each:1": 2,
            "a%3Ab:loop": 1,
            "a%3Ab:loop#2": 1,
            "a%3Ab:pay!undo": 1,
        }
        # It was undone: to pay again is other work.
        keys.clear()
        failing = False
        await engine.resume_workflow(run)
        await engine.wait(run)
        assert keys == ["a%3Ab:pay@2"]
        keys.clear()
        await engine.retry_from(run, "loop")
        await engine.wait(run)
        assert set(keys) == {"a%3Ab:loop@2", "a%3Ab:loop#2@2"}
        await engine.stop()

    run_in_virtual_time(main)
