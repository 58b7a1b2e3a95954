"""What is kept of a run that has ended: its times, its undone steps, and its place for others."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowStatus,
)
from agenticaiframework.patterns.engine.store.urls import open_store

from .conftest import Cast, run_in_virtual_time, steps

Check = Callable[[OrchestrationEngine], Awaitable[None]]


def dates() -> float:
    """The dates of the simulated world: the loop's own time."""
    try:
        return 1_000_000 + asyncio.get_running_loop().time()
    except RuntimeError:
        return 1_000_000.0


class Kept:
    """Runs work in an engine, and has it looked at where *how* says: there, or in another engine."""

    def __init__(self, how: str) -> None:
        self.how = how
        self._store = None if how == "in memory" else open_store("memory://", clock=dates)

    @asynccontextmanager
    async def engine(self, **more: Any) -> AsyncIterator[OrchestrationEngine]:
        config: dict[str, Any] = {"wall_clock": dates, **more}
        if self._store is not None:
            config |= {"state_store": self._store, "persist_state": True, "lease_seconds": 10}
        async with OrchestrationEngine(EngineConfig(**config)) as engine:
            yield engine

    async def look(self, work: Check, check: Check) -> None:
        async with self.engine() as engine:
            await work(engine)
            if self.how != "in another engine":
                await check(engine)
        if self.how == "in another engine":
            async with self.engine() as engine:
                await check(engine)


@pytest.fixture(params=["in memory", "stored", "in another engine"])
def kept(request: pytest.FixtureRequest) -> Kept:
    return Kept(request.param)


async def times(e: OrchestrationEngine, *, state: str) -> WorkflowStatus:
    status = await e.get_workflow_status("w")
    assert status.state == state
    (listed,) = await e.list_workflows(state=state)
    assert listed.finished_at == status.finished_at
    return status


def test_the_times_of_a_run_that_completed(kept: Kept, cast: Cast) -> None:
    cast.slow("a", 2)
    cast.slow("b", 3)

    async def work(e: OrchestrationEngine) -> None:
        await asyncio.sleep(5)
        await e.execute(workflow=steps("a", "b"), workflow_id="w")
        await asyncio.sleep(50)

    async def check(e: OrchestrationEngine) -> None:
        status = await times(e, state="completed")
        assert status.duration_s == pytest.approx(5, abs=0.01)
        assert status.started_at == pytest.approx(1_000_005, abs=0.01)
        assert [s.duration_s for s in status.steps.values()] == pytest.approx([2, 3], abs=0.01)

    run_in_virtual_time(lambda: kept.look(work, check))


def test_the_times_of_a_run_that_failed(kept: Kept, cast: Cast) -> None:
    cast.slow("a", 2)

    async def fail(payload: Any) -> None:
        await asyncio.sleep(3)
        raise ValueError("b is down")

    cast.agent("b", fail)

    async def work(e: OrchestrationEngine) -> None:
        with pytest.raises(WorkflowFailed, match="b is down"):
            await e.execute(workflow=steps("a", "b"), workflow_id="w")
        await asyncio.sleep(50)

    async def check(e: OrchestrationEngine) -> None:
        status = await times(e, state="failed")
        assert status.duration_s == pytest.approx(5, abs=0.01)
        assert status.steps["b"].duration_s == pytest.approx(3, abs=0.01)
        assert status.steps["b"].error is not None
        assert status.last_error is not None
        assert "b is down" in status.steps["b"].error
        assert "b is down" in status.last_error

    run_in_virtual_time(lambda: kept.look(work, check))


def test_the_times_of_a_run_that_was_cancelled(kept: Kept, cast: Cast) -> None:
    cast.slow("a", 100)

    async def work(e: OrchestrationEngine) -> None:
        await e.start_workflow(workflow=steps("a"), workflow_id="w")
        await asyncio.sleep(4)
        await e.cancel_workflow("w", "not needed")
        await asyncio.sleep(50)

    async def check(e: OrchestrationEngine) -> None:
        status = await times(e, state="cancelled")
        assert status.duration_s == pytest.approx(4, abs=0.01)
        assert status.steps["a"].duration_s == pytest.approx(4, abs=0.01)
        assert (status.reason, status.steps["a"].state) == ("not needed", "cancelled")

    run_in_virtual_time(lambda: kept.look(work, check))


def test_a_run_that_is_resumed_has_no_end_until_it_ends_again(kept: Kept, cast: Cast) -> None:
    cast.failing("a", 1)
    cast.slow("b", 10)

    async def work(e: OrchestrationEngine) -> None:
        with pytest.raises(WorkflowFailed):
            await e.execute(workflow=steps("a", "b"), workflow_id="w")
        await asyncio.sleep(5)
        await e.resume_workflow("w")
        await asyncio.sleep(1)
        status = await e.get_workflow_status("w")
        assert (status.state, status.finished_at, status.last_error) == ("running", None, None)
        await e.wait("w")

    async def check(e: OrchestrationEngine) -> None:
        status = await times(e, state="completed")
        assert status.duration_s == pytest.approx(15, abs=0.01)
        assert status.last_error is None

    run_in_virtual_time(lambda: kept.look(work, check))


# --------------------------------------------------------------------------- undoing


UNDONE = steps(
    {"id": "one", "agent": "a", "compensate": "undo"},
    {"id": "two", "agent": "a", "compensate": "broken"},
    {"id": "three", "agent": "a", "compensate": {"agent": "undo", "input": "$output.missing"}},
    {"id": "four", "agent": "a", "compensate": "undo"},
    "last",
)


def test_an_undo_that_fails_is_told_and_those_of_earlier_steps_still_run(
    kept: Kept, cast: Cast
) -> None:
    cast.agent("a", {"x": 1})
    cast.agent("undo")
    cast.failing("broken", 9)
    cast.failing("last", 9)

    async def work(e: OrchestrationEngine) -> None:
        with pytest.raises(WorkflowFailed, match="last is down"):
            await e.execute(workflow=UNDONE, workflow_id="w")

    async def check(e: OrchestrationEngine) -> None:
        status = await e.get_workflow_status("w")
        assert {s.id: str(s.state) for s in status.steps.values()} == {
            "one": "compensated",
            "two": "completed",
            "three": "completed",
            "four": "compensated",
            "last": "failed",
        }
        assert "broken is down" in str(status.steps["two"].error)
        assert "missing" in str(status.steps["three"].error)
        assert status.current_steps == ("last",)

    run_in_virtual_time(lambda: kept.look(work, check))
    assert cast.asked.count("undo") == 2


def test_a_cancellation_names_what_it_stopped_what_it_undid_and_what_it_could_not(
    kept: Kept, cast: Cast
) -> None:
    cast.agent("a", {"x": 1})
    cast.agent("undo")
    cast.failing("broken", 9)
    cast.slow("last", 100)

    async def work(e: OrchestrationEngine) -> None:
        await e.start_workflow(workflow=UNDONE, workflow_id="w")
        await asyncio.sleep(1)
        report = await e.cancel_workflow("w")
        assert (report.state, report.already_finished) == ("cancelled", False)
        assert report.stopped_steps == ("last",)
        assert report.compensated_steps == ("four", "one")
        assert report.failed_compensations == ("three", "two")

    async def check(e: OrchestrationEngine) -> None:
        report = await e.cancel_workflow("w")
        assert (report.state, report.already_finished) == ("cancelled", True)
        assert report.stopped_steps == report.compensated_steps == ()

    run_in_virtual_time(lambda: kept.look(work, check))


# --------------------------------------------------------------------------- places


@pytest.mark.parametrize("stored", [False, True])
def test_runs_that_need_no_turn_of_their_own_do_not_change_how_many_run(
    stored: bool, cast: Cast
) -> None:
    now, most = [0], [0]

    async def work(payload: Any) -> None:
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(1)
        now[0] -= 1

    inner = steps({"id": "w", "wait_for": {"signal": "go", "timeout_seconds": 1, "default": 1}})
    outer = steps({"id": "in", "workflow": inner}, {"id": "out", "workflow": steps("quick")})
    cast.agent("quick")

    async def main() -> None:
        async with Kept("stored" if stored else "in memory").engine(
            max_concurrent_workflows=2
        ) as e:
            for _ in range(3):
                await e.execute(workflow=outer)
            flow = steps({"id": "a", "agent": work})
            ids = [await e.start_workflow(workflow=flow) for _ in range(6)]
            for wid in ids:
                await e.wait(wid)

    run_in_virtual_time(main)
    assert most[0] == 2


def test_a_queued_run_that_is_cancelled_takes_no_place(cast: Cast) -> None:
    cast.slow("a", 1)

    async def main() -> None:
        async with Kept("in memory").engine(max_concurrent_workflows=1) as e:
            ids = [await e.start_workflow(workflow=steps("a")) for _ in range(4)]
            report = await e.cancel_workflow(ids[2])
            assert (report.state, report.stopped_steps) == ("cancelled", ())
            assert (await e.get_workflow_status(ids[1])).state == "pending"
            for wid in (ids[0], ids[1], ids[3]):
                assert await e.wait(wid) == {"a": None}
            began = [(await e.get_workflow_status(wid)).started_at for wid in (ids[1], ids[3])]
            assert began == pytest.approx([1_000_001, 1_000_002], abs=0.01)

    run_in_virtual_time(main)


# --------------------------------------------------------------------------- results


def test_a_run_in_a_list_says_what_its_status_says(kept: Kept, cast: Cast) -> None:
    cast.slow("a", 100)
    labels = {"team": "billing"}

    async def work(e: OrchestrationEngine) -> None:
        await e.start_workflow(workflow=steps("a"), workflow_id="w", labels=labels)
        await asyncio.sleep(4)
        await e.cancel_workflow("w", "not needed")

    async def check(e: OrchestrationEngine) -> None:
        status = await e.get_workflow_status("w")
        (listed,) = await e.list_workflows()
        for name in ("workflow_id", "name", "state", "created_at", "finished_at", "last_error"):
            assert getattr(listed, name) == getattr(status, name), name
        assert (listed.reason, listed.persisted) == ("not needed", kept.how != "in memory")
        assert (listed.labels, listed.parent) == (labels, None)
        with pytest.raises(WorkflowCancelled) as cancelled:
            await e.wait("w")
        error = cancelled.value
        assert (error.workflow, error.workflow_id, error.reason) == ("test", "w", "not needed")

    run_in_virtual_time(lambda: kept.look(work, check))


def test_a_result_can_be_copied_and_sent_to_another_process(cast: Cast) -> None:
    cast.agent("a", {"x": [1]})

    async def main() -> None:
        async with Kept("in memory").engine() as e:
            result = await e.execute(workflow=steps("a"), workflow_id="w")
            for again in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
                assert type(again) is type(result)
                assert again == result == {"a": {"x": [1]}}
                assert (again.output, again.workflow_id, again.name) == ({"x": [1]}, "w", "test")

    run_in_virtual_time(main)
