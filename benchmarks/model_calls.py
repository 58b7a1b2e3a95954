"""What the systems of the suite ``models`` do, each in its own words, against one provider.

The provider is that of the tests, in a process of its own, so that its work is not theirs. It is loaded
as a file: it needs nothing but the standard library, and so runs beside every peer.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import each, now, rate, settle
from benchmarks.protocol import Job, Outcome, check
from benchmarks.victim import kill_halfway, say_ready

PROVIDER = Path(__file__).resolve().parents[1] / "tests" / "models" / "provider.py"
# Where the provider is, for the process that will be killed.
URL = "AGENTICAI_BENCHMARKS_PROVIDER"
KILLED_IN = 3
CALLS = 5
DELTAS = 1_000
ANSWER = "well"


def _provider() -> Any:
    spec = importlib.util.spec_from_file_location("loopback_provider", PROVIDER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def answering() -> Generator[Any, None, None]:
    """Give a provider that answers at once."""
    with _provider().provider_process(ANSWER) as server:
        yield server


@contextmanager
def calling_tools() -> Generator[Any, None, None]:
    """Give a provider that calls the tool ``add`` five times in turn, and then answers."""
    made = _provider()
    with made.provider_process(made.tool_loop("add", CALLS, ANSWER)) as server:
        yield server


@contextmanager
def streaming() -> Generator[Any, None, None]:
    """Give a provider whose answers are streams of 1,000 deltas."""
    made = _provider()
    with made.provider_process(made.Reply(text="x" * DELTAS, deltas=DELTAS)) as server:
        yield server


async def in_flight(job: Job, server: Any, ask: Callable[[], Awaitable[Any]]) -> Outcome:
    """Return how many requests a second are answered with ``job.actors`` of them under way."""
    check("the answer", ANSWER, await ask())
    left = job.operations

    async def one_after_the_other() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await ask()

    settle()
    began = now()
    await asyncio.gather(*(one_after_the_other() for _ in range(job.actors)))
    seconds = now() - began
    check("requests", job.operations + 1, server.counts["requests"])
    return rate(job.operations, seconds)


async def tool_loops(
    job: Job, server: Any, run: Callable[[], Awaitable[Any]], calls: list[int]
) -> Outcome:
    """Return how many loops of five tool calls a second are done, ten at once."""
    check("the answer", ANSWER, await run())
    check("the calls", list(range(1, CALLS + 1)), list(calls))
    settle()
    began = now()
    for first in range(0, job.operations, job.actors):
        several = min(job.actors, job.operations - first)
        await asyncio.gather(*(run() for _ in range(several)))
    seconds = now() - began
    check("tool calls", CALLS * (job.operations + 1), len(calls))
    check("requests", (CALLS + 1) * (job.operations + 1), server.counts["requests"])
    return rate(job.operations, seconds)


async def streams(job: Job, read: Callable[[], Awaitable[int]]) -> Outcome:
    """Return how many deltas a second arrive; *read* reads one stream and returns their number."""
    check("deltas", DELTAS, await read())
    settle()
    began = now()
    for _ in range(job.operations):
        check("deltas", DELTAS, await read())
    return rate(job.operations * DELTAS, now() - began)


async def one_by_one(job: Job, ask: Callable[[], Awaitable[Any]]) -> Outcome:
    """Return what a request costs whose model is a function that answers at once."""
    check("the answer", ANSWER, await ask())
    settle()
    began = now()
    for _ in range(job.operations):
        await ask()
    return each(job.operations, now() - began)


class Halfway:
    """The tool ``add`` of the process that is killed: its third call in each run never returns."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._there = 0

    async def add(self, n: int) -> int:
        """Add."""
        if n == KILLED_IN:
            self._there += 1
            if self._there == self._job.operations:
                say_ready(self._job)
            await asyncio.get_running_loop().create_future()
        return n


class Elsewhere:
    """The provider that the process around this one has started."""

    def __init__(self) -> None:
        self.url = os.environ[URL]


def kill_and_resume(module: str, job: Job, resume: Callable[[Any], Awaitable[Any]]) -> Outcome:
    """Kill a process whose runs are all in their third tool; *resume* brings them to their end in this one.

    A run takes six requests. Those that it had paid for before it was cut off, and pays for again, come
    on top of them.
    """
    with calling_tools() as server:
        kill_halfway(module, job, {URL: server.url})
        before = server.counts["requests"]
        check("requests before", KILLED_IN * job.operations, before)
        settle()
        began = now()
        answers = asyncio.run(_awaited(resume(server)))
        seconds = now() - began
        check("answers", [ANSWER] * job.operations, answers)
        sent = server.counts["requests"] / job.operations
        return Outcome({"requests_a_run": sent, "resume_s": seconds})


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work
