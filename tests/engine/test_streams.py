"""Streams of stored runs that are joined late: every event once, in order, up to the real end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    WorkflowEvent,
    WorkflowStream,
    define_workflow,
)
from agenticaiframework.patterns.engine.state.live import LiveRun
from agenticaiframework.patterns.engine.state.run import Run
from agenticaiframework.patterns.engine.state.stream import LiveEvents
from agenticaiframework.patterns.engine.store.sqlite.backend import SQLiteBackend

from .conftest import Cast, engine, run_in_virtual_time, steps


async def seen(stream: WorkflowStream) -> list[str]:
    """Return what the stream tells until its end."""
    async with asyncio.timeout(120):
        return [f"{event.kind} {event.step}".strip() async for event in stream]


def told(*names: str) -> list[str]:
    return [f"{kind} {name}" for name in names for kind in ("step_started", "step_completed")]


@pytest.mark.parametrize("late", ["step_completed", "workflow_completed", "workflow_rewound"])
def test_what_is_being_written_when_a_stream_begins_is_told(
    late: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = threading.Event(), threading.Event()
    commit = SQLiteBackend.commit

    def slow(backend: SQLiteBackend, jobs: list[Any]) -> None:
        if not go_on.is_set() and late in repr([getattr(job, "rows", None) for job in jobs]):
            writing.set()
            assert go_on.wait(120)
        commit(backend, jobs)

    monkeypatch.setattr(SQLiteBackend, "commit", slow)

    async def main() -> None:
        url = f"sqlite:///{tmp_path}/runs.sqlite"
        e = OrchestrationEngine(EngineConfig(state_store=url, persist_state=True))
        e.register_agent("a", echo)
        e.register_agent("b", echo)
        run = await e.start_workflow(workflow=steps("a", "b"), input_data=1)
        expected = ["workflow_started", *told("a", "b"), "workflow_completed"]
        if late == "workflow_rewound":
            await e.wait(run)
            await e.retry_from(run, "b")
            expected += ["workflow_rewound", *told("b"), "workflow_completed"]
        assert await asyncio.to_thread(writing.wait, 120)
        asyncio.get_running_loop().call_later(0.1, go_on.set)
        assert await seen(e.stream(run)) == expected
        await e.stop()

    asyncio.run(main())


async def echo(payload: Any) -> Any:
    return payload


@pytest.mark.parametrize("turns", range(8))
def test_a_stream_of_a_run_that_goes_on_again_does_not_end_with_its_first_end(
    turns: int, sim: Any, cast: Cast
) -> None:
    cast.failing("a", 1)
    cast.slow("b", 1)

    async def main() -> None:
        e = engine(state_store="memory://", persist_state=True)
        run = await e.start_workflow(workflow=steps("a", "b"))
        first = await seen(e.stream(run))
        assert first[-1] == "workflow_failed"
        await e.resume_workflow(run)
        for _ in range(turns):
            await asyncio.sleep(0)
        second = await seen(e.stream(run))
        assert second[: len(first)] == first
        assert second[len(first) :] == ["workflow_resumed", *told("a", "b"), "workflow_completed"]
        await e.retry_from(run, "b")
        for _ in range(turns):
            await asyncio.sleep(0)
        third = await seen(e.stream(run))
        assert third[: len(second)] == second
        assert third[len(second) :] == ["workflow_rewound", *told("b"), "workflow_completed"]
        assert await seen(e.stream(run)) == third

    sim(main)


def test_a_stream_ends_also_when_something_is_told_after_the_end() -> None:
    """As when a write is acknowledged after the engine was stopped."""
    run = LiveRun(Run("w", define_workflow(steps("a")).plan, None, 0.0))

    async def begin(stream: WorkflowStream) -> LiveEvents:
        events = LiveEvents(run)
        for kind in (EventKind.WORKFLOW_FAILED, EventKind.STEP_COMPLETED):
            run.publish([WorkflowEvent(kind, "w")])
        run.over = True
        return events

    found = asyncio.run(seen(WorkflowStream(begin)))
    assert found == ["workflow_failed", "step_completed"]
    assert run.listeners is None


@pytest.mark.parametrize("victim", ["RunCoordinator", "StoreKeeper"])
def test_a_stream_goes_on_after_a_crash_inside_the_engine(victim: str, cast: Cast) -> None:
    cast.agent("a", "A")
    cast.slow("b", 10, "B")
    cast.agent("c", "C")

    async def main() -> None:
        async with engine(state_store="memory://", persist_state=True) as e:
            system = ActorSystem.current()
            await e.start_workflow(workflow=steps("a", "b", "c"), workflow_id="w")
            reading = asyncio.create_task(seen(e.stream("w")))
            await asyncio.sleep(1)
            [ref] = [r for r in system.actors() if r.actor_class.__name__ == victim]
            ref.kill()
            events = await reading
            assert events[:4] == ["workflow_started", *told("a"), "step_started b"]
            assert events[-4:] == ["step_completed b", *told("c"), "workflow_completed"]

    run_in_virtual_time(main)


def test_a_definition_in_the_place_of_an_id_is_refused() -> None:
    engine: Any = OrchestrationEngine()
    with pytest.raises(TypeError, match=r"engine\.stream\(workflow=\.\.\., input_data=\.\.\.\)"):
        engine.stream(steps("a"))
