"""The workloads, as data: what is measured, how much of it, and against which floor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.postgres import SERVER

Suite = Literal["kernel", "memory", "supervision", "patterns", "engine", "models"]
SUITES: tuple[Suite, ...] = ("kernel", "memory", "supervision", "patterns", "engine", "models")


@dataclass(frozen=True)
class Metric:
    """One figure of a workload, its unit, and which way is better."""

    name: str
    unit: str
    better: Literal["higher", "lower"]


@dataclass(frozen=True)
class Size:
    """How much is done in one sample; a slow system does fewer operations, but never under *least*."""

    operations: int
    actors: int = 1
    least: int = 1


@dataclass(frozen=True)
class Goal:
    """The figure this project sets itself on the machine of ``docs/benchmarks.md``; nothing asserts it.

    It is one of the first metric; with *times_floor*, it is a cost in times of the floor's.
    """

    value: float
    times_floor: bool = False


@dataclass(frozen=True)
class Workload:
    """One thing to measure; the first metric is the one that is ranked, compared and drawn."""

    name: str
    suite: Suite
    title: str
    metrics: tuple[Metric, ...]
    full: Size
    smoke: Size
    floor: str
    goal: Goal | None = None
    timeout_s: float = 60.0
    scaled: bool = True
    waits: bool = False
    """Whether time passes in which the processor has nothing to do."""
    needs: str = ""
    """An environment variable without which it is left out of its suite."""

    def size(self, smoke: bool, speed: float = 1.0) -> Size:
        """Return the size of a smoke run or of a full one, for a system of this *speed*."""
        size = self.smoke if smoke else self.full
        if not self.scaled:
            return size
        return replace(size, operations=max(int(size.operations * speed), size.least))


def _latencies(*names: str) -> tuple[Metric, ...]:
    return tuple(
        Metric(f"{name}_{quantile}_ms", "ms", "lower")
        for name in names
        for quantile in ("p50", "p99", "max")
    )


PER_SECOND = (Metric("per_s", "/s", "higher"),)
MICROSECONDS = (Metric("us", "us", "lower"),)

WORKLOADS: tuple[Workload, ...] = (
    Workload(
        "counting",
        "kernel",
        "Savina's counting: one actor tells a plain handler, one to one",
        PER_SECOND,
        Size(500_000),
        Size(5_000),
        "floor-queue",
        Goal(2_000_000),
    ),
    Workload(
        "counting-async",
        "kernel",
        "Savina's counting to an async handler",
        PER_SECOND,
        Size(500_000),
        Size(5_000),
        "floor-coroutines",
        Goal(1_200_000),
    ),
    Workload(
        "ping-pong",
        "kernel",
        "Savina's ping-pong: one actor asks another, one after the other, async handlers",
        PER_SECOND,
        Size(200_000),
        Size(2_000),
        "floor-coroutines",
        Goal(450_000),
    ),
    Workload(
        "ring",
        "kernel",
        "Savina's thread ring: a token round 1,000 actors with plain handlers, hops",
        PER_SECOND,
        Size(500_000, 1_000),
        Size(5_000, 1_000),
        "floor-queue",
        Goal(1_200_000),
    ),
    Workload(
        "ring-async",
        "kernel",
        "Savina's thread ring with async handlers, hops",
        PER_SECOND,
        Size(500_000, 1_000),
        Size(5_000, 1_000),
        "floor-coroutines",
    ),
    Workload(
        "fork-join",
        "kernel",
        "Savina's fork-join: one actor asks 1,000 others and gathers, plain handlers, asks",
        PER_SECOND,
        Size(200_000, 1_000, least=1_000),
        Size(2_000, 1_000, least=1_000),
        "floor-coroutines",
        Goal(600_000),
    ),
    Workload(
        "fork-join-async",
        "kernel",
        "Savina's fork-join with async handlers, asks",
        PER_SECOND,
        Size(200_000, 1_000, least=1_000),
        Size(2_000, 1_000, least=1_000),
        "floor-coroutines",
    ),
    Workload(
        "big",
        "kernel",
        "Savina's big: 100 actors ping one another, many to many, plain handlers, messages",
        PER_SECOND,
        Size(400_000, 100, least=200),
        Size(4_000, 100, least=200),
        "floor-queue",
        Goal(1_200_000),
    ),
    Workload(
        "big-async",
        "kernel",
        "Savina's big with async handlers, messages",
        PER_SECOND,
        Size(400_000, 100, least=200),
        Size(4_000, 100, least=200),
        "floor-coroutines",
    ),
    Workload(
        "spawn",
        "kernel",
        "start actors from an actor until all run",
        PER_SECOND,
        Size(100_000),
        Size(1_000),
        "floor-queue",
        Goal(400_000),
    ),
    Workload(
        "fairness",
        "kernel",
        "beside a flooded actor: an HTTP request from outside, the loop's tick, a request to an idle actor",
        (*_latencies("http", "tick", "probe"), Metric("flood_per_s", "/s", "higher")),
        Size(3_000),
        Size(300),
        "floor-loop",
        Goal(5.0),
        scaled=False,
        waits=True,
    ),
    Workload(
        "idle",
        "memory",
        "bytes of an idle actor that nobody has written to",
        (Metric("bytes", "B", "lower"),),
        Size(100_000),
        Size(10_000),
        "floor-queue",
    ),
    Workload(
        "idle-linked",
        "memory",
        "bytes of an idle actor that has a name and is linked to the one that started it",
        (Metric("bytes", "B", "lower"),),
        Size(100_000),
        Size(10_000),
        "floor-queue",
        Goal(600),
    ),
    Workload(
        "idle-used",
        "memory",
        "bytes of an idle actor that has handled one message",
        (Metric("bytes", "B", "lower"),),
        Size(100_000),
        Size(10_000),
        "floor-queue",
    ),
    Workload(
        "million",
        "memory",
        "one million actors alive at once, then all are stopped",
        (
            Metric("resident_mb", "MB", "lower"),
            Metric("stop_s", "s", "lower"),
            Metric("start_s", "s", "lower"),
        ),
        Size(1_000_000),
        Size(10_000),
        "floor-queue",
        Goal(700),
        timeout_s=180.0,
        scaled=False,
    ),
    Workload(
        "spawn-stop",
        "memory",
        "start and stop actors over and over: what memory stays behind",
        (Metric("leaked_bytes", "B a cycle", "lower"), Metric("per_s", "/s", "higher")),
        Size(1_000_000, 1_000, least=5_000),
        Size(10_000, 1_000, least=5_000),
        "floor-queue",
        Goal(1.0),
        timeout_s=180.0,
    ),
    Workload(
        "crash-restart",
        "supervision",
        "a supervised child crashes, is restarted, and its new incarnation answers",
        PER_SECOND,
        Size(10_000),
        Size(200),
        "floor-coroutines",
        Goal(30_000),
    ),
    Workload(
        "tree",
        "supervision",
        "a supervisor starts and stops 100,000 children",
        (Metric("start_s", "s", "lower"), Metric("stop_s", "s", "lower")),
        Size(100_000),
        Size(1_000),
        "floor-coroutines",
        Goal(2.0),
        timeout_s=120.0,
        scaled=False,
    ),
    Workload(
        "restart-among",
        "supervision",
        "one restart among 100,000 children against one among ten, times as slow",
        (
            Metric("times", "x", "lower"),
            Metric("few_us", "us", "lower"),
            Metric("many_us", "us", "lower"),
        ),
        Size(1_000, 100_000),
        Size(100, 1_000),
        "floor-coroutines",
        Goal(1.5),
        timeout_s=120.0,
    ),
    Workload(
        "sequential",
        "patterns",
        "three agents that do nothing, one after the other, a run",
        MICROSECONDS,
        Size(5_000),
        Size(50),
        "floor-asyncio",
        Goal(40),
    ),
    Workload(
        "fan-out",
        "patterns",
        "100 agents that do nothing at once, a branch",
        MICROSECONDS,
        Size(200, 100),
        Size(5, 100),
        "floor-asyncio",
        Goal(8),
    ),
    Workload(
        "thousand",
        "patterns",
        "1,000 runs at once of three agents that take 10 ms each (ideal 30 ms)",
        (Metric("wall_s", "s", "lower"), Metric("kb_a_run", "KB", "lower")),
        Size(1_000),
        Size(100),
        "floor-asyncio",
        Goal(0.060),
        scaled=False,
        waits=True,
    ),
    Workload(
        "steps",
        "engine",
        "a workflow of three steps that do nothing, in memory",
        MICROSECONDS,
        Size(2_000),
        Size(50),
        "floor-asyncio",
        Goal(60),
    ),
    Workload(
        "fan-out-workflow",
        "engine",
        "a workflow that fans out to 100 steps that do nothing, a branch",
        MICROSECONDS,
        Size(100, 100),
        Size(3, 100),
        "floor-asyncio",
        Goal(10),
    ),
    Workload(
        "thousand-workflows",
        "engine",
        "1,000 workflows at once of three steps that take 10 ms each (ideal 30 ms)",
        (Metric("wall_s", "s", "lower"), Metric("kb_a_run", "KB", "lower")),
        Size(1_000),
        Size(100),
        "floor-asyncio",
        Goal(0.060),
        timeout_s=120.0,
        scaled=False,
        waits=True,
    ),
    Workload(
        "durable",
        "engine",
        "three steps, each on disk before the next, one workflow at a time",
        PER_SECOND,
        Size(500),
        Size(20),
        "floor-commit",
        Goal(2.0, times_floor=True),
        waits=True,
    ),
    Workload(
        "durable-100",
        "engine",
        "three steps, each on disk before the next, 100 workflows in flight",
        PER_SECOND,
        Size(10_000, 100, least=200),
        Size(100, 20, least=40),
        "floor-group-commit",
        Goal(10_000),
        waits=True,
    ),
    Workload(
        "postgres",
        "engine",
        "three steps, each committed by PostgreSQL before the next, one workflow at a time",
        PER_SECOND,
        Size(300),
        Size(10),
        "floor-postgres",
        Goal(2.0, times_floor=True),
        waits=True,
        needs=SERVER,
    ),
    Workload(
        "postgres-100",
        "engine",
        "three steps, each committed by PostgreSQL before the next, 100 workflows in flight",
        PER_SECOND,
        Size(5_000, 100, least=200),
        Size(60, 20, least=40),
        "floor-postgres",
        waits=True,
        needs=SERVER,
    ),
    Workload(
        "recovery",
        "engine",
        "1,000 workflows are cut off in their second step by SIGKILL; a new process finishes them",
        (Metric("recover_s", "s", "lower"), Metric("lost", "workflows", "lower")),
        Size(1_000),
        Size(50),
        "floor-group-commit",
        Goal(1.0),
        timeout_s=120.0,
        scaled=False,
        waits=True,
    ),
    Workload(
        "parked",
        "engine",
        "100,000 workflows that wait for a signal from outside",
        (Metric("resident_mb", "MB", "lower"), Metric("kb_a_run", "KB", "lower")),
        Size(100_000),
        Size(1_000),
        "floor-asyncio",
        Goal(100),
        timeout_s=180.0,
        scaled=False,
    ),
    Workload(
        "model-own-part",
        "models",
        "an agent whose model is a function that answers at once, a request",
        MICROSECONDS,
        Size(1_000),
        Size(20),
        "floor-pydantic-ai",
    ),
    Workload(
        "model-requests",
        "models",
        "requests of an agent to a provider on the loopback interface, 100 under way",
        PER_SECOND,
        Size(2_000, 100),
        Size(40, 10),
        "floor-pydantic-ai",
        timeout_s=120.0,
        waits=True,
    ),
    Workload(
        "model-tool-loop",
        "models",
        "runs of an agent that calls a tool five times, ten under way, six requests each",
        PER_SECOND,
        Size(100, 10),
        Size(4, 2),
        "floor-pydantic-ai",
        timeout_s=120.0,
        waits=True,
    ),
    Workload(
        "model-kill-resume",
        "models",
        "runs of five tool calls, killed in the third and finished by a new process (ideal: 6 requests)",
        (Metric("requests_a_run", "", "lower"), Metric("resume_s", "s", "lower")),
        Size(10),
        Size(2),
        "floor-pydantic-ai",
        timeout_s=120.0,
        scaled=False,
        waits=True,
    ),
    Workload(
        "model-stream",
        "models",
        "streams of 1,000 deltas, one after the other, deltas",
        PER_SECOND,
        Size(20),
        Size(1),
        "floor-pydantic-ai",
        timeout_s=120.0,
        waits=True,
    ),
)


def workload_named(name: str) -> Workload:
    """Return the workload called *name*; raise `KeyError` when there is none."""
    return {workload.name: workload for workload in WORKLOADS}[name]
