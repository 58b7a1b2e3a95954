"""A PostgreSQL server that is restarted under load: every run that was acknowledged ends, once.

``AGENTICAI_TEST_POSTGRES_BIN`` says where PostgreSQL's programs are; ``AGENTICAI_RESTARTS`` how often it
is restarted.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from typing import Any

import pytest

from agenticaiframework.actors import agent_context
from agenticaiframework.patterns.engine import EngineConfig, EventKind, OrchestrationEngine
from agenticaiframework.patterns.engine.store import StoreError

from .servers import BIN_VARIABLE, NO_SERVER, Server, server
from .test_sigkill import journals_of

RESTARTS = int(os.environ.get("AGENTICAI_RESTARTS", "20"))
AT_ONCE = 20

pytestmark = pytest.mark.skipif(not os.environ.get(BIN_VARIABLE), reason=NO_SERVER)

FLOW = {
    "name": "restarted",
    "steps": [
        {"id": "first", "agent": "work"},
        {"id": "each", "agent": "work", "for_each": [1, 2, 3]},
        {"id": "pause", "delay": 0.02},
        {"id": "approval", "wait_for": "approved"},
        {"id": "last", "agent": "work"},
    ],
}


class Load:
    """Starts runs at two engines for as long as it is told, and waits for those that were taken in."""

    def __init__(self, url: str) -> None:
        self.rng = random.Random(1)
        self.effects: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self.executed = 0
        self.refused = 0
        self.going_on = True
        self.engines = [self._engine(url, f"engine-{n}") for n in range(2)]

    def _engine(self, url: str, name: str) -> OrchestrationEngine:
        config = EngineConfig(state_store=url, persist_state=True, poll_seconds=0.2)
        engine = OrchestrationEngine(config, name=name)
        engine.register_agent("work", self.work)
        return engine

    async def work(self, payload: Any) -> Any:
        self.effects[agent_context()["idempotency_key"]] += 1
        await asyncio.sleep(self.rng.random() * 0.1)
        return payload

    async def client(self, number: int) -> None:
        """Start one run after the other, and see each to its end."""
        engine = self.engines[number % 2]
        other = self.engines[(number + 1) % 2]
        while self.going_on:
            try:
                run_id = await engine.start_workflow(workflow=FLOW)
            except StoreError:
                self.refused += 1
                await asyncio.sleep(0.1)
                continue
            self.acknowledged.append(run_id)
            while True:
                try:
                    await self.rng.choice([engine, other]).signal_workflow(run_id, "approved", 1)
                    break
                except StoreError:
                    await asyncio.sleep(0.1)
            result = await self.rng.choice([engine, other]).wait(run_id)
            assert result["last"] == 1
            try:
                short = {"name": "short", "steps": FLOW["steps"][:3]}
                assert (await engine.execute(workflow=short))["each"] == [1, 2, 3]
                self.executed += 1
            except StoreError:
                self.refused += 1


async def restart(one: Server, load: Load) -> None:
    for number in range(RESTARTS):
        await asyncio.sleep(0.3 + load.rng.random())
        how = "immediate" if number % 3 == 0 else "fast"
        await asyncio.to_thread(one.stop, how)
        await asyncio.sleep(load.rng.random() * 0.4)
        await asyncio.to_thread(one.start)
    load.going_on = False


async def under_load(one: Server) -> Load:
    load = Load(one.url)
    clients = [asyncio.create_task(load.client(n)) for n in range(AT_ONCE)]
    await restart(one, load)
    async with asyncio.timeout(120):
        await asyncio.gather(*clients)
    for engine in load.engines:
        listed = await engine.list_workflows(state=["interrupted", "running", "waiting", "failed"])
        assert [w.workflow_id for w in listed] == []
        await engine.stop()
    return load


def test_every_run_that_was_acknowledged_ends_when_the_server_is_restarted_under_load() -> None:
    with server() as one:
        load = asyncio.run(under_load(one))
        runs = asyncio.run(journals_of(one.url))
    for run_id, (row, entries) in runs.items():
        assert row.state == "completed", (run_id, row)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), run_id
        kinds = Counter(entry.kind for entry in entries)
        assert kinds[EventKind.WORKFLOW_COMPLETED] == 1
        assert entries[-1].kind == EventKind.WORKFLOW_COMPLETED
    assert set(load.acknowledged) <= set(runs)
    again = sum(count - 1 for count in load.effects.values())
    print(
        f"{RESTARTS} restarts: {len(load.acknowledged)} runs acknowledged and ended, {load.executed} "
        f"executed, {load.refused} refused; {again} attempts cut off and repeated"
    )
