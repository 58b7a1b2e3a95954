"""The error of a failed run is the same, whoever asks for it: a caller here, another engine, a run around it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowFailed,
    WorkflowRun,
    WorkflowTimedOut,
    workflow,
)

RETRY = {"attempts": 3, "initial_delay_s": 0.001}


def bad(_: Any = None) -> None:
    raise ValueError("no")


def late(_: Any = None) -> None:
    raise TimeoutError("too late")


def odd(number: int) -> int:
    if number == 2:
        raise ValueError("two")
    return number


def one(_: Any = None) -> int:
    return 1


async def for_ever(_: Any = None) -> None:
    await asyncio.Event().wait()


@workflow(name="asks", timeout_seconds=60)
async def asks(run: WorkflowRun) -> None:
    await run.step(one)
    await run.ask("bad", 1, retry=RETRY, fallback="late")


@workflow(name="listens", timeout_seconds=0.01)
async def listens(run: WorkflowRun) -> None:
    await run.wait_for("never")


@workflow(name="raises")
async def raises(run: WorkflowRun) -> None:
    await run.step(one)
    raise KeyError("mine")


INNER = {"name": "inner", "steps": [{"id": "x", "agent": "bad", "retry": RETRY}]}
NEVER = {"signal": "never", "timeout_seconds": 0.01}
LIMITED = {"name": "limited", "timeout_seconds": 0.01, "steps": [{"id": "w", "wait_for": "never"}]}
UNDONE = {"id": "u", "agent": "one", "compensate": "one"}
NOT_UNDONE = {"id": "u", "agent": "one", "compensate": "bad"}

FLOWS: dict[str, Any] = {
    "an item": [{"id": "a", "agent": "odd", "for_each": [1, 2, 3]}],
    "a nested run": [{"id": "a", "workflow": INNER}],
    "a registered nested run": [{"id": "a", "workflow": "inner"}],
    "a nested run's time": [{"id": "a", "workflow": LIMITED}],
    "a fallback": [{"id": "a", "agent": "bad", "on_error": {"fallback": "late"}}],
    "a step's time": [{"id": "a", "agent": "for_ever", "timeout_seconds": 0.01}],
    "a wait's time": [{"id": "a", "wait_for": NEVER}],
    "after an undo": [UNDONE, {"id": "a", "agent": "late", "retry": RETRY}],
    "an undo, too": [NOT_UNDONE, {"id": "a", "agent": "bad"}],
    "a value": [{"id": "a", "agent": "one"}, {"id": "b", "agent": "one", "input": "$a.x.y"}],
    "the run's time": LIMITED,
    "the result": {"name": "r", "output": "$a.x.y", "steps": [{"id": "a", "agent": "one"}]},
    "code": asks,
    "code's time": listens,
    "code's own error": raises,
}


def make_engine(store: Any, **more: Any) -> OrchestrationEngine:
    engine = OrchestrationEngine(EngineConfig(state_store=store, persist_state=True, **more))
    for agent in (bad, late, odd, one, for_ever):
        engine.register_agent(agent.__name__, agent)
    for code in (asks, listens, raises):
        engine.register_workflow(code)
    engine.register_workflow("inner", INNER)
    return engine


def told(error: BaseException) -> dict[str, Any]:
    return {"kind": type(error), "text": str(error), "expected": False, **vars(error)}


async def error_of(engine: OrchestrationEngine, run: str) -> WorkflowFailed:
    with pytest.raises(WorkflowFailed) as caught:
        await engine.wait(run)
    return caught.value


def test_another_engine_raises_what_the_engine_of_the_run_has_raised(tmp_path: Path) -> None:
    async def main() -> None:
        store = f"sqlite:///{tmp_path}/runs.sqlite"
        async with make_engine(store) as here:
            for run, flow in FLOWS.items():
                given = {"name": "flow", "steps": flow} if isinstance(flow, list) else flow
                await here.start_workflow(given, workflow_id=run)
            raised = {run: told(await error_of(here, run)) for run in FLOWS}
        async with make_engine(store) as there:
            assert {run: told(await error_of(there, run)) for run in FLOWS} == raised

    asyncio.run(main())


def test_a_run_that_was_out_of_time_is_a_timeout_in_another_process(tmp_path: Path) -> None:
    async def main() -> None:
        store = f"sqlite:///{tmp_path}/runs.sqlite"
        async with make_engine(store) as here:
            run = await here.start_workflow(LIMITED)
            await error_of(here, run)
        async with make_engine(store) as there:
            with pytest.raises(TimeoutError) as caught:
                await there.wait(run)
        assert isinstance(caught.value, WorkflowTimedOut)

    asyncio.run(main())


def test_a_resumed_run_tells_its_new_failure(tmp_path: Path) -> None:
    causes: list[Exception] = [TimeoutError("first"), ValueError("second")]

    def fail(_: Any) -> None:
        raise causes.pop(0)

    async def main() -> None:
        store = f"sqlite:///{tmp_path}/runs.sqlite"
        async with make_engine(store) as here:
            here.register_agent("fail", fail)
            flow = {"name": "flow", "steps": [{"id": "a", "agent": "fail"}]}
            run = await here.start_workflow(flow)
            assert isinstance(await error_of(here, run), WorkflowTimedOut)
            await here.resume_workflow(run)
            raised = told(await error_of(here, run))
        async with make_engine(store) as there:
            assert told(await error_of(there, run)) == raised
        assert (raised["kind"], raised["reason"]) == (WorkflowFailed, "ValueError: second")

    asyncio.run(main())
