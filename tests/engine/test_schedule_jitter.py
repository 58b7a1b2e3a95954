"""Jitter: the starts of one moment are spread, each moment is started once, and a seed says when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    ScheduleDefinition,
)
from agenticaiframework.patterns.engine.state.schedule import new_record, settle
from agenticaiframework.patterns.engine.store import open_store

from .conftest import run_in_virtual_time

HOUR = 3_600.0


def begun(count: int, hours: int, **rules: Any) -> list[tuple[float, str]]:
    """Return when runs of *count* schedules began in two engines, and when each was due."""
    found: list[tuple[float, str]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = open_store("memory://", clock=loop.time)

        async def write(due: str) -> None:
            found.append((loop.time() - began, due))

        def engine(name: str) -> OrchestrationEngine:
            config = EngineConfig(
                wall_clock=lambda: loop.time() - began,
                state_store=store,
                run_schedules=True,
                poll_seconds=600,
                lease_seconds=86_400,
            )
            made = OrchestrationEngine(config, name=name)
            made.register_agent("writer", write)
            made.register_workflow(
                "report", {"name": "report", "steps": [{"id": "w", "agent": "writer"}]}
            )
            return made

        began = loop.time()
        async with engine("one") as one, engine("two"):
            for n in range(count):
                status = await one.schedule(
                    f"tick-{n}", "report", "$schedule.due", every_s=HOUR, **rules
                )
                assert status.next_at is not None
            await asyncio.sleep(hours * HOUR + HOUR / 2)
            for each in await one.schedules():
                assert dict(each.counts) == {"fired": hours, "missed": 0, "skipped": 0, "failed": 0}

    run_in_virtual_time(main)
    return found


def test_schedules_of_one_moment_are_spread_and_each_moment_is_started_once() -> None:
    found = begun(6, 2, jitter_s=600, missed="skip")
    offsets = [at % HOUR for at, _due in found]
    assert all(at < 602 for at in offsets)
    assert len({round(at) for at in offsets}) > 6
    assert {due[11:16] for _at, due in found} == {"01:00", "02:00"}
    assert begun(6, 2, jitter_s=600, missed="skip") == found


def test_without_jitter_all_begin_at_their_moment() -> None:
    assert all(at % HOUR < 2 for at, _due in begun(2, 1))


def test_what_is_put_off_is_not_late() -> None:
    daily = ScheduleDefinition(
        name="n", workflow="w", every_s=86_400, jitter_s=7_200, missed="skip"
    )
    record = new_record(daily, 1.0, 0.5)
    assert record.due_at == 86_400 + 3_600
    assert settle(record, 86_400 + 3_599.0, False, 0.9) == record
    decided = settle(record, 86_400 + 3_601.0, False, 0.25)
    assert [each.due for each in decided.starting] == [86_400]
    assert (decided.missed, decided.next, decided.delay_s) == (0, 172_800, 1_800)


def test_jitter_beyond_the_interval_is_refused() -> None:
    with pytest.raises(DefinitionError, match="At most jitter_s=60"):
        asyncio.run(_too_much())


async def _too_much() -> None:
    engine = OrchestrationEngine(EngineConfig(state_store="memory://"))
    engine.register_workflow("w", {"name": "w", "steps": [{"id": "w", "wait_for": "go"}]})
    await engine.schedule("tick", "w", every_s=60, jitter_s=61)
