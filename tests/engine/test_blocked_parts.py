"""A run of which a part is blocked only waits: it says so, and takes no other run's place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowRun,
    WorkflowState,
    WorkflowStatus,
    workflow,
)

OUTER = {"name": "outer", "steps": [{"id": "book", "workflow": "inner"}]}
MIDDLE = {"name": "middle", "steps": [{"id": "trip", "workflow": OUTER}]}
QUICK = {"name": "quick", "steps": [{"id": "a", "agent": abs, "input": -1}]}


@workflow(name="inner")
async def before(run: WorkflowRun) -> Any:
    return await run.wait_for("go")


@workflow(name="inner")
async def changed(run: WorkflowRun) -> Any:
    await run.step(abs, -1)
    return await run.wait_for("go")


def make_engine(folder: Path, code: Any) -> OrchestrationEngine:
    config = EngineConfig(
        state_store=f"sqlite:///{folder}/runs.sqlite",
        max_concurrent_workflows=1,
        recover_on_start=True,
        poll_seconds=0.02,
    )
    engine = OrchestrationEngine(config)
    engine.register_workflow(code)
    engine.register_workflow("outer", OUTER)
    return engine


async def seen(
    engine: OrchestrationEngine, run: str, what: Callable[[WorkflowStatus], bool]
) -> WorkflowStatus:
    async with asyncio.timeout(120):
        while not what(status := await engine.get_workflow_status(run)):
            await asyncio.sleep(0.005)
    return status


async def start_and_wait(folder: Path, flow: dict[str, Any]) -> str:
    async with make_engine(folder, before) as engine:
        run = await engine.start_workflow(flow, persist_state=True)
        await seen(engine, run, lambda status: status.state is WorkflowState.WAITING)
    return run


def is_held_up(status: WorkflowStatus) -> bool:
    return status.state is WorkflowState.WAITING and "blocked" in (status.last_error or "")


def test_a_run_says_that_it_waits_for_a_blocked_part_and_why(tmp_path: Path) -> None:
    async def main() -> None:
        run = await start_and_wait(tmp_path, MIDDLE)
        async with make_engine(tmp_path, changed) as engine:
            status = await seen(engine, run, is_held_up)
        looks = EngineConfig(state_store=engine.config.state_store)
        async with OrchestrationEngine(looks) as another:
            from_elsewhere = await another.get_workflow_status(run)
        for found in (status, from_elsewhere):
            error, step = found.last_error or "", found.steps["trip"]
            assert error.startswith("the nested run 'trip/book' is blocked: The code of workflow")
            assert step.state == "waiting"
            assert found.children["trip"].steps["book"].state == "waiting"
            assert "blocked" in (found.children["trip"].steps["book"].error or "")
            assert found.children["trip/book"].state is WorkflowState.BLOCKED

    asyncio.run(main())


def test_a_blocked_part_takes_no_place(tmp_path: Path) -> None:
    async def main() -> None:
        run = await start_and_wait(tmp_path, OUTER)
        async with make_engine(tmp_path, changed) as engine:
            await seen(engine, run, is_held_up)
            assert await engine.execute(QUICK, timeout=120) == {"a": 1}

    asyncio.run(main())


def test_a_run_goes_on_once_its_part_can(tmp_path: Path) -> None:
    async def main() -> None:
        run = await start_and_wait(tmp_path, MIDDLE)
        async with make_engine(tmp_path, changed) as engine:
            await seen(engine, run, is_held_up)
            await engine.signal_workflow(run, "go", "yes")
            engine.register_workflow(before)
            await engine.recover()
            assert await engine.wait(run, timeout=120) == {"trip": {"book": "yes"}}
            status = await engine.get_workflow_status(run)
            assert (status.state, status.last_error) == ("completed", None)

    asyncio.run(main())


def test_a_run_that_waits_for_a_blocked_part_is_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        run = await start_and_wait(tmp_path, MIDDLE)
        async with make_engine(tmp_path, changed) as engine:
            await seen(engine, run, is_held_up)
            async with asyncio.timeout(120):
                report = await engine.cancel_workflow(run, "enough")
            assert report.state is WorkflowState.CANCELLED
            assert [one.state for one in await engine.list_workflows()] == ["cancelled"] * 3

    asyncio.run(main())
