"""What metrics and traces cost: processor time of a message with each of them off and on.

python -m examples.metrics.cost
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

from agenticaiframework.actors import Actor, ActorSystem, Agent
from agenticaiframework.metrics import measure, trace_agents
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine

MODES = ("off", "metrics without handler times", "metrics", "metrics and traces")
ROUNDS = 5
MESSAGES = 20_000


class Sink(Actor):
    """Takes what it is told."""

    def on_receive(self, message: Any) -> None:
        """Do nothing with it."""


async def echo(payload: Any) -> Any:
    """Answer with the payload."""
    return payload


async def each(times: int, work: Callable[[int], Awaitable[Any]]) -> float:
    """Return the microseconds of processor time that *work* takes, one after the other."""
    gc.collect()
    began = time.process_time()
    for number in range(times):
        await work(number)
    return (time.process_time() - began) / times * 1e6


async def sample(mode: str) -> dict[str, float]:
    """Return the microseconds of each kind of work in *mode*."""
    engine = OrchestrationEngine(EngineConfig(enable_tracing="traces" in mode))
    async with ActorSystem() as system, engine:
        if mode != "off":
            measure(system, engine, handler_times="without" not in mode)
        if "traces" in mode:
            trace_agents(system)
        sink = system.start(Sink)
        one, pool = Agent("one", handler=echo), Agent("pool", handler=echo, concurrency=8)
        flow = {"name": "flow", "steps": [{"id": f"s{n}", "agent": one} for n in range(3)]}

        async def tells(_: int) -> None:
            for number in range(MESSAGES):
                sink.tell(number)
            await sink.request("done")

        for warm in (one.ask, pool.ask):
            await warm(0)
        return {
            "a message told to an actor": await each(3, tells) / MESSAGES,
            "an ask of an agent": await each(MESSAGES, one.ask),
            "an ask of a pooled agent": await each(MESSAGES, pool.ask),
            "a workflow of three steps": await each(500, lambda n: engine.execute(flow, n)),
        }


def main() -> None:
    """Print the table."""
    best: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for mode in MODES:
            for work, took_us in asyncio.run(sample(mode)).items():
                best[work, mode] = min(took_us, best.get((work, mode), took_us))
    print("| processor time, µs | " + " | ".join(MODES) + " |")
    print("|---" * (len(MODES) + 1) + "|")
    for work in dict.fromkeys(work for work, _ in best):
        off = best[work, "off"]
        cells = [f"{off:.2f}"]
        for mode in MODES[1:]:
            took_us = best[work, mode]
            cells.append(f"{took_us:.2f} ({took_us / off - 1:+.0%})")
        print(f"| {work} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
