"""A manager with a ledger: a plan that a person reviews, then rounds in which a manager names the next.

The first process ends with the plan waiting; the second approves it and goes on: no planner is asked
again. Then the rounds alone are run again from the stored plan.
With arguments it is one of the two: `start runs.db`, and `finish runs.db`.

python examples/gallery/13_manager_with_ledger.py

    start:
    finish:
    reviewed: 1. gather facts  2. write
    first: A brief with facts about rivers
    again: A brief with facts about rivers
    asked: {'manager': 6, 'researcher': 2, 'writer': 2}
"""

import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Literal

from pydantic import BaseModel

from agenticaiframework import Agent
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowRun,
    workflow,
)
from agenticaiframework.testing import scripted_model


class Next(BaseModel):
    """Who is next and with which task, or that all is done."""

    next: Literal["researcher", "writer", "done"]
    task: str = ""
    progress: bool = True


RUN = "brief-1"
MAX_STALLS = 3

MODEL = "openai:gpt-4o"
planner = Agent("planner", model=MODEL, instructions="Make a short plan.")
manager = Agent(
    "manager",
    model=MODEL,
    instructions="Read the ledger; say who is next, and with which task.",
    output_type=Next,
)
workers = {
    "researcher": Agent("researcher", model=MODEL),
    "writer": Agent("writer", model=MODEL),
}


@workflow(name="brief")
async def brief(run: WorkflowRun, task: str) -> str:
    plan = await run.ask(planner, task)
    review = await run.wait_for("review", question={"plan": plan})
    plan = review.get("plan", plan)
    ledger: list[dict[str, str]] = []
    stalls = 0
    while stalls <= MAX_STALLS:
        choice = await run.ask(manager, {"plan": plan, "ledger": ledger}, returns=Next)
        if choice.next == "done":
            return ledger[-1]["said"]
        said = await run.ask(workers[choice.next], {"task": choice.task, "ledger": ledger})
        ledger.append({"who": choice.next, "task": choice.task, "said": said})
        stalls = 0 if choice.progress else stalls + 1
    raise RuntimeError(f"no progress in {stalls} rounds: {ledger}")


asked: Counter[str] = Counter()


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    asked[request.agent] += 1
    match request.agent:
        case "planner":
            return "1. gather facts  2. write"
        case "researcher":
            return "facts about rivers"
        case "writer":
            return "A brief with facts about rivers"
        case _:
            plays = [("researcher", "facts"), ("writer", "a page"), ("done", "")]
            name, task = plays[len(request.payload["ledger"])]
            return {"next": name, "task": task}


async def start(engine: OrchestrationEngine) -> None:
    """Begin, and leave once the plan waits for a review."""
    await engine.start_workflow(brief, "Draft a brief", workflow_id=RUN, persist_state=True)
    async for event in engine.stream(RUN):
        if event.kind == "step_waiting":
            return


async def finish(engine: OrchestrationEngine) -> None:
    """Approve the plan, let the rounds run, and then the rounds alone once more."""
    await engine.recover()
    waiting = (await engine.get_workflow_status(RUN)).steps["review"]
    print("reviewed:", waiting.question["plan"])
    await engine.signal_workflow(RUN, "review", {"ok": True})
    print("first:", await engine.wait(RUN))
    await engine.retry_from(RUN, "manager")
    print("again:", await engine.wait(RUN))
    print("asked:", dict(asked))


async def live(part: str, store: str) -> None:
    async with OrchestrationEngine(EngineConfig(state_store=f"sqlite:///{store}")) as engine:
        engine.register_workflow(brief)
        await (start if part == "start" else finish)(engine)


def both() -> None:
    """Run both halves, each as a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("start", "finish"):
            print(f"{part}:")
            subprocess.run([sys.executable, __file__, part, f"{folder}/runs.db"], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with scripted_model(script):  # without this line, the hosted models answer
            asyncio.run(live(*sys.argv[1:]))
    else:
        both()
