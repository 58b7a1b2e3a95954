"""Signals: none is lost without a word, they keep their order, and a run that has ended takes none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    TooManySignals,
    WorkflowEnded,
    WorkflowRun,
    WorkflowState,
    workflow,
)
from agenticaiframework.patterns.engine.host import control
from agenticaiframework.patterns.engine.store import memory

from .conftest import Cast, engine, run_in_virtual_time, steps
from .outage import MoodyDisk, dates, moody_engine, moody_store
from .test_lease import SlowStore


def waits(count: int) -> dict[str, Any]:
    return steps(*({"id": f"w{n}", "wait_for": "go"} for n in range(count)))


@pytest.mark.parametrize("how", ["in memory", "stored", "another engine", "a fresh engine"])
def test_a_signal_to_a_run_that_has_ended_is_an_error(how: str, cast: Cast) -> None:
    cast.agent("a", "A")
    disk = MoodyDisk()

    async def main() -> None:
        stored = how != "in memory"
        async with moody_engine(disk, "one") as one, moody_engine(disk, "two") as two:
            await one.execute(workflow=steps("a"), workflow_id="w", persist_state=stored)
            sender = one if how in ("in memory", "stored") else two
            with pytest.raises(WorkflowEnded, match="has ended \\(completed\\)") as caught:
                await sender.signal_workflow("w", "go")
            assert isinstance(caught.value, ValueError)
            assert caught.value.state == "completed"
        if how == "a fresh engine":
            async with moody_engine(disk, "three") as three:
                with pytest.raises(WorkflowEnded):
                    await three.signal_workflow("w", "go")

    run_in_virtual_time(main)


def test_signals_through_two_engines_are_taken_in_the_order_in_which_they_were_kept() -> None:
    async def one_order(pattern: int) -> None:
        disk = MoodyDisk()
        async with moody_engine(disk, "one") as one, moody_engine(disk, "two") as two:
            await one.start_workflow(workflow=waits(6), workflow_id="w")
            await asyncio.sleep(0.7)
            for n in range(6):
                sender = one if pattern >> n & 1 else two
                await sender.signal_workflow("w", "go", n)
            result = await asyncio.wait_for(one.wait("w"), 20)
            assert [result[f"w{n}"] for n in range(6)] == [*range(6)], bin(pattern)

    async def main() -> None:
        for pattern in range(0, 64, 5):
            await one_order(pattern)

    run_in_virtual_time(main)


def test_a_signal_that_is_being_taken_is_not_taken_again() -> None:
    disk = MoodyDisk()

    async def main() -> None:
        async with (
            moody_engine(disk, "one", poll_seconds=0.01) as one,
            moody_engine(disk, "two") as two,
        ):
            await one.start_workflow(workflow=waits(4), workflow_id="w")
            await asyncio.sleep(1)
            await asyncio.gather(
                *((one if n % 2 else two).signal_workflow("w", "go", n) for n in range(4))
            )
            result = await asyncio.wait_for(one.wait("w"), 20)
            assert sorted(result.values()) == [0, 1, 2, 3]

    run_in_virtual_time(main)


def test_a_signal_that_ends_a_run_elsewhere_at_once_is_not_told_as_unused(
    logged: list[str],
) -> None:
    disk = MoodyDisk()
    slow = SlowStore(moody_store(disk), load_run=5.0)

    async def main() -> None:
        async with moody_engine(disk, "one", poll_seconds=0.01) as one:
            config = EngineConfig(state_store=slow, persist_state=True, wall_clock=dates)
            two = OrchestrationEngine(config)
            await one.start_workflow(workflow=waits(1), workflow_id="w")
            await asyncio.sleep(1)
            report = await two.signal_workflow("w", "go", 1)
            assert report.state == "completed"
            await two.stop()

    run_in_virtual_time(main)
    assert not any("nothing has taken" in line for line in logged)


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "in memory"])
def test_a_signal_too_many_is_an_error_and_none_is_lost(
    stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MAX_SIGNALS", 5)
    monkeypatch.setattr(control, "MAX_SIGNALS", 5)
    disk = MoodyDisk()
    first = {"id": "first", "wait_for": "begin"}
    flow = steps(first, *({"id": f"w{n}", "wait_for": "go"} for n in range(4)))

    async def main() -> None:
        async with moody_engine(disk, "one") as e, moody_engine(disk, "two") as other:
            await e.start_workflow(workflow=flow, workflow_id="w", persist_state=stored)
            await asyncio.sleep(1)
            for n in range(5):
                await e.signal_workflow("w", "go", n)
            for sender in (e, other) if stored else (e,):
                with pytest.raises(TooManySignals, match="was not kept"):
                    await sender.signal_workflow("w", "go", 99)
            with pytest.raises(TooManySignals):
                await e.signal_workflow("w", "begin")
            await e.cancel_workflow("w")

    run_in_virtual_time(main)


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "in memory"])
def test_signals_that_nothing_has_taken_are_told_when_the_run_ends(stored: bool) -> None:
    disk = MoodyDisk()

    async def main() -> None:
        letters = []
        ActorSystem.current().dead_letters.subscribe(letters.append)
        async with moody_engine(disk) as e:
            await e.start_workflow(workflow=waits(1), workflow_id="w", persist_state=stored)
            await asyncio.sleep(1)
            await e.signal_workflow("w", "other", 1)
            await e.signal_workflow("w", "go", 2)
            assert await asyncio.wait_for(e.wait("w"), 10) == {"w0": 2}
            await asyncio.sleep(1)
        told = [
            letter
            for letter in letters
            if "w" in letter.recipient and "ended" in str(letter.reason)
        ]
        assert [letter.message.name for letter in told] == ["other"]
        assert told[0].reason == "the workflow has ended (completed)"

    run_in_virtual_time(main)


def test_a_signal_says_where_the_run_stands(cast: Cast) -> None:
    async def main() -> None:
        e = engine()
        run = await e.start_workflow(workflow=waits(1))
        await asyncio.sleep(1)
        report = await e.signal_workflow(run, "other")
        assert (report.workflow_id, report.signal) == (run, "other")
        assert (report.state, report.reason) == (WorkflowState.WAITING, None)
        await e.cancel_workflow(run)

    run_in_virtual_time(main)


@pytest.mark.parametrize("stored", [False, True])
def test_a_misspelt_signal_is_told_at_once_and_one_that_is_early_is_not(
    stored: bool, logged: list[str]
) -> None:
    @workflow(name="asks")
    async def asks(run: WorkflowRun) -> Any:
        return await run.wait_for("approved")

    flow = {
        "name": "twice",
        "steps": [
            {"id": "first", "wait_for": "approved"},
            {"id": "then", "wait_for": "approved-too"},
        ],
    }
    around = {"name": "around", "steps": [{"id": "part", "workflow": flow}]}

    async def main() -> None:
        async with moody_engine(MoodyDisk(), "one") as e:
            for run, wanted in (("code", asks), ("declared", flow), ("nested", around)):
                await e.start_workflow(wanted, workflow_id=run, persist_state=stored)
                await asyncio.sleep(1)
                report = await e.signal_workflow(run, "aproved", True)
                assert report.waits_for == ("approved",)
                assert len(told := [line for line in logged if run in line]) == 1
                assert "waits for 'approved' now. Did you mean 'approved'?" in told[0]
            await e.signal_workflow("declared", "approved-too", True)
            await e.signal_workflow("declared", "approved", True)
            assert len([line for line in logged if "declared keeps" in line]) == 1
            await e.wait("declared")

    run_in_virtual_time(main)
