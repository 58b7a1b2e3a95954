"""One engine of a service with a schedule, in a process of its own, which may kill itself at a chosen point.

Arguments: one JSON object. Ends by SIGKILL only.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.host import scheduler
from agenticaiframework.patterns.engine.host.scheduler import Scheduler

EVERY_S = 0.25
FLOW = {"name": "report", "steps": [{"id": "write", "agent": "writer"}]}


def engine_on(url: str, name: str, **options: Any) -> OrchestrationEngine:
    config = EngineConfig(
        state_store=url,
        lease_seconds=1.0,
        poll_seconds=0.1,
        persist_state=True,
        **options,
    )
    engine = OrchestrationEngine(config, name=name)
    engine.register_agent("writer", _write)
    engine.register_workflow("report", FLOW)
    return engine


async def _write(due: str) -> str:
    return due


def _die_at(point: str, count: int) -> None:
    """Have this process killed when it has come to *point* for the *count*th time."""
    came = 0

    def come() -> None:
        nonlocal came
        came += 1
        if came >= count:
            os.kill(os.getpid(), signal.SIGKILL)

    carry_out, change = Scheduler._carry_out, scheduler.change

    async def decided(*args: Any) -> Any:
        come()
        return await carry_out(*args)

    async def started(*args: Any) -> Any:
        come()
        return await change(*args)

    if point == "decided":
        Scheduler._carry_out = decided  # type: ignore[method-assign]
    elif point == "started":
        scheduler.change = started


async def main(options: dict[str, Any]) -> None:
    _die_at(options.get("point", ""), options.get("count", 1))
    async with ActorSystem():
        engine = engine_on(options["url"], options["name"], recover_every_seconds=0.3)
        async with engine:
            await engine.schedule(
                "tick", "report", "$schedule.due", every_s=EVERY_S, missed="all", overlap="allow"
            )
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
