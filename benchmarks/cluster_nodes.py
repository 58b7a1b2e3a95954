"""What the cluster's benchmarks run on other nodes: at the top of a module, since it goes there by name."""

from __future__ import annotations

import asyncio
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.actors import Actor, agent_context
from agenticaiframework.orchestration import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowExists,
)
from benchmarks.computing import computed

STORE, NOTES = "AGENTICAI_BENCHMARK_STORE", "AGENTICAI_BENCHMARK_NOTES"
"""Variables of the environment that tell nodes the store's URL, and a folder for what they note."""

STEPS = 3


class Recorder(Actor):
    """Writes every number that it is told into a file, where it stays when the process is killed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_receive(self, message: Any) -> None:
        os.write(self._file, b"%d\n" % message)

    def on_stop(self) -> None:
        os.close(self._file)


async def answer(payload: Any) -> Any:
    """Answer with the payload, after a moment."""
    await asyncio.sleep(0.01)
    return payload


async def compute(rounds: int) -> int:
    """Compute for a while, on the node's event loop, and return its process."""
    computed(rounds)
    return os.getpid()


async def step(payload: Any) -> int:
    """Note this attempt at a step of a run, and return the step's number."""
    context = agent_context()
    await asyncio.sleep(0.1)
    entry = [context["workflow_id"], context["step"], context["attempt"], os.getpid()]
    with (Path(os.environ[NOTES]) / "attempts").open("a") as file:
        file.write(json.dumps(entry) + "\n")
    number: int = payload["n"]
    return number


@cache
def engine(recovers: bool = True) -> OrchestrationEngine:
    """Return this process's engine; all of them share one store."""
    config = EngineConfig(
        state_store=os.environ[STORE],
        persist_state=True,
        lease_seconds=2,
        recover_every_seconds=0.5 if recovers else None,
        max_recoveries=None,
    )
    made = OrchestrationEngine(config, name=f"engine-{os.getpid()}")
    made.register_agent("worker", Agent("worker", handler=step, concurrency=100))
    steps = [{"id": f"s{n}", "agent": "worker", "input": {"n": n}} for n in range(STEPS)]
    made.register_workflow("run", {"name": "run", "steps": steps})
    return made


async def open_engine() -> None:
    """Start this process's engine, which takes over what engines that have died left."""
    await engine().recover()


async def start_run(run_id: str) -> str:
    """Start the run of that id, if it has not been started."""
    try:
        await engine().start_workflow("run", {}, workflow_id=run_id)
    except WorkflowExists:
        pass  # by a node that was killed before it could say so
    return run_id


__all__ = [
    "NOTES",
    "STEPS",
    "STORE",
    "Recorder",
    "answer",
    "compute",
    "engine",
    "open_engine",
    "start_run",
    "step",
]
