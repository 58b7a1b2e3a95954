"""A travel agent that survives anything: prompts and confirmations are signals (Temporal).

The first process is killed by SIGKILL inside a tool; the second goes on there, under the same key.
No answer of the model is asked for again.

python examples/gallery/10_durable_travel.py

    first process:
      the model is asked
      the model is asked
      the model is asked
      the invoice is sent under trip:send_invoice
    second process:
      so far: agent: Shall I send it?
      the invoice is sent under trip:send_invoice
      the model is asked
      the model is asked
    user: fly me to Sydney
    agent: Shall I look?
    find_flight: one to Sydney for 900
    agent: Done: one to Sydney for 900.
    user: send an invoice
    agent: Shall I send it?
    send_invoice: invoice for Sydney sent
    agent: Done: invoice for Sydney sent.
    user: thanks
    agent: Good journey!
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from pydantic import BaseModel

from agenticaiframework import Agent
from agenticaiframework.actors import agent_context
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowRun,
    workflow,
)
from agenticaiframework.testing import scripted_model


class Next(BaseModel):
    """What to say, and the tool to call if the user agrees."""

    say: str
    tool: str | None = None
    argument: str = ""
    done: bool = False


planner = Agent(
    "planner",
    model="openai:gpt-4o-mini",
    instructions="Plan the next tool or question of a journey.",
    output_type=Next,
)


async def find_flight(city: str) -> str:
    return f"one to {city} for 900"


async def send_invoice(about: str) -> str:
    print("  the invoice is sent under", agent_context()["idempotency_key"], flush=True)
    if sys.argv[1] == "first":
        await asyncio.sleep(60)  # until it is killed
    return f"invoice for {about} sent"


TOOLS = {"find_flight": find_flight, "send_invoice": send_invoice}


@workflow(name="travel")
async def travel(run: WorkflowRun) -> list[str]:
    history: list[str] = []
    while True:
        history.append(f"user: {await run.wait_for('prompt')}")
        while True:
            step = await run.ask(planner, history, returns=Next)
            history.append(f"agent: {step.say}")
            run.set_state({"history": history})
            if step.done:
                return history
            if step.tool is None or not await run.wait_for("confirm"):
                break
            result = await run.step(TOOLS[step.tool], step.argument, name=step.tool, retry=3)
            history.append(f"{step.tool}: {result}")


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the model, so that this runs offline."""
    print("  the model is asked", flush=True)
    match request.payload[-1].split(": ", 1):
        case ["user", "fly me to Sydney"]:
            return {"say": "Shall I look?", "tool": "find_flight", "argument": "Sydney"}
        case ["user", "send an invoice"]:
            return {"say": "Shall I send it?", "tool": "send_invoice", "argument": "Sydney"}
        case ["user", _]:
            return {"say": "Good journey!", "done": True}
        case [_, result]:
            return {"say": f"Done: {result}."}
        case _:
            raise ValueError(request.payload)


async def first(engine: OrchestrationEngine) -> None:
    await engine.start_workflow(travel, workflow_id="trip", persist_state=True)
    for name, said in (
        ("prompt", "fly me to Sydney"),
        ("confirm", True),
        ("prompt", "send an invoice"),
        ("confirm", True),
    ):
        await engine.signal_workflow("trip", name, said)
    await engine.wait("trip")


async def second(engine: OrchestrationEngine) -> None:
    print("  so far:", (await engine.query("trip"))["history"][-1])
    await engine.recover()
    await engine.signal_workflow("trip", "prompt", "thanks")
    print(*await engine.wait("trip"), sep="\n")


async def live(part: str, store: str) -> None:
    async with OrchestrationEngine(EngineConfig(state_store=store)) as engine:
        engine.register_workflow(travel)
        await (first if part == "first" else second)(engine)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for part in ("first", "second"):
            print(part, "process:")
            command = [sys.executable, __file__, part, f"sqlite:///{Path(folder)}/runs.db"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout or ():
                    print(line.rstrip())
                    if part == "first" and "invoice" in line:
                        process.kill()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with scripted_model(script):  # without this line, the hosted model answers
            asyncio.run(live(*sys.argv[1:]))
    else:
        main()
