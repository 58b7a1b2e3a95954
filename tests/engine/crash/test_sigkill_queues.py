"""Engines that serve a queue together are killed at random: nothing is lost, doubled, or one too many."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Iterable

import pytest

from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import JournalEntry, RunRow, open_store

WORKFLOW = {
    "name": "job",
    "steps": [
        {"id": "first", "agent": "worker"},
        {"id": "second", "agent": "worker", "input": "$first"},
    ],
}

ENGINES = 3


class Servers:
    """Engines in processes of their own."""

    def __init__(self, *arguments: object) -> None:
        self._arguments = [str(each) for each in arguments]
        self.running: list[asyncio.subprocess.Process] = []
        self.killed = 0

    async def start(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.engine.crash.queue_worker", *self._arguments),
            stdout=asyncio.subprocess.PIPE,
        )
        self.running.append(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"serves\n"

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        self.running.remove(process)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        self.killed += 1

    async def end(self) -> None:
        for process in list(self.running):
            await self.kill(process)


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many of the spans overlap at most."""
    moments = sorted(
        [(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans],
    )
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def span(entries: list[JournalEntry]) -> tuple[float, float]:
    """Return from when until when a run held its place at least: also while its engine was dead."""
    start = next(entry.at for entry in entries if entry.kind == "step_started")
    (end,) = (entry.at for entry in entries if entry.kind == "workflow_completed")
    return start, end


async def play(url: str, runs: int, concurrency: int, key_concurrency: int, kills: int) -> None:
    chance = random.Random(7)
    web = OrchestrationEngine(EngineConfig(state_store=url, poll_seconds=0.2), name="web")
    servers = Servers(url, concurrency, key_concurrency, time.time() - time.monotonic())
    try:
        ids = [
            await web.start_workflow(
                WORKFLOW, n, queue="gpu", key=f"k{n % 4}", priority=chance.randrange(3)
            )
            for n in range(runs)
        ]
        await asyncio.gather(*(servers.start() for _ in range(ENGINES)))

        async def kill_at_work(engine: asyncio.subprocess.Process) -> bool:
            """Kill one if it has a run; it stands still meanwhile, so that it has it when it dies."""
            os.kill(engine.pid, signal.SIGSTOP)
            owners = {run.owner for run in await web.list_workflows(state="running")}
            at_work = f":{engine.pid}" in str(owners)
            if at_work:
                await servers.kill(engine)
            else:
                os.kill(engine.pid, signal.SIGCONT)
            return at_work

        async def disturb() -> None:
            for _ in range(kills):
                await asyncio.sleep(chance.uniform(0.1, 0.6))
                while not await kill_at_work(chance.choice(servers.running)):
                    await asyncio.sleep(0.01)
                await servers.start()

        disturbing = asyncio.create_task(disturb())
        async with asyncio.timeout(240):
            results = await asyncio.gather(*(web.wait(run_id) for run_id in ids))
        disturbing.cancel()
        await asyncio.wait([disturbing])
        assert [result["second"] for result in results] == list(range(runs))
        assert servers.killed > 0
    finally:
        await servers.end()
        await web.stop()
    store = open_store(url)
    await store.open()
    try:
        rows: dict[str, RunRow] = await store.load_runs(ids)
        journals = await store.read_journals(ids)
    finally:
        await store.close()
    for entries in journals.values():
        ended = [entry.step for entry in entries if entry.kind == "step_completed"]
        assert ended == ["first", "second"]
        assert [entry.seq for entry in entries] == [*range(1, len(entries) + 1)]
    spans = {run_id: span(entries) for run_id, entries in journals.items()}
    if concurrency:
        assert most_at_once(spans.values()) <= concurrency
    for key in {row.queue_key for row in rows.values()} if key_concurrency else ():
        of_key = [spans[run_id] for run_id, row in rows.items() if row.queue_key == key]
        assert most_at_once(of_key) <= key_concurrency
    assert any(
        entry.kind == "workflow_recovered" for entries in journals.values() for entry in entries
    )


@pytest.mark.slow
def test_three_engines_that_are_killed_never_run_more_than_a_queue_allows(url: str) -> None:
    asyncio.run(play(url, runs=200, concurrency=2, key_concurrency=0, kills=12))


@pytest.mark.slow
def test_three_engines_that_are_killed_never_run_more_of_a_key_than_a_queue_allows(
    url: str,
) -> None:
    asyncio.run(play(url, runs=120, concurrency=0, key_concurrency=1, kills=8))
