"""A refund that a person approves, in a run that is killed by SIGKILL twice between its tools.

The program starts itself as four processes on one store. The first is killed while it waits for the
approval, the third when the money is paid back and the mail is not out yet. Each answer of the model
and each result of a tool is on disk before the next begins, so the last process repeats none.

python examples/models/refund_agent.py

    process 1: waits for refund {'order': 7, 'amount': 120}
      ended by signal 9
    process 2: approved, for 100
    process 3: mailing, under the key refund-7:clerk/send_mail:call_3
      ended by signal 9
    process 4: mailing, under the key refund-7:clerk/send_mail:call_3
    process 4: Done: 100 are paid back for order 7.
    process 4: 4 requests, 3 tool calls, 440 tokens (400 in, 40 out), price not known
    the tools did: find_order, refund, send_mail
    the provider was asked 4 times
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from loopback import provider

from agenticaiframework import Agent
from agenticaiframework.actors import agent_context
from agenticaiframework.models import tool
from agenticaiframework.orchestration import EngineConfig, OrchestrationEngine

RUN = "refund-7"
FLOW = {"name": "refund", "steps": [{"id": "clerk", "agent": "clerk"}]}


def done(folder: Path, what: str) -> None:
    """Do what the world sees: a line that no SIGKILL takes back."""
    with (folder / "done.txt").open("a") as file:
        file.write(f"{what}\n")


def engine_on(folder: Path, url: str, mail_is_slow: bool) -> OrchestrationEngine:
    def find_order(order: int) -> dict[str, int]:
        """Look an order up."""
        done(folder, "find_order")
        return {"order": order, "paid": 120}

    @tool(requires_approval=True)
    def refund(order: int, amount: int) -> str:
        """Pay money back."""
        done(folder, "refund")
        return f"{amount} are paid back for order {order}"

    async def send_mail(text: str) -> str:
        """Write to the customer."""
        print("mailing, under the key", agent_context()["idempotency_key"], flush=True)
        await asyncio.sleep(60 if mail_is_slow else 0)
        done(folder, "send_mail")
        return text

    engine = OrchestrationEngine(EngineConfig(state_store=f"sqlite:///{folder}/runs.db"))
    clerk = Agent("clerk", model=f"qwen3@{url}", tools=[find_order, refund, send_mail])
    engine.register_agent("clerk", clerk)
    return engine


async def begin(engine: OrchestrationEngine) -> None:
    await engine.start_workflow(FLOW, "Order 7 broke.", workflow_id=RUN, persist_state=True)
    async for event in engine.stream(RUN):
        if event.kind == "question_asked":
            call = event.data["data"]
            print("waits for", call["tool"], call["arguments"], flush=True)


async def approve(engine: OrchestrationEngine) -> None:
    await engine.approve(RUN, "call_2", True, arguments={"order": 7, "amount": 100})
    print("approved, for 100")


async def go_on(engine: OrchestrationEngine) -> None:
    await engine.recover()
    print((await engine.wait(RUN)).output)
    print((await engine.get_workflow_status(RUN)).usage)


# What follows is the play: the model, and the one who starts and kills the processes.


def say(body: dict[str, Any]) -> str | tuple[str, dict[str, Any]]:
    """Answer in the place of a model: it calls one tool after the other."""
    results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    if not results:
        return "find_order", {"order": 7}
    if len(results) == 1:
        return "refund", {"order": 7, "amount": 120}
    if len(results) == 2:
        return "send_mail", {"text": results[1]}
    return f"Done: {results[2]}."


def main() -> None:
    lives = [(begin, True), (approve, False), (go_on, True), (go_on, False)]
    with provider(say) as model, tempfile.TemporaryDirectory() as folder:
        for number, (what, killed) in enumerate(lives, 1):
            command = [sys.executable, __file__, what.__name__, folder, model.url, str(killed)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout or ():
                    print(f"process {number}:", line.rstrip())
                    if killed:
                        process.kill()
            if killed:
                print("  ended by signal", -process.returncode)
        print("the tools did:", ", ".join(Path(folder, "done.txt").read_text().split()))
        print("the provider was asked", len(model.requests), "times")


async def live(what: str, folder: str, url: str, mail_is_slow: str) -> None:
    async with engine_on(Path(folder), url, mail_is_slow == "True") as engine:
        await {"begin": begin, "approve": approve, "go_on": go_on}[what](engine)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(live(*sys.argv[1:]))
    else:
        main()
