"""A service: articles that a model writes, a person approves and an editor publishes.

Runs live in a store, so that a process may be drained, killed and replaced at any time; several processes
on one PostgreSQL share the work. Offline as it stands: a function answers in the place of the models.

    python examples/service/app.py

Settings are variables of the environment: ``DATABASE_URL``, ``MODEL`` (``openai:gpt-4o-mini``; its key where the
provider looks for it), ``HOST``, ``PORT``, ``DRAIN_S``, ``OBSERVER_TOKEN``,
``FACES_TOKEN``.
"""

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any

import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, Drainable, drain_on_signal
from agenticaiframework.health import health_app
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import AgentSupervisor, EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine import (
    EngineStopped,
    EventKind,
    TooManyWorkflows,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowEnded,
    WorkflowEvent,
    WorkflowExists,
    WorkflowFailed,
    WorkflowLost,
)
from agenticaiframework.patterns.engine.store import StoreError
from agenticaiframework.testing import scripted_model

OFFLINE = "offline"
MODEL = os.environ.get("MODEL", OFFLINE)
DRAIN_S = float(os.environ.get("DRAIN_S", "20"))

ARTICLE = {
    "name": "article",
    "steps": [
        {"id": "draft", "agent": "writer", "retry": {"attempts": 3}},
        {"id": "approval", "wait_for": {"signal": "approved", "timeout_seconds": 7 * 86_400}},
        {
            "id": "published",
            "agent": "editor",
            "input": {"draft": "$draft", "note": "$approval.note"},
        },
    ],
    "output": "$published",
}

engine = OrchestrationEngine(
    EngineConfig(
        state_store=os.environ.get("DATABASE_URL", "sqlite:///service.sqlite"),
        persist_state=True,
        recover_on_start=True,
        recover_every_seconds=1.0,
        poll_seconds=0.2,
        enable_tracing=True,
    ),
    name="articles",
)
engine.register_workflow("article", ARTICLE)


def offline(request: ScriptedRequest) -> object:
    """Answer in the place of the models."""
    return f"{request.agent}: {request.prompt}"


STAFF = {
    name: Agent(
        name,
        model="openai:gpt-4o-mini" if MODEL == OFFLINE else MODEL,
        instructions=task,
        description=task,
    )
    for name, task in (("writer", "Write a short article."), ("editor", "Polish it."))
}


newsroom = AgentSupervisor("newsroom")
for name, agent in STAFF.items():
    newsroom.add_child(name, agent)
    engine.register_agent(name, agent)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    async with AsyncExitStack() as stack:
        if MODEL == OFFLINE:
            stack.enter_context(scripted_model(offline))
        system = app.state.system = await stack.enter_async_context(ActorSystem("service"))
        await stack.enter_async_context(newsroom)
        await stack.enter_async_context(engine)
        stack.callback(unmount, app, len(app.router.routes))
        shown = [*show(app, system), *offer(app)]
        stack.enter_context(drain_on_signal([engine, *shown], DRAIN_S, ends_with=system))
        yield


def unmount(app: FastAPI, routes: int) -> None:
    """Leave the app with its first *routes*: what is mounted belongs to one start, and a test has several."""
    del app.router.routes[routes:]


def show(app: FastAPI, system: ActorSystem) -> list[Drainable]:
    """Mount metrics and the observer, trace agents, where the extras are installed; return what is to be drained.

    FastAPI makes the span of a request itself, below the one that its ``traceparent`` names.
    uvicorn ends once no stream is open. The observer's end when it is drained, the browser's included.
    """
    try:
        metrics = import_module("agenticaiframework.metrics")
        metrics.measure(system, engine)
        app.mount("/metrics", metrics.metrics_app())
    except ImportError:
        pass
    try:
        import_module("agenticaiframework.metrics").trace_agents(system)
    except ImportError:
        pass
    try:
        observer = import_module("agenticaiframework.observer")
        token = os.environ.get("OBSERVER_TOKEN")
        page = observer.observer_app(system, engine, token=token)
    except ImportError:
        return []
    app.mount("/observer", page)
    return [page]


def offer(app: FastAPI) -> list[Drainable]:
    """Mount the faces for other programs, where their extras are installed; return what is to be drained."""
    try:
        faces = import_module("agenticaiframework.faces")
    except ImportError:
        return []
    article = faces.serve_workflow(engine, "article", input=str, description="Has one written.")
    writer, token = STAFF["writer"], os.environ.get("FACES_TOKEN")
    offered: list[Drainable] = []
    for path, make, targets in (
        ("/mcp", faces.mcp_app, (article, writer)),
        ("/v1", faces.openai_app, (writer,)),
        ("/a2a", faces.a2a_app, (article,)),
        ("/ag-ui", faces.agui_app, (writer,)),
    ):
        try:
            face = make(*targets, token=token)
        except ImportError:
            continue
        app.mount(path, face)
        offered.append(face)
    return offered


app = FastAPI(title="Articles", lifespan=lifespan)
app.mount("/health", health_app(lambda: getattr(app.state, "system", None)))


class Topic(BaseModel):
    topic: str


class Approval(BaseModel):
    note: str = ""


@app.post("/articles", status_code=202)
async def start(topic: Topic, idempotency_key: str | None = Header(None)) -> dict[str, str]:
    """Start an article; the same ``Idempotency-Key`` starts one."""
    try:
        run_id = await engine.start_workflow("article", topic.topic, workflow_id=idempotency_key)
    except WorkflowExists as there:
        run_id = there.workflow_id
    return {"id": run_id}


@app.get("/articles/{run_id}")
async def status(run_id: str) -> dict[str, Any]:
    """Tell where an article stands."""
    return (await engine.get_workflow_status(run_id, outputs=True)).to_dict()


@app.get("/articles/{run_id}/result")
async def result(run_id: str, wait_s: float = 20.0) -> dict[str, Any]:
    """Wait for an article, for a while."""
    return {"id": run_id, "article": await engine.wait(run_id, timeout=min(wait_s, 60.0))}


@app.post("/articles/{run_id}/approve")
async def approve(run_id: str, approval: Approval) -> dict[str, Any]:
    """Let an article be published."""
    return (await engine.signal_workflow(run_id, "approved", approval.model_dump())).to_dict()


@app.delete("/articles/{run_id}")
async def cancel(run_id: str, reason: str = "cancelled by its author") -> dict[str, Any]:
    """Cancel an article."""
    return (await engine.cancel_workflow(run_id, reason)).to_dict()


@app.get("/articles/{run_id}/events")
async def watch(run_id: str, last_event_id: int = Header(0, ge=0)) -> StreamingResponse:
    """Tell what happens to an article, as server-sent events, from ``Last-Event-ID`` on."""
    await engine.get_workflow_status(run_id)  # an unknown one is a 404, and not an empty stream

    async def events() -> AsyncIterator[str]:
        yield "retry: 500\n\n"
        async for event in engine.stream(run_id, after=last_event_id):
            yield server_sent(event)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


def server_sent(event: WorkflowEvent) -> str:
    """Return an event as a browser's `EventSource` reads it; without a number it is not one to go on from."""
    interrupted = event.kind == EventKind.WORKFLOW_INTERRUPTED
    name = "reconnect" if interrupted and event.data.get("reconnect") else event.kind
    number = "" if event.seq is None else f"id: {event.seq}\n"
    return f"{number}event: {name}\ndata: {json.dumps(event.to_dict())}\n\n"


def answer_with(code: int, *errors: type[Exception], retry_after_s: int | None = None) -> None:
    """Answer what raises one of *errors* with *code*."""

    async def answer(_request: Request, error: Exception) -> JSONResponse:
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        body = {"error": type(error).__name__, "detail": str(error)}
        return JSONResponse(body, code, headers)

    for error in errors:
        app.add_exception_handler(error, answer)


answer_with(404, UnknownWorkflow)
answer_with(409, WorkflowEnded, WorkflowCancelled)
answer_with(429, TooManyWorkflows, retry_after_s=5)
answer_with(502, WorkflowFailed)
# Another process goes on with it, or the store comes back: ask again.
answer_with(503, EngineStopped, WorkflowLost, StoreError, retry_after_s=1)
answer_with(504, TimeoutError, retry_after_s=1)


def end(*_signal: object) -> None:
    """End with exit code 0 after SIGTERM, which uvicorn hands on when all has ended; 1 if the agents gave up."""
    system = getattr(app.state, "system", None)
    sys.exit(1 if system is not None and system.gave_up else 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    uvicorn.run(app, host=host, port=port, timeout_graceful_shutdown=10)
