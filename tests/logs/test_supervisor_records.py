"""The records of supervisors: crashes, failed starts, give-ups and escalations of their children."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from loguru import logger

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.supervision import (
    AgentSupervisor,
    BackoffType,
    RestartPolicy,
)

from .conftest import Records, first_line


def explode(payload: Any) -> Any:
    if payload == "ping":
        return "pong"
    raise ValueError("boom")


def in_sim(main: Callable[[ActorSystem], Any], **options: Any) -> Any:
    async def body() -> Any:
        logger.enable("agenticaiframework")  # simulations are quiet
        async with ActorSystem("svc", seed=1, **options) as system:
            return await main(system)

    return run_sim(body)


async def fail(supervisor: AgentSupervisor, path: str, times: int = 1) -> None:
    for _ in range(times):
        await asyncio.gather(supervisor.ask(path, "fail"), return_exceptions=True)
        await asyncio.sleep(2)


def pool(name: str = "pool", **policy: Any) -> AgentSupervisor:
    supervisor = AgentSupervisor(name, restart_policy=RestartPolicy(**policy))
    supervisor.add_child("a", Agent("a", handler=explode))
    return supervisor


def test_a_restart_says_how_often_and_when(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool(
            max_restarts=5, within_seconds=60, initial_delay_ms=250, backoff_type=BackoffType.LINEAR
        ) as supervisor:
            await fail(supervisor, "a", 2)

    in_sim(main)
    assert records.lines == [
        "WARNING pool: child terminated: 'a': ValueError: boom (restart 1 of 5 in 60 s); "
        "it is restarted in 0.25 s",
        "WARNING pool: child terminated: 'a': ValueError: boom (restart 2 of 5 in 60 s); "
        "it is restarted in 0.5 s",
    ]
    fields = records[1]["extra"]
    assert fields == {
        "system": "svc",
        "kind": "crash",
        "reason": "ValueError: boom",
        "report": "child_terminated",
        "supervisor": "pool",
        "child": "a",
        "actor": "a",
        "incarnation": 2,
        "restarts": 1,
        "in_window": 2,
        "limit": 5,
        "period_s": 60.0,
        "next": "it is restarted in 0.5 s",
        "back_in_s": 0.5,
    }
    assert records[0]["message"].splitlines()[-1] == "ValueError: boom"
    assert "agenticaiframework" not in records[0]["message"]


def test_the_time_that_is_told_is_the_one_that_is_waited(records: Records) -> None:
    async def main(system: ActorSystem) -> list[float]:
        waited: list[float] = []
        async with pool(max_restarts=50, initial_delay_ms=1000, jitter=0.9) as supervisor:
            for _ in range(5):
                await asyncio.gather(supervisor.ask("a", "fail"), return_exceptions=True)
                began = system.clock()
                assert await supervisor.ask("a", "ping") == "pong"
                waited.append(system.clock() - began)
                await asyncio.sleep(20)
        return waited

    waited = in_sim(main)
    told = [record["extra"]["back_in_s"] for record in records.of("crash")]
    assert len(set(told)) == 5
    assert [round(one, 6) for one in told] == [round(one, 6) for one in waited]


def test_a_cool_down_is_an_error_that_says_until_when(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool(max_restarts=1, within_seconds=30) as supervisor:
            await fail(supervisor, "a", 2)
            await asyncio.sleep(60)

    in_sim(main)
    assert [line.partition("(")[0] for line in records.lines] == [
        "WARNING pool: child terminated: 'a': ValueError: boom ",
        "WARNING pool: child terminated: 'a': ValueError: boom ",
        "ERROR pool: cooling down: 'a': ValueError: boom ",
        "INFO pool: started afresh: 'a': ValueError: boom ",
    ]
    assert records.lines[1].endswith("that was once too often")
    given_up = records.only("give_up")
    assert "is started afresh in 30 s" in given_up["message"]
    assert given_up["extra"]["back_in_s"] == 30


def test_an_escalation_says_where_to_and_its_end_at_the_root_is_critical(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        top = AgentSupervisor(
            "top", restart_policy=RestartPolicy(max_restarts=0), exhausted="escalate"
        )
        top.add_supervisor("inner", pool("inner", max_restarts=0))
        await top.start()
        await asyncio.gather(top.ask("inner/a", "fail"), return_exceptions=True)
        await asyncio.sleep(1)

    in_sim(main)
    inner, outer = records.of("escalation")
    assert inner["level"].name == "ERROR"
    assert inner["extra"]["supervisor"] == "top/inner"
    assert "top decides what follows; it failed lastly of ValueError: boom" in first_line(inner)
    assert "ValueError: boom" in inner["message"].splitlines()[-1]
    assert outer["level"].name == "CRITICAL"
    assert outer["extra"]["supervisor"] == "top"
    assert "the program is told" in first_line(outer)


def test_a_failed_start_is_an_error_with_its_traceback(records: Records) -> None:
    def refuse() -> None:
        raise OSError("no socket")

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", Agent("a", handler=explode, on_start=refuse))
        await asyncio.gather(supervisor.start(), return_exceptions=True)

    in_sim(main)
    record = records.only("failed_start")
    assert record["level"].name == "ERROR"
    assert "in refuse" in record["message"]
    assert record["extra"]["supervisor"] == "pool"
    assert len(records) == 1


def test_a_failure_handler_is_named_as_what_decides(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool(max_restarts=3) as supervisor:
            supervisor.on_failure(lambda name, error, restarts: False)
            await fail(supervisor, "a")

    in_sim(main)
    assert "its failure handler decides whether it is restarted" in records.lines[0]
    assert "it is not restarted" in records.lines[1]


def test_one_of_several_incarnations_is_replaced(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", Agent("a", handler=explode, concurrency=4))
        async with supervisor:
            await fail(supervisor, "a")

    in_sim(main)
    record = records.only("crash")
    assert first_line(record).endswith("it is replaced at once")
    assert record["extra"]["actor"] == "a[1]"
    assert len(records) == 1


def test_payloads_of_supervised_children_are_shown_if_asked_for(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool() as supervisor:
            await asyncio.gather(supervisor.ask("a", {"order": 471147}), return_exceptions=True)

    in_sim(main)
    in_sim(main, log_payloads=True)
    quiet, showing = records
    assert "471147" not in str(quiet)
    assert "it handled Work({'order': 471147})" in first_line(showing)
    assert "471147" in showing["extra"]["payload"]
