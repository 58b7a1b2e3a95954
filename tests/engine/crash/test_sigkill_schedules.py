"""Three engines with one schedule, killed again and again: each time starts one run, and none is lost.

Real processes, a real store, SIGKILL: at random instants, between the decision to start a run and its
start, and between its start and the note of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import ScheduleStatus, WorkflowSummary
from agenticaiframework.patterns.engine.host.scheduler import schedules_in
from agenticaiframework.patterns.engine.state.schedule import ScheduleRecord, Start
from agenticaiframework.patterns.engine.store import open_store

from .schedule_worker import EVERY_S, engine_on

POSTGRES = os.environ.get("AGENTICAI_TEST_POSTGRES", "")
WORKER = Path(__file__).with_name("schedule_worker.py")
ROOT = Path(__file__).parents[3]
ENDS_S = 120.0


def begin(url: str, name: str, **more: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.engine.crash.schedule_worker"),
            json.dumps({"url": url, "name": name, **more}),
        ],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )


async def look(url: str) -> tuple[ScheduleStatus | None, list[WorkflowSummary]]:
    """Return the schedule and its runs, as a process beside the service sees them."""
    engine = engine_on(url, "looker")
    found: list[WorkflowSummary] = []
    page: str | None = None
    while True:
        runs = await engine.list_workflows(labels={"schedule": "tick"}, limit=500, page=page)
        found += runs.workflows
        page = runs.next
        if page is None:
            break
    schedules = await engine.schedules()
    await engine.stop()
    return (schedules[0] if schedules else None), found


async def wait_for_runs(url: str, count: int, workers: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + ENDS_S
    while time.monotonic() < deadline:
        _, runs = await look(url)
        if len(runs) >= count:
            return
        if all(worker.poll() is not None for worker in workers.values()):
            # Each has come to its point before there were so many.
            workers["d"] = begin(url, "d")
        await asyncio.sleep(0.1)
    raise AssertionError(f"not {count} runs in {ENDS_S} s")


async def decided_on(url: str) -> tuple[Start, ...]:
    """Return what was decided to be started and is not started, or not noted as started, yet."""
    store = open_store(url)
    await store.open()
    try:
        [row] = await schedules_in(store).load_schedules(["tick"])
    finally:
        await store.close()
    return ScheduleRecord.model_validate_json(row.body).starting


def check(status: ScheduleStatus | None, runs: list[WorkflowSummary]) -> None:
    assert status is not None
    assert all(run.state == "completed" for run in runs), [str(run.state) for run in runs]
    due = sorted(datetime.fromisoformat(run.labels["due"]).timestamp() for run in runs)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert all(gap == EVERY_S for gap in gaps), gaps
    assert status.counts == {"fired": len(runs), "missed": 0, "skipped": 0, "failed": 0}


async def scenario(url: str) -> None:
    rng = random.Random(1)
    workers = {
        "a": begin(url, "a", point="decided", count=4),
        "b": begin(url, "b", point="started", count=6),
        "c": begin(url, "c"),
    }
    try:
        await wait_for_runs(url, 10, workers)
        for round_ in range(6):
            _, runs = await look(url)
            await wait_for_runs(url, len(runs) + 4, workers)
            victim = rng.choice(sorted(workers))
            for name, worker in workers.items():
                if name == victim or worker.poll() is not None:
                    worker.kill()
                    worker.wait()
                    point = rng.choice(["decided", "started", ""])
                    workers[name] = begin(url, name, point=point, count=rng.randint(1, 8))
            print(f"round {round_}: killed {victim}")
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    # One engine that lives carries out what was decided last, and ends what has begun.
    engine = engine_on(url, "last", run_schedules=True, recover_every_seconds=0.2)
    async with engine:
        await engine.pause_schedule("tick")
        deadline = time.monotonic() + ENDS_S
        while time.monotonic() < deadline:
            page = await engine.list_workflows(state=["pending", "running"], persisted=True)
            if not page.workflows and not await decided_on(url):
                break
            await asyncio.sleep(0.2)
    status, runs = await look(url)
    print(f"{len(runs)} runs")
    check(status, runs)


def run(url: str) -> None:
    async def main() -> None:
        async with ActorSystem():
            await scenario(url)

    asyncio.run(main())


def test_three_engines_that_are_killed_start_each_run_once_on_sqlite(tmp_path: Path) -> None:
    run(f"sqlite:///{tmp_path}/schedules.sqlite")


@pytest.mark.skipif(not POSTGRES, reason="AGENTICAI_TEST_POSTGRES names no server")
def test_three_engines_that_are_killed_start_each_run_once_on_postgresql() -> None:
    import psycopg

    schema = f"schedules_{os.getpid()}"
    joint = "&" if "?" in POSTGRES else "?"
    try:
        run(f"{POSTGRES}{joint}schema={schema}")
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
