"""A service with all faces on one port, as a process of its own: its handlers tell by files what they do.

    python faces_service.py FOLDER PORT [SECONDS FOR ONE CALL]

A token is asked for if ``TOKEN`` is set; ``Bearer ann-key`` and ``Bearer bob-key`` are known if ``USERS`` is.
"""

import asyncio
import contextlib
import datetime
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    RequestRejected,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    agent_context,
    drain_on_signal,
    send_chunk,
)
from agenticaiframework.faces import (
    FaceLimits,
    a2a_app,
    agui_app,
    mcp_app,
    openai_app,
    serve,
    serve_workflow,
)
from agenticaiframework.faces.served import read_served
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import (
    AgentRole,
    AgentTeam,
    EngineConfig,
    OrchestrationEngine,
    SequentialOrchestration,
)
from agenticaiframework.testing import scripted_model

FOLDER = Path(sys.argv[1])
PORT = int(sys.argv[2])
TIMEOUT_S = float(sys.argv[3]) if len(sys.argv) > 3 else 60.0


class Order(BaseModel):
    item: str
    count: int = 1


class Receipt(BaseModel):
    total: int


def note(name: str) -> None:
    """Tell that something happened, once more."""
    with (FOLDER / name).open("a") as file:
        file.write("x")


async def price(order: Order) -> Receipt:
    send_chunk("looking it up")
    return Receipt(total=3 * order.count)


async def slow(payload: Any) -> str:
    """Wait for the file ``go``."""
    note("slow-started")
    try:
        while not (FOLDER / "go").exists():
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        note("slow-cancelled")
        raise
    return f"slow: {payload}"


async def lookup(payload: Any) -> str:
    note("lookup")
    raise ValueError("no such city")


async def picky(payload: Any) -> str:
    raise RequestRejected("only tea is sold here")


async def whoami(payload: Any) -> dict[str, Any]:
    context = agent_context()
    return {name: context.get(name) for name in ("caller", "face", "earlier")}


async def breaks(payload: Any) -> AsyncIterator[str]:
    yield "half of "
    raise ValueError("the line is cut")


async def looks(payload: Any) -> AsyncIterator[Any]:
    """Think, look something up, and answer, as a model with tools does."""
    yield ThinkingDelta("I should look")
    yield TextDelta("Let me look. ")
    yield ToolCall("look", {"city": payload}, "call-1")
    yield ToolResult("look", "call-1", {"river": "Rhine"})
    yield TextDelta("The Rhine.")


async def odd(payload: Any) -> dict[str, Any]:
    """Answer with what JSON has no words for."""
    return {"number": float("nan"), "text": "half \ud800", "when": datetime.date(2026, 1, 2)}


async def shout(payload: Any) -> str:
    return str(payload).upper()


async def first(payload: Any) -> str:
    note("first")
    return str(payload) + "!"


async def liar(payload: Any) -> str:
    return "not a receipt"


def talk(request: ScriptedRequest) -> Any:
    """Answer in the place of a model, in parts."""
    if request.agent == "counter":
        return str(len(request.messages))
    if request.agent == "recaller":
        return json.dumps([told(one) for one in request.messages[:-1]])
    said = f"{request.agent} heard: {request.prompt}"
    return (word + " " for word in said.split())


def told(message: Any) -> dict[str, str]:
    """Return a message of pydantic-ai as what was said."""
    role = "user" if message.kind == "request" else "assistant"
    return {"role": role, "content": message.parts[-1].content}


engine = OrchestrationEngine(
    EngineConfig(
        state_store=f"sqlite:///{FOLDER}/runs.sqlite",
        recover_on_start=True,
        recover_every_seconds=0.5,
        lease_seconds=5,
    )
)
engine.register_agent("first", Agent("first", handler=first))
engine.register_agent("slow", Agent("slow", handler=slow))
engine.register_agent("lookup", Agent("lookup", handler=lookup))
engine.register_workflow(
    "order",
    {
        "name": "order",
        "steps": [
            {"id": "one", "agent": "first", "input": "$input.word"},
            {"id": "two", "agent": "slow", "input": "$one"},
        ],
    },
)
engine.register_workflow(
    "letter",
    {
        "name": "letter",
        "steps": [
            {"id": "draft", "agent": "first"},
            {"id": "approval", "wait_for": {"signal": "approved", "timeout_seconds": 3600}},
            {"id": "send", "agent": "first", "input": "$approval.note"},
        ],
        "output": "$send",
    },
)
engine.register_workflow(
    "twice-asked",
    {
        "name": "twice-asked",
        "steps": [
            {"id": "early", "wait_for": {"signal": "approved", "timeout_seconds": 3600}},
            {"id": "late", "wait_for": {"signal": "signed"}, "depends_on": ["early"]},
        ],
        "output": {"early": "$early", "late": "$late"},
    },
)
engine.register_workflow("doomed", {"name": "doomed", "steps": [{"id": "find", "agent": "lookup"}]})
engine.register_workflow("brief", {"name": "brief", "steps": [{"id": "one", "agent": "slow"}]})

team = AgentTeam("desk")
team.add_role(AgentRole(name="shouter"))
team.assign_agent(Agent("crier", handler=shout), "shouter")

TARGETS = (
    serve(Agent("price", handler=price), input=Order, output=Receipt, description="Prices."),
    Agent("sleeper", handler=slow),
    Agent("lookup-face", handler=lookup),
    Agent("picky", handler=picky),
    Agent("whoami", handler=whoami),
    serve(Agent("liar", handler=liar), output=Receipt),
    Agent("breaks", handler=breaks),
    Agent("looks", handler=looks),
    Agent("odd", handler=odd),
    Agent("counter", model="openai:gpt-4o-mini"),
    Agent("recaller", model="openai:gpt-4o-mini"),
    Agent("poet", model="openai:gpt-4o-mini", instructions="Say it."),
    team,
    SequentialOrchestration(name="twice", steps=["crier"]),
    serve_workflow(engine, "order"),
    serve_workflow(engine, "doomed", input=str),
    serve_workflow(engine, "letter", input=str, answers=True),
    serve_workflow(engine, "letter", name="guarded", input=str),
    serve_workflow(engine, "brief", durable=False),
    serve_workflow(engine, "twice-asked", input=str, answers=True),
)


ALL = read_served(TARGETS)
A2A = {
    "price",
    "odd",
    "sleeper",
    "lookup-face",
    "picky",
    "poet",
    "order",
    "desk",
    "counter",
    "brief",
    "letter",
    "guarded",
}


def users(request: Request) -> str | None:
    keys = {"Bearer ann-key": "ann", "Bearer bob-key": "bob"}
    return keys.get(request.headers.get("authorization", ""))


SHARED: dict[str, Any] = {
    "token": os.environ.get("TOKEN"),
    "auth": users if os.environ.get("USERS") else None,
    "limits": FaceLimits(timeout_s=TIMEOUT_S, max_calls=8, max_body_bytes=100_000),
}
FACES: dict[str, Any] = {
    "/mcp": mcp_app(*TARGETS, **SHARED),
    "/v1": openai_app(*TARGETS, **SHARED),
    **{
        f"/a2a/{name}": a2a_app(target, version="2.1", **SHARED)
        for name, target in ALL.items()
        if name in A2A
    },
    **{f"/ag-ui/{name}": agui_app(target, **SHARED) for name, target in ALL.items()},
}


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    with scripted_model(talk):
        async with ActorSystem("faces") as system, engine:
            with drain_on_signal([engine, *FACES.values()], 2.0, ends_with=system):
                yield
        left = [
            task.get_name()
            for task in asyncio.all_tasks()
            if task.get_name().startswith(("faces", "engine"))
        ]
        (FOLDER / "left").write_text("\n".join(left))


app = Starlette(lifespan=lifespan, routes=[Mount(path, face) for path, face in FACES.items()])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", timeout_graceful_shutdown=5)
