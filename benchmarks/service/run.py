"""The run itself: begin the service and its clients, let the day happen, and count."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

from benchmarks.service.audit import (
    Counts,
    answer_codes,
    by_outcome,
    find_lost,
    find_twice,
    find_unanswered,
    find_unseen,
    find_without_work,
    find_wrong,
    latencies,
    read_store,
    read_told,
)
from benchmarks.service.clients import ClientOptions
from benchmarks.service.day import ENDS_NO_MORE, Happening, apart_s, bad_day
from benchmarks.service.growth import grown, slopes, sloping
from benchmarks.service.server import DoesNotServe, Server, Window, run_module
from benchmarks.service.stores import ServiceStore

Form = Literal["day", "soak", "rolling"]
ROLLS = 10


@dataclass(frozen=True)
class RunOptions:
    """What a run is told."""

    form: Form = "day"
    seconds: float = 600.0
    store: Literal["sqlite", "postgres"] = "sqlite"
    clients: int = 48
    per_second: float = 50.0
    faults: float = 1.0
    seed: int = 1
    sample_s: float = 1.0


@dataclass
class Result:
    """What a run has shown."""

    options: RunOptions
    counts: Counts = field(default_factory=Counts)
    runs: int = 0
    steps: int = 0
    repeated: int = 0
    """Steps that were begun more than once, all before they were recorded as finished: cut off, or failed."""
    watched: int = 0
    """Runs whose events a client has watched."""
    reconnected: int = 0
    """How often those clients asked again, from their last event on."""
    seconds: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    codes: dict[str, int] = field(default_factory=dict[str, int])
    happened: dict[str, int] = field(default_factory=dict[str, int])
    landed: Counter[str] = field(default_factory=Counter[str])
    latencies: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    figures: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    """At the start and the end, both at rest, and in the middle, under load."""
    slopes: dict[str, float] = field(default_factory=dict[str, float])
    longest_drain_s: float = 0.0
    samples: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    windows: list[Window] = field(default_factory=list[Window])

    @property
    def clean(self) -> bool:
        """Whether everything that must be none is none."""
        return self.counts.clean

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "counts": self.counts.by_name(), "landed": dict(self.landed)}


WATCHED = ("memory", "threads", "tasks", "handles", "actors")


class ServiceRun:
    """One run; it owns the processes, and ends them whatever happens."""

    def __init__(
        self,
        options: RunOptions,
        store: ServiceStore,
        folder: Path,
        progress: Callable[[str], None],
    ) -> None:
        self.options = options
        self.store = store
        self.folder = folder
        self.progress = progress
        self.result = Result(options)
        self.random = Random(options.seed)
        self.lives = 0
        self.clients: subprocess.Popen[bytes] | None = None
        self.began = 0.0
        self._landed: dict[int, dict[str, int]] = {}
        more: dict[str, Any] = {"seed": options.seed, "faults": options.faults}
        if options.form == "soak":
            more["keep_finished"] = 5_000
        if options.form == "rolling":
            more |= {"faults": 0.0, "kills_s": 0.0, "drain_s": 30.0, "lease_s": 600.0}
        self.servers = [
            Server(store.url, folder, more=more)
            for _ in range(2 if options.form == "rolling" else 1)
        ]

    async def carry_out(self) -> Result:
        """Run, and return the result; no process is left, whatever happens."""
        try:
            for server in self.servers:
                await self._begin(server)
            await self._sample("start", rest=True)
            self._begin_clients()
            async with asyncio.TaskGroup() as group:
                sampler = group.create_task(self._keep_sampling())
                await {"day": self._day, "soak": self._soak, "rolling": self._roll}[
                    self.options.form
                ]()
                sampler.cancel()
            await self._settle()
            self.result.seconds = time.monotonic() - self.began
            await self._at_rest()
            for server in self.servers:
                await self._end(server, signal.SIGTERM)
        except* DoesNotServe as failed:
            for error in failed.exceptions:
                self.result.counts.unanswered.append(str(error))
        finally:
            for server in self.servers:
                server.close()
            if self.clients is not None and self.clients.poll() is None:
                self.clients.kill()
                self.clients.wait()
        await self._count()
        return self.result

    # --- the processes ---------------------------------------------------------------------------

    async def _begin(self, server: Server) -> None:
        self.lives += 1
        await server.begin(self.lives)

    def _begin_clients(self) -> None:
        options = ClientOptions(
            ports=[server.port for server in self.servers],
            log=str(self.folder / "told"),
            clients=self.options.clients,
            per_second=self.options.per_second,
            seed=self.options.seed,
        )
        log = self.folder / "clients.log"
        self.began = time.monotonic()
        self.clients = run_module("benchmarks.service.clients", asdict(options), log)

    async def _end(self, server: Server, number: signal.Signals) -> None:
        if number == signal.SIGTERM:
            # What landed would go with the process.
            self._note_landed(await server.figures())
        took_s = await server.end(number)
        if number == signal.SIGTERM:
            self.result.longest_drain_s = max(self.result.longest_drain_s, took_s)

    async def _settle(self) -> None:
        """Have the clients follow what they have begun to its end."""
        assert self.clients is not None
        if self.clients.poll() is not None:
            self.result.counts.unanswered.append(
                f"the clients ended with {self.clients.returncode}: "
                + (self.folder / "clients.log").read_text(encoding="utf-8")[-2_000:]
            )
            return
        self.clients.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.clients.wait, 150)
        except subprocess.TimeoutExpired:
            self.result.counts.unanswered.append("the clients did not end: a request hangs")

    # --- the forms -------------------------------------------------------------------------------

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, self.began + at_s - time.monotonic()))

    async def _happen(self, what: Happening) -> None:
        self.progress(f"{what.at_s:6.1f} s  {what.kind}")
        (server,) = self.servers
        self.result.happened[what.kind] = self.result.happened.get(what.kind, 0) + 1
        if what.kind == "outage":
            await self.store.fail(what.seconds)
            return
        outage = None
        if what.kind == "kill in an outage":
            # What was acknowledged and not written is gone then.
            outage = asyncio.create_task(self.store.fail(what.seconds))
            await asyncio.sleep(what.seconds / 2)
        await self._end(server, signal.SIGTERM if what.kind == "term" else signal.SIGKILL)
        await self._begin(server)
        if outage is not None:
            await outage

    async def _day(self) -> None:
        seconds = self.options.seconds
        served_s = apart_s(seconds) / 2
        at_s = 0.0
        for what in bad_day(seconds, self.random):
            # On a slow machine a process takes long to begin; it is to serve before the next one does.
            await self._until(max(what.at_s, at_s + served_s))
            at_s = time.monotonic() - self.began
            if at_s > seconds * (0.95 if what.kind == "outage" else ENDS_NO_MORE):
                continue
            await self._happen(what)
            at_s = time.monotonic() - self.began
        await self._until(seconds)

    async def _soak(self) -> None:
        """Outages only: one process serves for the whole time."""
        at_s = 60.0
        while at_s < self.options.seconds:
            await self._until(at_s)
            await self._happen(Happening(at_s, "outage", self.random.uniform(0.5, 2.0)))
            at_s += 120.0
        await self._until(self.options.seconds)

    async def _roll(self) -> None:
        every_s = self.options.seconds / (ROLLS + 1)
        for number in range(ROLLS):
            await self._until(every_s * (number + 1))
            server = self.servers[number % 2]
            self.progress(f"roll {number + 1}: process {server.lives[-1]} is drained and replaced")
            self.result.happened["term"] = self.result.happened.get("term", 0) + 1
            await self._end(server, signal.SIGTERM)
            await self._begin(server)
        await self._until(self.options.seconds)

    # --- figures ---------------------------------------------------------------------------------

    def _note_landed(self, got: dict[str, Any] | None) -> None:
        if got is not None:
            self._landed[got["life"]] = got["landed"]

    async def _sample(self, name: str = "", *, rest: bool = False) -> dict[str, float] | None:
        got = await self.servers[0].figures(rest=rest)
        if got is None:
            return None
        self._note_landed(got)
        sample = {what: float(got[what]) for what in WATCHED}
        sample |= {"at": time.time(), "life": got["life"], "store": float(self.store.size())}
        self.result.samples.append(sample)
        if name:
            self.result.figures[name] = sample
        return sample

    async def _keep_sampling(self) -> None:
        while True:
            await asyncio.sleep(self.options.sample_s)
            middle = time.monotonic() - self.began >= self.options.seconds / 2
            name = "middle" if middle and "middle" not in self.result.figures else ""
            try:
                await self._sample(name)
            except FileNotFoundError:
                pass  # a store that is restarted moves its files

    async def _at_rest(self) -> None:
        """Wait until the load's own tasks and connections are gone, and take the last figures."""
        for _ in range(20):
            await asyncio.sleep(0.5)
            end = await self._sample("end", rest=True)
            if end is not None and not grown(self.result.figures["start"], end):
                break

    # --- counting --------------------------------------------------------------------------------

    async def _count(self) -> None:
        result, counts = self.result, self.result.counts
        self.progress("counting")
        result.windows = [window for server in self.servers for window in server.windows]
        with (self.folder / "told").open(encoding="utf-8") as lines:
            told = read_told(lines)
        effects = (self.folder / "effects").read_text(encoding="utf-8").splitlines()
        stored = await read_store(self.store.url)
        counts.lost += find_lost(told, stored)
        counts.twice += find_twice(effects, stored)
        counts.unanswered += find_unanswered(told, result.windows)
        counts.wrong += find_wrong(told, stored) + find_without_work(effects, stored)
        counts.unseen += find_unseen(told, stored)
        result.watched = len(told.watched)
        result.reconnected = sum(entry["connections"] - 1 for entry in told.watched)
        if {"start", "end"} <= result.figures.keys():
            counts.leaks += grown(result.figures["start"], result.figures["end"])
        if self.options.form == "soak":
            counts.leaks += sloping(result.samples)
            result.slopes = slopes(result.samples)
        begun = Counter(line.split()[3] for line in effects if line.startswith("b "))
        result.runs = len(told.accepted)
        result.steps = len(begun)
        result.repeated = sum(times > 1 for times in begun.values())
        result.outcomes = by_outcome(told, stored)
        result.codes = answer_codes(told)
        result.latencies = latencies(told)
        for landed in self._landed.values():
            result.landed.update(landed)


def to_stderr(text: str) -> None:
    """Say on standard error what is being done."""
    print(text, file=sys.stderr, flush=True)
