"""One process of a service that is rolled: an engine, agents with side effects, and clients that never rest.

Arguments: one JSON object. Says ``ready`` once it takes work, drains at SIGTERM, and prints one JSON object at
its end: what its clients were answered, and the report of the drain.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from typing import Any

from loguru import logger

from agenticaiframework.actors import ActorSystem, agent_context
from agenticaiframework.patterns.engine import (
    DrainReport,
    EngineConfig,
    EngineDraining,
    OrchestrationEngine,
    WorkflowLost,
    WorkflowRun,
    workflow,
)

FLOW = {
    "name": "rolled",
    "steps": [
        {"id": "first", "agent": "work"},
        {"id": "each", "agent": "work", "for_each": [1, 2, 3]},
        {"id": "pause", "delay": 0.05},
        {
            "id": "nested",
            "workflow": {
                "name": "inner",
                "steps": [{"id": "a", "agent": "work"}, {"id": "b", "agent": "work"}],
            },
        },
        {"id": "last", "agent": "work"},
    ],
}


@workflow(name="rolled code")
async def code(run: WorkflowRun, n: int) -> int:
    for _ in range(n):
        await run.ask("work", None)
    return n


class Process:
    """One process, and what its clients were answered."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.log = os.open(options["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.answers: Counter[str] = Counter()
        config = EngineConfig(
            state_store=options["url"],
            persist_state=True,
            recover_on_start=True,
            recover_every_seconds=0.1,
            poll_seconds=0.1,
            lease_seconds=600,
        )
        self.engine = OrchestrationEngine(config, name=options["name"])
        self.engine.register_agent("work", self.work)
        self.engine.register_workflow("rolled", FLOW)
        self.engine.register_workflow(code)

    def write(self, **entry: Any) -> None:
        os.write(self.log, (json.dumps(entry) + "\n").encode())

    async def work(self, _: Any) -> str:
        key = str(agent_context()["idempotency_key"])
        self.write(begun=key)
        await asyncio.sleep(random.random() * 0.1)
        self.write(ended=key)
        return "done"

    async def client(self) -> None:
        """Ask for one run after the other; each has one answer, and what was taken in is noted."""
        while True:
            try:
                if random.random() < 0.5:
                    run_id = await self.engine.start_workflow("rolled", {})
                    self.write(taken_in=run_id)
                    await self.engine.wait(run_id)
                elif random.random() < 0.5:
                    await self.engine.execute("rolled", {})
                else:
                    await self.engine.execute(code, 3)
                self.answers["result"] += 1
            except WorkflowLost as lost:
                self.write(taken_in=lost.workflow_id)
                self.answers["goes on elsewhere"] += 1
            except EngineDraining:
                self.answers["refused"] += 1
                return

    async def main(self) -> None:
        async with ActorSystem("rolled") as system:
            await self.engine.recover()
            clients = [asyncio.create_task(self.client()) for _ in range(self.options["clients"])]
            asyncio.get_running_loop().call_later(0.2, print, "ready")
            reports: list[DrainReport] = []

            class Kept:
                async def drain(_self, deadline_s: float) -> None:
                    reports.append(await self.engine.drain(deadline_s))
                    # Each client has its answer by now.
                    await asyncio.wait(clients, timeout=120)

            await system.until_signal(drain=Kept(), drain_s=120.0)
        answered = sum(client.done() and client.exception() is None for client in clients)
        print(json.dumps({
            "answers": self.answers,
            "unanswered": len(clients) - answered,
            "report": [report.to_dict() for report in reports],
        }))  # fmt: skip


if __name__ == "__main__":
    logger.remove()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    asyncio.run(Process(json.loads(sys.argv[1])).main())
