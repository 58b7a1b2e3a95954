"""An engine in each process that imports this, all with one store; and the agents that use it."""

from __future__ import annotations

import asyncio
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from agenticaiframework.actors import Agent, agent_context
from agenticaiframework.orchestration import EngineConfig, OrchestrationEngine

STEPS = 4


@cache
def engine(recovers: bool = True) -> OrchestrationEngine:
    """Return the engine of this process."""
    config = EngineConfig(
        state_store=os.environ["FAR_STORE"],
        persist_state=True,
        lease_seconds=5,
        recover_every_seconds=0.5 if recovers else None,
    )
    made = OrchestrationEngine(config, name=f"engine-{os.getpid()}")
    made.register_agent("picker", Agent("picker", handler=pick, concurrency=50))
    steps = [
        {"id": f"s{number}", "agent": "picker", "input": {"n": number}} for number in range(STEPS)
    ]
    made.register_workflow("order", {"name": "order", "steps": steps})
    return made


async def pick(payload: Any) -> int:
    """Note this attempt, and return what the step is to give; the last one once there is a file ``go``."""
    context = agent_context()
    while payload["n"] == STEPS - 1 and not (Path(os.environ["FAR_NOTES"]) / "go").exists():
        await asyncio.sleep(0.05)
    key = [context["workflow_id"], context["step"], context["attempt"], os.getpid()]
    with (Path(os.environ["FAR_NOTES"]) / "picked").open("a") as file:
        file.write(json.dumps(key) + "\n")
    number: int = payload["n"]
    return number


async def open_engine() -> None:
    """Start this process's engine, which takes over what engines that have died left."""
    await engine().recover()


async def take_order(order: Any) -> int:
    """Start a run, and return this process's number."""
    await engine().start_workflow("order", order, workflow_id=order["id"])
    return os.getpid()
