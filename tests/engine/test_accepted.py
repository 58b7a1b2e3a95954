"""A run that is said to have been taken in is in the store, whenever its turn comes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    UnknownWorkflow,
    WorkflowExists,
    WorkflowStream,
)
from agenticaiframework.patterns.engine.store import StoreRefused

from .conftest import Cast, steps
from .outage import MoodyDisk, moody_engine, row


def test_a_run_whose_turn_comes_before_it_is_stored_is_not_said_to_be_taken_in(
    tmp_path: Path, cast: Cast
) -> None:
    """Its client would ask another process for it, or this one could be killed."""
    file = tmp_path / "runs.sqlite"
    config = EngineConfig(state_store=f"sqlite:///{file}", max_concurrent_workflows=1)

    async def main() -> None:
        freed = asyncio.Event()

        async def hold(_payload: Any) -> None:
            await freed.wait()

        engine = OrchestrationEngine(config)
        engine.register_agent("holder", cast.agent("holder", hold))
        engine.register_agent("worker", cast.agent("worker"))
        engine.register_workflow("first", steps({"id": "a", "agent": "holder"}, name="first"))
        engine.register_workflow("second", steps({"id": "a", "agent": "worker"}, name="second"))
        async with ActorSystem("service"), engine:
            await engine.start_workflow("second", workflow_id="opens the store", persist_state=True)
            await engine.wait("opens the store")
            first = await engine.start_workflow("first", persist_state=False)
            with closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                start = asyncio.create_task(
                    engine.start_workflow("second", workflow_id="late", persist_state=True)
                )
                await _until_it_is(engine, "late", "pending")
                freed.set()
                await engine.wait(first)
                await _until_it_is(engine, "late", "running")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(start), 0.1)
                other.rollback()
            assert await start == "late"
            assert _is_there(file, "late")
            await engine.wait("late")

    asyncio.run(main())


async def _until_it_is(engine: OrchestrationEngine, run_id: str, state: str) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                if (await engine.get_workflow_status(run_id)).state == state:
                    return
            except UnknownWorkflow:
                pass
            await asyncio.sleep(0.01)


def _is_there(file: Path, run_id: str) -> bool:
    with closing(sqlite3.connect(file)) as reader:
        query = "SELECT count(*) FROM runs WHERE run_id = ?"
        return bool(reader.execute(query, (run_id,)).fetchone()[0])


def test_a_run_that_the_store_has_refused_can_be_started_again_under_its_id(
    sim: Any, cast: Cast
) -> None:
    """A client that asks again is not told that it exists: no store has it."""
    cast.agent("a", "A")
    disk = MoodyDisk()

    async def main() -> None:
        async with moody_engine(disk) as engine:
            await engine.execute(steps("a"))
            disk.down = disk.refuses = True
            with pytest.raises(StoreRefused):
                await engine.start_workflow(steps("a"), workflow_id="order-1")
            disk.down = False
            assert await engine.start_workflow(steps("a"), workflow_id="order-1") == "order-1"
            assert (await row(disk, "order-1")).run_id == "order-1"
            assert await engine.wait("order-1") == {"a": "A"}
            with pytest.raises(WorkflowExists):
                await engine.start_workflow(steps("a"), workflow_id="order-1")

    sim(main)


def test_a_start_that_is_refused_as_the_run_exists_holds_up_nothing_that_asks_for_that_run(
    tmp_path: Path, cast: Cast
) -> None:
    """A client that sends its request twice must not take the other's stream, or its answer, away."""
    cast.agent("worker", "done")

    async def main() -> None:
        flow = steps("worker")
        async with _two_engines(tmp_path) as (here, there):
            await there.execute(flow, workflow_id="order-1", persist_state=True)
            async with _refused_start(here, flow, "order-1", tmp_path):
                told = asyncio.create_task(_kinds(here.stream("order-1")))
                waits = asyncio.create_task(here.wait("order-1"))
                await asyncio.sleep(0.05)
            assert await waits == {"worker": "done"}
            assert await told == await _kinds(there.stream("order-1"))

    asyncio.run(main())


def test_a_run_is_cancelled_while_a_start_of_the_same_id_is_refused(
    tmp_path: Path, cast: Cast
) -> None:
    """The run that is under way elsewhere ends, and not the one that has never been."""

    async def hold(_payload: Any) -> None:
        await asyncio.Event().wait()

    cast.agent("holder", hold)

    async def main() -> None:
        flow = steps("holder")
        async with _two_engines(tmp_path) as (here, there):
            await there.start_workflow(flow, workflow_id="order-1", persist_state=True)
            async with _refused_start(here, flow, "order-1", tmp_path):
                cancelled = asyncio.create_task(here.cancel_workflow("order-1", reason="late"))
                await asyncio.sleep(0.05)
            assert (await cancelled).state == "cancelled"
            assert (await there.get_workflow_status("order-1")).state == "cancelled"
            assert (await here.get_workflow_status("order-1")).state == "cancelled"

    asyncio.run(main())


@asynccontextmanager
async def _two_engines(
    folder: Path,
) -> AsyncIterator[tuple[OrchestrationEngine, OrchestrationEngine]]:
    """Two engines on one file, as two processes have it; nothing takes longer than two minutes."""
    config = EngineConfig(state_store=f"sqlite:///{folder / 'runs.sqlite'}")
    here, there = OrchestrationEngine(config), OrchestrationEngine(config)
    async with ActorSystem("service"), here, there, asyncio.timeout(120):
        yield here, there


@asynccontextmanager
async def _refused_start(
    engine: OrchestrationEngine, flow: Any, run_id: str, folder: Path
) -> AsyncIterator[None]:
    """The body, while the store has not yet refused that *engine* starts a run which it has."""
    with pytest.raises(UnknownWorkflow):
        await engine.get_workflow_status("opens the store")
    with closing(sqlite3.connect(folder / "runs.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        start = asyncio.create_task(
            engine.start_workflow(flow, workflow_id=run_id, persist_state=True)
        )
        await asyncio.sleep(0.05)
        yield
        other.rollback()
    with pytest.raises(WorkflowExists):
        await start


async def _kinds(stream: WorkflowStream) -> list[str]:
    return [event.kind async for event in stream]
