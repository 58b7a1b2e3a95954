"""A small service under observation, and clients of its observer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from agenticaiframework import Agent
from agenticaiframework.actors import Actor, ActorSystem, agent_context
from agenticaiframework.observer import ObserverApp, observer_app
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.supervision import AgentSupervisor

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[2J\u202e"
"""What an agent must not be able to say to a browser."""


class Waiting(Actor):
    """Handles a message until it is told to go on."""

    def __init__(self, gate: asyncio.Event) -> None:
        super().__init__()
        self.gate = gate

    async def on_receive(self, _message: Any) -> None:
        await self.gate.wait()


class Failing(Actor):
    """Fails with what it is told."""

    def on_receive(self, message: Any) -> None:
        raise ValueError(message)


async def echo(payload: Any) -> Any:
    return payload


async def ask(_payload: Any) -> Any:
    return await agent_context().question("allow", {"amount": 12})


async def fail(payload: Any) -> Any:
    raise ValueError(EVIL)


class Service:
    """The parts of the service, and how to look at it."""

    def __init__(
        self, system: ActorSystem, engine: OrchestrationEngine, root: AgentSupervisor
    ) -> None:
        self.system = system
        self.engine = engine
        self.root = root
        self.gate = asyncio.Event()

    def app(self, **options: Any) -> ObserverApp:
        return observer_app(self.system, self.engine, **options)

    def client(
        self, app: Any = None, *, host: str = "localhost", at: str = "127.0.0.1"
    ) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app or self.app(), client=(at, 5000))
        return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await holds():
                await asyncio.sleep(0.01)

    async def run_until(self, run_id: str, *states: str) -> None:
        async def there() -> bool:
            return str((await self.engine.get_workflow_status(run_id)).state) in states

        await self.until(there)


@asynccontextmanager
async def running_service() -> AsyncGenerator[Service]:
    async with ActorSystem("shop") as system:
        engine = OrchestrationEngine(
            EngineConfig(state_store="memory://", persist_state=True, enable_tracing=True)
        )
        for name, fn in (("echo", echo), ("ask", ask), ("fail", fail)):
            engine.register_agent(name, fn)
        engine.register_workflow(
            "order",
            {
                "name": "order",
                "steps": [{"id": "look", "agent": "echo"}, {"id": "pay", "agent": "ask"}],
            },
        )
        engine.register_workflow("bad", {"name": "bad", "steps": [{"id": "only", "agent": "fail"}]})
        engine.register_workflow(
            "gate", {"name": "gate", "steps": [{"id": "hold", "wait_for": {"signal": "go"}}]}
        )
        root = AgentSupervisor("root")
        desk = AgentSupervisor("desk")
        desk.add_child("clerk", Agent("clerk", handler=echo, concurrency=3))
        root.add_supervisor("desk", desk)
        root.add_child("failing", Failing)
        service = Service(system, engine, root)
        root.add_child("waiting", (Waiting, service.gate))
        async with engine:
            await root.start()
            try:
                yield service
            finally:
                service.gate.set()
                await root.stop()
