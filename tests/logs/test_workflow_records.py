"""The records of an engine: failed, blocked and recovered workflows, and outages of its store."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine, WorkflowFailed

from .conftest import Records, first_line
from .stores import MoodyDisk, moody_engine, moody_store


def in_sim(main: Callable[[], Any]) -> Any:
    async def body() -> Any:
        logger.enable("agenticaiframework")
        async with ActorSystem("svc", seed=1):
            return await main()

    return run_sim(body)


def pay(_payload: Any) -> None:
    raise ConnectionError("the bank is closed, said Bearer abcdef123456")


def flow(agent: Any, **step: Any) -> dict[str, Any]:
    return {"name": "order", "steps": [{"id": "pay", "agent": agent, **step}]}


def test_a_failed_workflow_says_where_why_and_what_follows(records: Records) -> None:
    async def main() -> None:
        agent = Agent("bank", handler=pay, expected_errors=(ConnectionError,))
        async with OrchestrationEngine(EngineConfig(enable_tracing=True), name="shop") as engine:
            with pytest.raises(WorkflowFailed):
                await engine.execute(
                    flow(agent, retry={"attempts": 3, "initial_delay_s": 1}), workflow_id="order-1"
                )

    in_sim(main)
    record = records.only("failed_workflow")
    assert first_line(record) == (
        "engine shop: workflow 'order' (order-1) failed at step 'pay' (agent 'bank', attempt 3): "
        "ConnectionError: the bank is closed, said Bearer ***; its caller has the error"
    )
    assert record["level"].name == "WARNING", "an expected error"
    assert "in pay" in record["message"]
    assert "abcdef" not in record["message"].replace('said Bearer abcdef123456")', "")
    fields = record["extra"]
    assert (fields["workflow"], fields["run"]) == ("order", "order-1")
    assert (fields["step"], fields["attempt"], fields["agent"]) == ("pay", 3, "bank")
    assert len(fields["trace_id"]) == 32
    assert len(records) == 1


def test_a_workflow_that_fails_unexpectedly_is_an_error_and_tells_what_was_undone(
    records: Records,
) -> None:
    async def main() -> None:
        async with OrchestrationEngine(EngineConfig(), name="shop") as engine:
            for name in ("book", "unbook"):
                engine.register_agent(name, lambda payload: "done")
            engine.register_agent("bank", pay)
            steps = [
                {"id": "book", "agent": "book", "compensate": "unbook"},
                {"id": "pay", "agent": "bank"},
            ]
            await asyncio.gather(
                engine.execute({"name": "trip", "steps": steps}), return_exceptions=True
            )

    in_sim(main)
    record = records.only("failed_workflow")
    assert record["level"].name == "ERROR"
    assert first_line(record).endswith("1 step undone; its caller has the error")


def test_workflows_that_end_well_or_are_cancelled_are_no_news(records: Records) -> None:
    async def main() -> None:
        async with OrchestrationEngine(EngineConfig(), name="shop") as engine:
            engine.register_agent("bank", lambda payload: "paid")
            await engine.execute(flow("bank"))
            steps = [{"id": "wait", "delay": 1000}]
            run = await engine.start_workflow({"name": "slow", "steps": steps})
            await engine.cancel_workflow(run)

    in_sim(main)
    assert records.lines == []


async def stored(disk: MoodyDisk, name: str, **config: Any) -> OrchestrationEngine:
    engine = moody_engine(disk, name, **config)
    engine.register_agent("bank", lambda payload: "paid")
    return engine


def waiting_flow(last: str = "bank") -> dict[str, Any]:
    steps = [{"id": "wait", "wait_for": "go"}, {"id": "pay", "agent": last, "depends_on": ["wait"]}]
    return {"name": "order", "steps": steps}


async def park_for_post(disk: MoodyDisk) -> None:
    """Leave a run on *disk* that needs an agent which only the engine that began it has."""
    async with await stored(disk, "first") as engine:
        engine.register_agent("post", lambda payload: "sent")
        await engine.start_workflow(waiting_flow("post"), workflow_id="order-1")
        await asyncio.sleep(1)


def test_a_recovery_is_one_record_for_all_its_runs(records: Records) -> None:
    disk = MoodyDisk()

    async def main() -> None:
        async with await stored(disk, "first") as engine:
            for number in range(12):
                await engine.start_workflow(waiting_flow(), workflow_id=f"order-{number}")
            await asyncio.sleep(1)
        async with await stored(disk, "second") as engine:
            await engine.recover()

    in_sim(main)
    record = records.only("recovery")
    assert record["level"].name == "INFO"
    assert "recovered 12 runs that no engine held: order-" in first_line(record)
    assert "and 7 more" in first_line(record)
    assert record["extra"]["recovered"] == 12
    assert record["extra"]["workflow"] == "order"
    assert len(records) == 1


def test_a_blocked_workflow_is_told_once_with_its_reason(records: Records) -> None:
    disk = MoodyDisk()

    async def main() -> None:
        await park_for_post(disk)
        async with await stored(disk, "second") as engine:
            for _ in range(3):
                await engine.recover()

    in_sim(main)
    record = records.only("blocked_workflow")
    assert record["level"].name == "WARNING"
    assert (record["extra"]["workflow"], record["extra"]["run"]) == ("order", "order-1")
    assert "post" in record["extra"]["reason"]
    assert "goes on once an engine that can run it recovers it" in first_line(record)


def test_a_blocked_workflow_is_told_once_whichever_agents_come_and_go(records: Records) -> None:
    disk = MoodyDisk()

    async def main() -> None:
        await park_for_post(disk)
        for life in ("second", "third"):
            async with await stored(disk, life) as engine:
                for number in range(3):
                    nearest = Agent(f"post{number}", handler=pay)  # as one of a request's own
                    await engine.recover()
                    del nearest
                    gc.collect()
        store = moody_store(disk)
        await store.open()
        kinds = [entry.kind for entry in await store.read_journal("order-1")]
        await store.close()
        assert kinds.count("workflow_blocked") == 1

    in_sim(main)
    told = [record["extra"]["engine"] for record in records.of("blocked_workflow")]
    assert told == ["second", "third"], "once by each"


def test_an_outage_of_the_store_is_one_record_at_each_end(records: Records) -> None:
    disk = MoodyDisk()

    async def main() -> None:
        async with await stored(disk, "shop") as engine:

            async def slow(_payload: Any) -> str:
                await asyncio.sleep(2)
                return "paid"

            engine.register_agent("teller", slow)
            runs = [
                await engine.start_workflow(flow("teller"), workflow_id=f"order-{n}")
                for n in range(30)
            ]
            await asyncio.sleep(1)
            disk.down = True
            await asyncio.sleep(30)
            disk.down = False
            for run in runs:
                await engine.wait(run)
            await asyncio.sleep(1)

    in_sim(main)
    began, over = records.only("outage"), records.only("outage_over")
    assert "does not answer: StoreUnavailable: " in first_line(began)
    assert "the line is dead" in began["extra"]["reason"]
    assert "30 runs waited" in first_line(over)
    assert over["extra"]["tries"] >= 3
    assert 25 < over["extra"]["outage_s"] < 36
    assert len(records) == 2


def test_a_store_that_comes_and_goes_is_summed_up(records: Records) -> None:
    disk = MoodyDisk()

    async def main() -> None:
        async with await stored(disk, "shop") as engine:
            await engine.execute(flow("bank"))
            for number in range(40):
                disk.down = True
                run = asyncio.create_task(
                    engine.execute(flow("bank"), workflow_id=f"order-{number}")
                )
                await asyncio.sleep(0.5)
                disk.down = False
                await run

    in_sim(main)
    assert len(records) <= 12
