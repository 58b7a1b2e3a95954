"""What a stored run has spent, and may spend, goes on in the next process: and counts once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, Usage, UsageLimitReached, causes_of
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowFailed,
    WorkflowStatus,
    workflow,
)


async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse([TextPart("done")], usage=RequestUsage(input_tokens=100, output_tokens=20))


def spent(requests: int) -> Usage:
    return Usage(requests, 0, 100 * requests, 20 * requests, unpriced_requests=requests)


READER = Agent("usage_reader", model=FunctionModel(respond))
ASK = {"agent": READER}
WAIT = {"wait_for": {"signal": "go"}}
PLAIN = {"name": "plain", "steps": [{"id": "a", **ASK}, {"id": "w", **WAIT}, {"id": "b", **ASK}]}
NESTED = {
    "name": "nested",
    "steps": [
        {"id": "a", **ASK},
        {"id": "n", "workflow": {"name": "inner", "steps": PLAIN["steps"]}},
        {"id": "b", **ASK},
    ],
}


@workflow(name="usage_code")
async def code(run: Any, given: Any) -> Any:
    await run.ask(READER, given)
    await run.wait_for("go")
    return await run.ask(READER, given)


async def waiting(engine: OrchestrationEngine, run_id: str) -> WorkflowStatus:
    async with asyncio.timeout(60):
        while True:
            status = await engine.get_workflow_status(run_id)
            if status.state == "waiting":
                return status
            await asyncio.sleep(0.01)


async def first_life(url: str, definition: Any, **limits: Any) -> str:
    async with ActorSystem(), OrchestrationEngine(EngineConfig(state_store=url)) as engine:
        run_id = await engine.start_workflow(definition, "x", persist_state=True, **limits)
        await waiting(engine, run_id)
        return run_id


async def second_life(url: str, definition: Any, run_id: str) -> tuple[WorkflowStatus, Any, Any]:
    """Return the status as the next process finds it, that at the end, and what the run fails with."""
    config = EngineConfig(state_store=url, recover_on_start=True)
    async with ActorSystem(), OrchestrationEngine(config) as engine:
        engine.register_workflow("usage_code", code)
        engine.register_agent("usage_reader", READER)
        await engine.recover()
        found = await waiting(engine, run_id)
        await engine.signal_workflow(run_id, "go", "go on")
        error: BaseException | None = None
        try:
            await engine.wait(run_id, 60)
        except WorkflowFailed as failed:
            error = failed
        return found, await engine.get_workflow_status(run_id), error


@pytest.mark.parametrize(
    ("definition", "before", "after"),
    [(PLAIN, 1, 2), (NESTED, 2, 4), (code, 1, 2)],
    ids=["plain", "nested", "code"],
)
def test_sums_go_on(tmp_path: Path, definition: Any, before: int, after: int) -> None:
    url = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    run_id = asyncio.run(first_life(url, definition))
    found, ended, error = asyncio.run(second_life(url, definition, run_id))
    assert error is None
    assert found.usage == spent(before)
    assert ended.usage == spent(after)
    assert sum(step.usage for step in ended.steps.values()) == spent(after)


@pytest.mark.parametrize("definition", [PLAIN, NESTED, code], ids=["plain", "nested", "code"])
def test_limits_go_on(tmp_path: Path, definition: Any) -> None:
    url = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    limit = 2 if definition is NESTED else 1
    run_id = asyncio.run(first_life(url, definition, usage_limits={"request_limit": limit}))
    _, ended, error = asyncio.run(second_life(url, definition, run_id))
    assert error is not None
    reached = next(one for one in causes_of(error) if isinstance(one, UsageLimitReached))
    assert (reached.kind, reached.limit, reached.spent.requests) == (
        "workflow",
        "request_limit",
        limit,
    )
    assert ended.usage == spent(limit)
