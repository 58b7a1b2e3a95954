"""Queues: engines that come and go take every run once, in order, and never more than the limits allow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    Queue,
    WorkflowExists,
)
from agenticaiframework.patterns.engine.store import StoreError
from agenticaiframework.patterns.engine.store.simulated import simulated_store

Told = TypeVar("Told")

EPOCH_S = 1_700_000_000.0
FLOW = {
    "name": "flow",
    "steps": [
        {"id": "first", "agent": "work"},
        {"id": "second", "agent": "work", "input": "$first"},
    ],
}


class Plan:
    """What survives the machine beside its disk: the queue, and the runs that are put into it."""

    def __init__(self, rng: random.Random) -> None:
        self.queue = Queue(
            "gpu",
            concurrency=rng.choice([1, 2, 3]),
            worker_concurrency=rng.choice([None, 1, 2]),
            key_concurrency=rng.choice([None, 1]),
        )
        keys = [None, "a", "b"]
        self.places = {
            f"r{n}": (rng.choice(keys), rng.choice([0, 0, 1])) for n in range(rng.randrange(3, 8))
        }


async def queues(sim: Simulation) -> str:
    """Engines that serve one queue take turns on a store, over stops, drains and stopped machines."""
    if "plan" not in sim.disk:
        sim.disk["plan"] = Plan(sim.random)
    plan: Plan = sim.disk["plan"]
    rng = sim.random
    async with _engine(sim, plan, "web", serves=False) as web:
        for run_id, (key, priority) in plan.places.items():
            await _put_in(web, run_id, key, priority)
        await asyncio.gather(*(_life(sim, plan, n, rng) for n in range(rng.randrange(1, 4))))
        async with _engine(sim, plan, "last"):
            # A lease that nothing gives back ends by itself.
            async with asyncio.timeout(200):
                results = [await web.wait(run_id) for run_id in plan.places]
        sim.expect(
            [result["second"] for result in results] == [*plan.places],
            "every run of a queue completes", repr(results),
        )  # fmt: skip
        depths = await _told(web.list_queues)
        left = sum(depth.waiting + depth.taken for depth in depths)
        sim.expect(left == 0, "a queue whose runs have ended is empty", repr(depths))
        store = (await _told(lambda: web._cores.keeper(web._cores.here()))).store
        journals = {
            run_id: await _told(partial(store.read_journal, run_id)) for run_id in plan.places
        }
    _check(sim, plan, journals)
    return f"{len(journals)} runs"


async def _told(ask: Callable[[], Awaitable[Told]]) -> Told:
    """Return what a store tells, once it does."""
    while True:
        try:
            return await ask()
        except StoreError:
            await asyncio.sleep(1)


async def _put_in(web: OrchestrationEngine, run_id: str, key: str | None, priority: int) -> None:
    """Start a run in the queue, unless an earlier boot, or try, has done so."""
    while True:
        try:
            await web.start_workflow(
                FLOW, run_id, workflow_id=run_id, queue="gpu", key=key, priority=priority
            )
        except WorkflowExists:
            return
        except StoreError:
            await asyncio.sleep(1)
        else:
            return


def _engine(sim: Simulation, plan: Plan, name: str, *, serves: bool = True) -> OrchestrationEngine:
    engine = OrchestrationEngine(
        EngineConfig(
            state_store=simulated_store(sim),
            lease_seconds=3,
            poll_seconds=0.25,
            max_recoveries=None,
            queues=[plan.queue] if serves else [],
            recover_every_seconds=sim.random.choice([None, 0.5]),
            wall_clock=lambda: EPOCH_S + sim.time(),
        ),
        name=name,
    )

    async def work(payload: Any) -> Any:
        await asyncio.sleep(0.2)
        return payload

    engine.register_agent("work", work)
    return engine


async def _life(sim: Simulation, plan: Plan, number: int, rng: random.Random) -> None:
    """Let an engine serve the queue for a while, and go."""
    drains, seconds = rng.random() < 0.5, rng.choice([0.1, 0.5, 2])
    async with _engine(sim, plan, f"server-{number}") as engine:
        await asyncio.sleep(seconds)
        if drains:
            await engine.drain(rng.choice([0, 0.3]))


def _check(sim: Simulation, plan: Plan, journals: dict[str, list[Any]]) -> None:
    spans: dict[str, tuple[float, float]] = {}
    for run_id, entries in journals.items():
        ended = [entry.step for entry in entries if entry.kind == "step_completed"]
        sim.expect(
            ended == ["first", "second"], "a finished step is never run again", f"{run_id}: {ended}"
        )
        begun = [entry.at for entry in entries if entry.kind == "step_started"]
        spans[run_id] = begun[0], entries[-1].at
    most = plan.queue.concurrency or len(spans)
    sim.expect(
        _most(spans.values()) <= most, "a queue's concurrency is never exceeded", repr(spans)
    )
    of_key = plan.queue.key_concurrency
    for wanted in {key for key, _ in plan.places.values() if key is not None}:
        same = [spans[run] for run, (key, _) in plan.places.items() if key == wanted]
        sim.expect(
            of_key is None or _most(same) <= of_key,
            "the concurrency of a key is never exceeded", f"{wanted}: {same}",
        )  # fmt: skip


def _most(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many of the spans overlap at most; one may begin as another ends."""
    moments = sorted([(end, -1) for _, end in spans] + [(start, 1) for start, _ in spans])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most
