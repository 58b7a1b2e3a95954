"""Storms of records are summed up: by subject, by kind, in the system's time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import ActorSystem, Agent, Mailbox
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy

from .conftest import Records


def in_sim(main: Any, seed: int | None = None) -> Any:
    async def body() -> Any:
        logger.enable("agenticaiframework")
        async with ActorSystem("svc", seed=1) as system:
            return await main(system)

    return run_sim(body, seed=seed)


def explode(payload: Any) -> None:
    raise KeyError(payload) if payload else ValueError("boom")


async def crash_often(ask: Any, times: int, every_s: float = 0.0) -> None:
    for _ in range(times):
        await asyncio.gather(ask(), return_exceptions=True)
        await asyncio.sleep(every_s)


def counted(records: Records, kind: str) -> int:
    """How many things the records of a kind stand for."""
    return sum(record["extra"].get("count", 1) for record in records.of(kind))


async def storm(system: ActorSystem) -> None:
    supervisor = AgentSupervisor("pool", restart_policy=RestartPolicy(max_restarts=10_000))
    supervisor.add_child("a", Agent("a", handler=explode))
    async with supervisor:
        await crash_often(lambda: supervisor.ask("a", None), 1000, 0.01)
        await asyncio.sleep(100)
        await crash_often(lambda: supervisor.ask("a", None), 1)


GATE = {"name": "gate", "steps": [{"id": "open", "wait_for": {"signal": "go"}}]}


async def skip_often(system: ActorSystem) -> None:
    config = EngineConfig(state_store="memory://", persist_state=True, run_schedules=True)
    engine = OrchestrationEngine(config, name="orders")
    engine.register_workflow("gate", GATE)
    async with engine:
        await engine.schedule("tick", "gate", every_s=1)
        await asyncio.sleep(100)
        assert (await engine.schedules())[0].counts["skipped"] >= 90


def test_a_schedule_whose_run_does_not_end_writes_a_handful_of_lines(records: Records) -> None:
    in_sim(skip_often)
    assert records.only("schedule")["extra"]["schedule"] == "tick"
    assert len(records) <= 8, records.lines
    assert counted(records, "skipped_start") >= 90
    first = records.of("skipped_start")[0]
    said = "schedule 'tick' skipped 1: a run before has not ended (overlap='skip')"
    assert said in first["message"]
    assert first["extra"]["engine"] == "orders"


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_thousand_crashes_of_one_child_are_a_handful_of_lines(
    records: Records, seed: int | None
) -> None:
    in_sim(storm, seed)
    assert len(records) <= 7
    assert counted(records, "crash") == 1001
    whole = [record for record in records if "count" not in record["extra"]]
    assert len(whole) == 4, "three at the beginning, and the first after it was over"
    assert all("Traceback" in record["message"] for record in whole)
    sums = [record for record in records if "count" in record["extra"]]
    assert all("of ValueError: boom" in record["message"] for record in sums)
    assert sums[0]["extra"]["actor"] == "a"
    assert sums[0]["extra"]["supervisor"] == "pool"


def test_a_seed_writes_the_same_records_again(records: Records) -> None:
    in_sim(storm, 3)
    first = [record["message"].partition("\n")[0] for record in records]
    records.clear()
    in_sim(storm, 3)
    assert [record["message"].partition("\n")[0] for record in records] == first


def test_a_long_storm_is_summed_up_ever_more_seldom(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        await crash_often(lambda: Agent("a", handler=explode).ask(None), 3600, 1.0)

    in_sim(main)
    assert len(records) < 70, "one a minute"
    assert counted(records, "crash") == 3600


def test_what_happens_seldom_is_always_whole(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        await crash_often(lambda: Agent("a", handler=explode).ask(None), 20, 11.0)

    in_sim(main)
    assert len(records) == 20
    assert not [record for record in records if "count" in record["extra"]]


def test_two_crashes_at_once_are_two_records_and_nothing_more(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        await crash_often(lambda: Agent("a", handler=explode).ask(None), 2)
        await asyncio.sleep(100)

    in_sim(main)
    assert len(records) == 2


def test_a_sum_tells_the_causes_apart(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=explode)
        for cause in [None] * 10 + ["x"] * 20 + ["y"]:
            await asyncio.gather(agent.ask(cause), return_exceptions=True)

    in_sim(main)
    assert (
        "20 of KeyError: 'x'; 7 of ValueError: boom; 1 of KeyError: 'y'" in records[-1]["message"]
    )


def test_many_subjects_are_summed_up_together(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        for number in range(500):
            agent = Agent(f"agent-{number}", handler=explode)
            await asyncio.gather(agent.ask(None), return_exceptions=True)
        await asyncio.sleep(11)

    in_sim(main)
    assert len(records) == 21
    assert "480 together" in records[-1]["message"]
    assert "480 more in 10 s: 480 of ValueError: boom" in records[-1]["message"]
    assert counted(records, "crash") == 500


def test_the_sum_is_written_at_the_latest_when_the_system_stops(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        await crash_often(lambda: Agent("a", handler=explode).ask(None), 50)

    in_sim(main)
    assert counted(records, "crash") == 50


def test_dead_letters_are_summed_up(records: Records) -> None:
    async def slow(_payload: Any) -> None:
        await asyncio.sleep(1)

    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=slow, mailbox=Mailbox(capacity=1, overflow="drop_newest"))
        for _ in range(1000):
            agent.tell("x")
        await asyncio.sleep(30)

    in_sim(main)
    assert len(records) <= 5
    assert counted(records, "dead_letter") >= 990


def test_failed_workflows_of_one_name_are_summed_up(records: Records) -> None:
    def sink(_payload: Any) -> None:
        raise ConnectionError("the provider is down")

    async def main(system: ActorSystem) -> None:
        async with OrchestrationEngine(EngineConfig(), name="orders") as engine:
            agent = Agent("model", handler=sink, expected_errors=(ConnectionError,))
            flow = {"name": "order", "steps": [{"id": "ask", "agent": agent}]}
            runs = [engine.execute(flow) for _ in range(300)]
            await asyncio.gather(*runs, return_exceptions=True)
            await asyncio.sleep(11)

    in_sim(main)
    assert len(records) == 4
    assert counted(records, "failed_workflow") == 300
    assert records[-1]["extra"]["workflow"] == "order"
