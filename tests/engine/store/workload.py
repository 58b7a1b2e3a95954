"""How fast a store is: durable three-step workflows without an engine, beside SQLite alone.

    python workload.py [URL] [--runs 2000] [--repeat 5]

Prints medians and the spread. `floor` commits each step of one workflow after the other through
the sqlite3 module: what the disk allows to whoever does not group commits.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agenticaiframework.patterns.engine.store import (
    Durability,
    Lease,
    NewRun,
    Owner,
    Record,
    RunUpdate,
    Store,
    StoreError,
    open_store,
)

STEPS = ("classify", "process", "respond")
VALUE = {"result": {"value": 42, "ok": True}}


class Workflow:
    """Runs workflows one after the other by callbacks: four acknowledgements for each."""

    def __init__(
        self, store: Store, owner: Owner, durability: Durability, take: Callable[[], int | None]
    ) -> None:
        self._store = store
        self._owner = owner
        self._durability = durability
        self._take = take
        self._step = 0
        self._lease: Lease | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begin()

    def _begin(self) -> None:
        number = self._take()
        if number is None:
            self.ended.set_result(None)
            return
        self._step = 0
        run = NewRun(
            *(f"run-{number:012d}", "three-steps", "hash", '{"name": "three-steps"}'),
            *({"message": "hello"}, "running", self._durability),
        )
        records = [Record("run_started"), Record("step_started", STEPS[0], 1, {"m": "hello"})]
        self._lease = self._store.submit_run(self._owner, run, self._acknowledged, records)

    def _acknowledged(self, error: StoreError | None) -> None:
        if error is not None:
            self.ended.set_exception(error)
            return
        step = self._step
        self._step += 1
        if step == len(STEPS):
            self._begin()
            return
        assert self._lease is not None
        finished = Record("step_finished", STEPS[step], 1, VALUE)
        if self._step < len(STEPS):
            records = [finished, Record("step_started", STEPS[self._step], 1, VALUE)]
            self._store.submit(self._lease, records, self._acknowledged)
        else:
            records = [finished, Record("run_finished", data=VALUE)]
            update = RunUpdate("completed", finished=True)
            self._store.submit(self._lease, records, self._acknowledged, update)


async def workflows_per_s(url: str, runs: int, in_flight: int, durability: Durability) -> float:
    """Return how many three-step workflows a second the store at *url* keeps."""
    store = open_store(url)
    await store.open()
    owner = await store.register("workload", 600)
    # Ids of their own, so that a store can be measured again and again.
    numbers = iter(range(owner.number * 1_000_000, owner.number * 1_000_000 + runs))
    begun = time.perf_counter()
    workers = [
        Workflow(store, owner, durability, lambda: next(numbers, None)) for _ in range(in_flight)
    ]
    await asyncio.gather(*(worker.ended for worker in workers))
    took = time.perf_counter() - begun
    await store.close()
    return runs / took


def floor_per_s(folder: Path, runs: int) -> float:
    """Return how many workflows a second SQLite keeps with a commit and an fsync a step."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS steps (body TEXT)")
    begun = time.perf_counter()
    for _ in range(runs * len(STEPS)):
        connection.execute("INSERT INTO steps VALUES (?)", (str(VALUE),))
    took = time.perf_counter() - begun
    connection.close()
    (folder / "floor.db").unlink()
    return runs / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=5)
    asked = parser.parse_args()
    print(
        f"{platform.platform()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        url: str = asked.url or f"sqlite:///{Path(folder).absolute()}/state.db"
        # Interleaved, because a machine's disk has good and bad minutes.
        for _ in range(asked.repeat):
            floor = floor_per_s(Path(folder), max(asked.runs // 8, 1))
            figures.setdefault("floor, a commit a step", []).append(floor)
            for durability in (Durability.FULL, Durability.NORMAL):
                for in_flight in (1, 100, 1000):
                    runs = max(asked.runs // 8, 1) if in_flight == 1 else asked.runs
                    rate = asyncio.run(workflows_per_s(url, runs, in_flight, durability))
                    name = f"{durability}, {in_flight} in flight"
                    figures.setdefault(name, []).append(rate)
    for name, rates in figures.items():
        middle = statistics.median(rates)
        print(f"{name:24} {middle:8,.0f} workflows/s  ({min(rates):,.0f} to {max(rates):,.0f})")


if __name__ == "__main__":
    main()
