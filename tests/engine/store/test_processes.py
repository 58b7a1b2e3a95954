"""Real processes: killed at any instant, at work on one store together, counted by strace."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agenticaiframework.patterns.engine.store import JournalEntry, Store

from .media import Medium, opened

WORKER = Path(__file__).with_name("worker.py")
ROUNDS = int(os.environ.get("AGENTICAI_CRASH_ROUNDS", "6"))
"""How often a test kills a process; hundreds were run by hand."""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")


class Worker:
    """The process of worker.py."""

    def __init__(self, url: str, *arguments: object, under: tuple[str, ...] = ()) -> None:
        command = [*under, sys.executable, str(WORKER), url, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.out = self.process.stdout
        self.said: list[str] = []

    def wait_until_ready(self) -> int:
        """Return how many runs it took over."""
        word, count = self.out.readline().split()
        assert word == "ready"
        return int(count)

    def wait_until_at_work(self, runs: int) -> None:
        """Return when each of its runs is stored, and one has got further."""
        while len(last := self.acknowledged()) < runs or not any(last.values()):
            line = self.out.readline()
            assert line, "it ended before that"
            self.said.append(line.strip())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.finish()

    def finish(self) -> None:
        self.said += self.out.read().splitlines()
        self.process.wait(120)
        self.out.close()

    def acknowledged(self) -> dict[str, int]:
        """Return each run's last record that this process was told is kept."""
        last: dict[str, int] = {}
        for line in self.said:
            words = line.split()
            if len(words) == 2 and words[0] not in ("done", "fenced"):
                last[words[0]] = int(words[1])
        return last


@contextmanager
def started(url: str, *arguments: object, under: tuple[str, ...] = ()) -> Iterator[Worker]:
    worker = Worker(url, *arguments, under=under)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait(120)
        worker.out.close()


async def journals(store: Store) -> dict[str, list[JournalEntry]]:
    """Return all journals; reading checks that there is no gap and no token goes back."""
    found: list[str] = []
    page: str | None = None
    while True:
        some = await store.list_runs(page=page)
        found += [row.run_id for row in some.rows]
        page = some.next
        if page is None:
            return await store.read_journals(found)


async def check(store: Store, acknowledged: dict[str, int]) -> int:
    """Check that what was acknowledged is there, unharmed; return how many records there are."""
    there = await journals(store)
    for run_id, last in acknowledged.items():
        assert run_id in there, f"run {run_id} was acknowledged and is lost"
        assert len(there[run_id]) >= last, f"record {last} of {run_id} was acknowledged"
    for run_id, entries in there.items():
        assert [entry.data for entry in entries] == list(range(1, len(entries) + 1)), run_id
    return sum(map(len, there.values()))


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_a_process_killed_at_any_instant_loses_nothing_that_was_acknowledged(
    durable_medium: Medium, durability: str
) -> None:
    medium = durable_medium
    chance = random.Random(durability)
    acknowledged: dict[str, int] = {}
    previous = 0
    rounds = 0
    # On a busy machine little is acknowledged in a short life, so the later lives are longer.
    while rounds < ROUNDS or (sum(acknowledged.values()) <= 10 and rounds < 10 * ROUNDS):
        rounds += 1
        with started(medium.url, "worker", 10, durability) as worker:
            # The kernel freed the dead one's lock, or the name was taken over: no lease to wait for.
            assert worker.wait_until_ready() >= previous
            time.sleep(chance.uniform(0, 0.15) * rounds)
            worker.kill()
            new = worker.acknowledged()
        assert all(last >= acknowledged.get(run_id, 0) for run_id, last in new.items())
        acknowledged |= new
        previous = len(acknowledged)

    async def verify() -> None:
        medium.clock.now = time.time()
        async with opened(medium) as (store, _):
            assert await check(store, acknowledged) >= sum(acknowledged.values())
            assert await check(store, acknowledged) > 10

    asyncio.run(verify())


def test_two_processes_work_on_one_store_and_the_survivor_inherits(durable_medium: Medium) -> None:
    medium = durable_medium
    with (
        started(medium.url, "first", 5, "full") as first,
        started(medium.url, "second", 5, "full") as second,
    ):
        assert first.wait_until_ready() + second.wait_until_ready() == 0
        for worker in (first, second):
            worker.wait_until_at_work(5)
        first.kill()
        time.sleep(0.1)
        second.kill()
    acknowledged = first.acknowledged() | second.acknowledged()
    assert len(acknowledged) == 10
    with started(medium.url, "first", 0, "full", 3) as heir:
        if medium.kind == "sqlite":
            assert heir.wait_until_ready() == 10
        else:
            # On PostgreSQL only what was called the same is known to be dead.
            assert heir.wait_until_ready() == 5
        heir.finish()
    acknowledged |= heir.acknowledged()
    assert heir.said[-1].startswith("done ")

    async def verify() -> None:
        medium.clock.now = time.time()
        async with opened(medium) as (store, _):
            await check(store, acknowledged)

    asyncio.run(verify())


def test_a_process_that_was_stopped_and_wakes_up_after_a_takeover_cannot_write(
    postgres: Medium,
) -> None:
    with started(postgres.url, "sleeper", 5, "full") as sleeper:
        sleeper.wait_until_ready()
        sleeper.wait_until_at_work(5)
        sleeper.process.send_signal(signal.SIGSTOP)
        with started(postgres.url, "sleeper", 0, "full", 4) as heir:
            assert heir.wait_until_ready() <= 5
            heir.finish()
        taken = heir.acknowledged()
        sleeper.process.send_signal(signal.SIGCONT)
        while len(taken.keys() & {line.split()[-1] for line in sleeper.said}) < len(taken):
            line = sleeper.out.readline().strip()
            if line.startswith("fenced"):
                sleeper.said.append(line)
        sleeper.kill()

    async def verify() -> None:
        async with opened(postgres) as (store, _):
            await check(store, taken)
            for run_id, last in taken.items():
                assert len(await store.read_journal(run_id)) == last

    asyncio.run(verify())


def test_the_runs_of_a_living_process_are_left_to_it(sqlite: Medium) -> None:
    with started(sqlite.url, "alive", 3, "full") as alive:
        alive.wait_until_ready()
        alive.out.readline()
        with started(sqlite.url, "other", 0, "full", 1) as other:
            assert other.wait_until_ready() == 0
            other.finish()
        assert alive.process.poll() is None
        alive.kill()
    with started(sqlite.url, "other", 0, "full", 1) as other:
        assert other.wait_until_ready() == 3
        other.finish()
    left = [path.name for path in sqlite.folder.iterdir() if "owner" in path.name]
    assert len(left) <= 1  # The dead one's, until nothing of it is left to take.


# fsync


def can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and (
        subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True).returncode == 0
    )


def syncs(url: str, folder: Path, runs: int, appends: int, durability: str) -> tuple[int, int]:
    """Return how often a worker synchronised a file, and how many commits it made."""
    report = folder / "trace"
    trace = ("strace", "-f", "-e", "trace=fsync,fdatasync", "-o", str(report))
    with started(url, "traced", runs, durability, appends, under=trace) as worker:
        worker.wait_until_ready()
        worker.finish()
    calls = re.findall(r"f(?:data)?sync\(\d+", report.read_text())
    return len(calls), int(worker.said[-1].split()[1])


@pytest.mark.skipif(not can_trace(), reason="counts system calls with strace")
def test_full_synchronises_every_commit_and_normal_hardly_any(sqlite: Medium) -> None:
    # Creating the schema and closing cost a few.
    count, commits = syncs(sqlite.url, sqlite.folder, 1, 100, "full")
    assert commits >= 101
    assert 101 <= count <= commits + 15
    sqlite.folder.joinpath("normal").mkdir()
    url = f"sqlite:///{sqlite.folder}/normal/state.db"
    count, commits = syncs(url, sqlite.folder, 1, 100, "normal")
    assert commits >= 101
    assert count <= 20


@pytest.mark.skipif(not can_trace(), reason="counts system calls with strace")
def test_concurrent_appends_share_their_fsync(sqlite: Medium) -> None:
    count, commits = syncs(sqlite.url, sqlite.folder, 50, 20, "full")
    # 1,000 appends at once in 50 runs; the 50 runs are created one by one. How many share one hangs on
    # how fast the disk is beside the traced process: 1,050 would be none.
    assert count <= commits + 15
    assert count < 50 + 1000 / 2
