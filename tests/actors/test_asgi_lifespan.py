"""A FastAPI program: one system in its lifespan, and names that requests give to their own agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.orchestration import (
    AgentSupervisor,
    OrchestrationEngine,
    SequentialOrchestration,
)

WORKFLOW = {"name": "w", "steps": [{"id": "help", "agent": "helper"}], "output": "$help"}


def program(starts: list[str], told: list[Any]) -> Any:
    # FastAPI keeps what routes refer to as long as the process lives, so no other test has these names.
    worker = Agent(
        "served worker",
        handler=lambda _: ActorSystem.current().name,
        on_start=lambda: starts.append(ActorSystem.current().name),
    )
    helper = Agent("free helper", handler=lambda _: ActorSystem.current().name)
    engine = OrchestrationEngine()
    engine.register_workflow("registered", WORKFLOW)

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncGenerator[None, None]:
        supervisor = AgentSupervisor("desk")
        supervisor.add_child("served worker", worker)
        async with ActorSystem("service"), supervisor:
            yield

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.get("/async")
    async def on_loop() -> list[str]:
        return [await worker.ask(1), await helper.ask(1)]

    @app.get("/sync")
    def in_thread() -> list[str]:
        listener = Agent("listener", handler=told.append)
        listener.tell(ActorSystem.current().name)
        return [asyncio.run(worker.ask(1)), ActorSystem.current().name]

    @app.get("/secret/{user}/{way}")
    async def secret(user: str, way: str) -> str:
        async def answer(_: Any) -> str:
            await asyncio.sleep(0)
            return f"of {user}"

        own = Agent("helper", handler=answer)
        if way == "pattern":
            pattern = SequentialOrchestration("chat", ["helper"])
            await asyncio.sleep(0.001)
            return f"{await pattern.execute('hello')} by {own.name}"
        await asyncio.sleep(0.001)
        what = "registered" if way == "registered" else WORKFLOW
        return f"{await engine.execute(what, 'hello')} by {own.name}"

    return app


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[Any, None]:
    """Serve *app* as a server does: its lifespan in one task, each request in another."""
    started, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.router.lifespan_context(app):
            started.set()
            await over.wait()

    server = asyncio.create_task(live())
    await started.wait()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://program") as client:
        yield client
    over.set()
    await server


def test_requests_use_the_system_of_the_lifespan_and_its_supervised_agent() -> None:
    starts: list[str] = []
    told: list[Any] = []

    async def main() -> None:
        async with served(program(starts, told)) as client:
            for _ in range(3):
                assert (await client.get("/async")).json() == ["service", "service"]
                assert (await client.get("/sync")).json() == ["service", "service"]
            while len(told) < 3:
                await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert starts == ["service"]
    assert told == ["service"] * 3


@pytest.mark.parametrize("way", ["pattern", "workflow", "registered"])
def test_no_request_gets_the_agent_of_another(way: str) -> None:
    async def main() -> None:
        async with served(program([], [])) as client:

            async def ask(number: int) -> str:
                return str((await client.get(f"/secret/{number}/{way}")).json())

            answers = await asyncio.gather(*(ask(number) for number in range(200)))
            assert answers == [f"of {number} by helper" for number in range(200)]

    asyncio.run(asyncio.wait_for(main(), 120))
