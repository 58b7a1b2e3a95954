"""The service under test: Starlette and uvicorn over supervised agents and a durable engine.

``python -m benchmarks.service.app OPTIONS``, where *OPTIONS* is the JSON of an `AppOptions`. Each agent writes
the idempotency key of its work into a file as it begins and as it ends, which is its side effect.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import uvicorn
from loguru import logger
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, agent_context, drain_on_signal
from agenticaiframework.health import health_app
from agenticaiframework.orchestration import (
    AgentSupervisor,
    EngineConfig,
    OrchestrationEngine,
    RestartPolicy,
)
from agenticaiframework.patterns.engine import (
    EngineStopped,
    TooManyWorkflows,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowEnded,
    WorkflowExists,
    WorkflowFailed,
    WorkflowLost,
)
from agenticaiframework.patterns.engine.store import Retention, StoreError
from benchmarks.measure import resident_bytes
from benchmarks.service.faults import FAULTS, chosen
from benchmarks.service.flows import FLOWS, coded


@dataclass(frozen=True)
class AppOptions:
    """What one process of the service is told."""

    url: str
    port: int
    life: int
    effects: str
    """The file of side effects, to which all processes append."""
    log: str
    seed: int = 1
    faults: float = 1.0
    """How often agents fail, in times of `FAULTS`."""
    kills_s: float = 1.0
    """How often one of the agents is killed; 0 for never."""
    drain_s: float = 10.0
    lease_s: float = 10.0
    keep_finished: int | None = None
    """How many finished runs the store keeps; None for all."""


class Service:
    """The agents, the engine, and what they have been through."""

    def __init__(self, options: AppOptions) -> None:
        self.options = options
        self.random = Random(f"{options.seed} {options.life}")
        self.effects = os.open(options.effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.landed: Counter[str] = Counter()
        keep = options.keep_finished
        self.engine = OrchestrationEngine(
            EngineConfig(
                state_store=options.url,
                persist_state=True,
                recover_on_start=True,
                recover_every_seconds=0.5,
                poll_seconds=0.2,
                lease_seconds=options.lease_s,
                # Fewer than there are clients, so that runs queue.
                max_concurrent_workflows=8,
                retention=None if keep is None else Retention(max_finished=keep),
            ),
            name=f"life-{options.life}",
        )
        for name, flow in FLOWS.items():
            self.engine.register_workflow(name, flow)
        self.engine.register_workflow(coded)
        self.agents = self._agents()
        self.system: ActorSystem | None = None

    def _agents(self) -> AgentSupervisor:
        policy = RestartPolicy(max_restarts=100_000, within_seconds=60)
        supervisor = AgentSupervisor("agents", restart_policy=policy)
        for name in ("stock", "bank", "carrier", "writer"):
            agent = Agent(name, handler=self._work, concurrency=16)
            supervisor.add_child(name, agent)
            self.engine.register_agent(name, agent)
        supervisor.add_child("echo", Agent("echo", handler=_echo, concurrency=16))
        doomed = Agent("doomed", handler=_fail)
        supervisor.add_child("doomed", doomed)
        self.engine.register_agent("doomed", doomed)
        return supervisor

    def _write(self, what: str, key: str) -> None:
        line = f"{what} {self.options.life} {time.time():.6f} {key}\n"
        os.write(self.effects, line.encode())

    async def _work(self, given: Mapping[str, Any]) -> int:
        context = agent_context()
        key = str(context["idempotency_key"])
        fault = chosen(self.random, self.options.faults)
        self._write("b", key)
        await asyncio.sleep(self.random.uniform(0.001, 0.02))
        if fault:
            self.landed[fault] += 1
            await FAULTS[fault][1]()
        self._write("e", key)
        return int(given["n"]) + 1

    async def kill_agents(self) -> None:
        """Kill one of the agents now and then, whatever it does."""
        names = ("stock", "bank", "carrier", "writer")
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.options.kills_s))
            ref = self.agents.child(self.random.choice(names)).ref
            if ref is not None:
                ref.kill()
                self.landed["killed"] += 1

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None, None]:
        """Run the system for as long as the server runs; drain at SIGTERM."""
        async with ActorSystem("service") as system, self.agents, self.engine:
            self.system = system
            killer = asyncio.create_task(self.kill_agents()) if self.options.kills_s else None
            with drain_on_signal(self.engine, self.options.drain_s, ends_with=system):
                yield
            if killer is not None:
                killer.cancel()

    # --- endpoints -------------------------------------------------------------------------------

    async def start(self, request: Request) -> JSONResponse:
        """Start a run under the id that the client has chosen; the same id starts one."""
        asked = await request.json()
        run_id = asked["id"]
        try:
            await self.engine.start_workflow(asked["flow"], asked["input"], workflow_id=run_id)
        except WorkflowExists:
            pass
        return JSONResponse({"id": run_id}, 202)

    async def result(self, request: Request) -> JSONResponse:
        """Wait for the outcome of a run, for a while."""
        run_id = request.path_params["id"]
        wait_s = float(request.query_params.get("wait_s", 5))
        try:
            value = await self.engine.wait(run_id, timeout=wait_s)
        except WorkflowFailed:
            return JSONResponse({"state": "failed"})
        except WorkflowCancelled:
            return JSONResponse({"state": "cancelled"})
        return JSONResponse({"state": "completed", "output": value})

    async def status(self, request: Request) -> JSONResponse:
        """Tell where a run stands."""
        status = await self.engine.get_workflow_status(request.path_params["id"])
        return JSONResponse({"state": status.state, "progress": status.progress})

    async def events(self, request: Request) -> StreamingResponse:
        """Tell what happens in a run as server-sent events, from ``Last-Event-ID`` on."""
        run_id = request.path_params["id"]
        after = int(request.headers.get("last-event-id", 0))
        await self.engine.get_workflow_status(run_id)  # an unknown one is a 404

        async def told() -> AsyncIterator[str]:
            async for event in self.engine.stream(run_id, after=after):
                number = "" if event.seq is None else f"id: {event.seq}\n"
                yield f"{number}event: {event.kind}\ndata: {{}}\n\n"

        return StreamingResponse(told(), media_type="text/event-stream")

    async def approve(self, request: Request) -> JSONResponse:
        """Send a run the signal that it waits for, or will."""
        await self.engine.signal_workflow(request.path_params["id"], "approved", {})
        return JSONResponse({})

    async def cancel(self, request: Request) -> JSONResponse:
        """Cancel a run."""
        await self.engine.cancel_workflow(request.path_params["id"], "not wanted any more")
        return JSONResponse({})

    async def echo(self, _request: Request) -> JSONResponse:
        """Ask a supervised agent that does nothing: how long everything else keeps it waiting."""
        return JSONResponse(await self.agents.ask("echo", 1, timeout=20))

    async def figures(self, request: Request) -> JSONResponse:
        """Tell what the process holds; with ``?rest`` after a collection of garbage."""
        if "rest" in request.query_params:
            gc.collect()
        system = self.system
        return JSONResponse(
            {
                "life": self.options.life,
                "memory": resident_bytes(),
                "threads": threading.active_count(),
                "tasks": len(asyncio.all_tasks()),
                "handles": len(os.listdir("/proc/self/fd")),
                "actors": 0 if system is None else system.actor_count,
                "landed": dict(self.landed),
            }
        )


async def _echo(given: object) -> object:
    return given


async def _fail(_given: object) -> None:
    raise ValueError("this run is to fail")


def _answer(code: int) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def answer(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": type(error).__name__, "detail": str(error)}, code)

    return answer


CODES: dict[type[Exception], int] = {
    UnknownWorkflow: 404,
    WorkflowEnded: 409,
    TooManyWorkflows: 429,
    EngineStopped: 503,
    WorkflowLost: 503,
    StoreError: 503,
    TimeoutError: 504,
}


def application(service: Service) -> Starlette:
    """Return the ASGI application."""
    handlers: dict[Any, Any] = {error: _answer(code) for error, code in CODES.items()}
    return Starlette(
        lifespan=service.lifespan,
        exception_handlers=handlers,
        routes=[
            Route("/runs", service.start, methods=["POST"]),
            Route("/runs/{id}", service.status),
            Route("/runs/{id}", service.cancel, methods=["DELETE"]),
            Route("/runs/{id}/result", service.result),
            Route("/runs/{id}/events", service.events),
            Route("/runs/{id}/approve", service.approve, methods=["POST"]),
            Route("/echo", service.echo),
            Route("/figures", service.figures),
            Mount("/health", health_app(lambda: service.system)),
        ],
    )


def main() -> None:
    """Serve until a signal ends it."""
    options = AppOptions(**json.loads(sys.argv[1]))
    logger.remove()
    logger.add(Path(options.log), level="WARNING", format="{time} {level} {message}")
    uvicorn.run(
        application(Service(options)),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        # Longer than clients keep an idle connection, which therefore none meets as it is closed.
        timeout_keep_alive=120,
        timeout_graceful_shutdown=15,
    )


if __name__ == "__main__":
    main()
