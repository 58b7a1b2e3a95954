"""The health of a system over HTTP: alone, mounted, and from the thread of another loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from agenticaiframework.actors import ActorSystem, Degraded, Unhealthy
from agenticaiframework.health import health_app
from agenticaiframework.orchestration import CircuitBreaker, EngineConfig, OrchestrationEngine


def client(app: Any, **options: Any) -> Any:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, **options), base_url="http://service"
    )


async def states(app: Any, *paths: str) -> list[int]:
    async with client(app) as http:
        return [(await http.get(path)).status_code for path in paths]


def test_a_service_that_is_well() -> None:
    async def main() -> None:
        async with ActorSystem("service") as system, client(health_app(system)) as http:
            for path in ("/health/live", "/health/ready", "/health", "/live", "/ready", "/"):
                answer = await http.get(path)
                assert answer.status_code == 200, path
                assert answer.headers["content-type"] == "application/json"
                assert answer.headers["cache-control"] == "no-store"
                assert answer.json()["ok"] is True
            assert (await http.head("/health/live")).content == b""
            assert (await http.get("/other")).status_code == 404
            assert (await http.post("/health/live")).status_code == 405

    asyncio.run(main())


def test_live_and_ready_fail_apart() -> None:
    async def main() -> None:
        found: list[Any] = [None]
        async with ActorSystem("service") as system:
            app = health_app(system)
            system.add_health_check("own", lambda: found[0])
            paths = ("/health/live", "/health/ready", "/health")
            found[0] = Degraded("slow")
            assert await states(app, *paths) == [200, 200, 200]
            found[0] = Unhealthy("no disk")
            assert await states(app, *paths) == [200, 503, 503]
            async with client(app) as http:
                answer = (await http.get("/health/ready")).json()
            assert answer["checks"]["own"]["reason"] == "no disk"
            found[0] = None
            system.give_up("root", "it failed too often")
            assert await states(app, *paths) == [503, 503, 503]

    asyncio.run(main())


def test_without_details_only_the_state_is_told() -> None:
    async def main() -> None:
        async with ActorSystem("service") as system:
            system.add_health_check("own", lambda: Unhealthy("postgres://user:secret@host"))
            async with client(health_app(system, details=False)) as http:
                assert (await http.get("/health/ready")).json() == {"state": "failed"}

    asyncio.run(main())


@pytest.mark.parametrize("where", ["", "/health", "/internal"])
def test_it_is_mounted_in_a_program_that_makes_its_system_later(where: str) -> None:
    systems: list[ActorSystem] = []

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncGenerator[None, None]:
        async with ActorSystem("service") as system:
            systems.append(system)
            yield

    async def main() -> None:
        app = fastapi.FastAPI(lifespan=lifespan)
        app.mount(where, health_app(lambda: systems[0] if systems else None))
        base = where or "/health"
        paths = [f"{base}/live", f"{base}/ready"]
        assert await states(app, *paths) == [200, 503]
        async with lifespan(app):
            assert await states(app, *paths, f"{base}/") == [200, 200, 200]
        assert await states(app, *paths) == [200, 503]

    asyncio.run(main())


def test_without_a_system_it_takes_the_one_of_its_loop() -> None:
    async def main() -> None:
        app = health_app()
        assert await states(app, "/health/ready") == [503]
        async with ActorSystem("service"):
            assert await states(app, "/health/ready") == [200]

    asyncio.run(main())


def test_a_server_in_another_thread_tells_of_a_blocked_loop() -> None:
    import threading

    with ActorSystem.in_background("service") as system:
        app = health_app(system)
        assert asyncio.run(states(app, "/health/live", "/health/ready")) == [200, 200]
        blocked, until = threading.Event(), threading.Event()

        def block() -> None:
            blocked.set()
            until.wait(300)

        system.loop.call_soon_threadsafe(block)
        assert blocked.wait(120)
        try:
            assert asyncio.run(states(app, "/health/live", "/health/ready")) == [503, 503]
        finally:
            until.set()


def test_it_answers_a_server_that_runs_it_alone() -> None:
    async def main() -> None:
        sent: list[Any] = []
        asked = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> Any:
            return {"type": next(asked)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await health_app()({"type": "lifespan"}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    asyncio.run(main())


def work(payload: Any) -> Any:
    return payload


FLOW = {"name": "flow", "steps": [{"id": "one", "agent": "work"}]}


def test_an_engine_tells_of_itself_and_of_its_store(tmp_path: Any) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/runs.sqlite"
        async with ActorSystem("service") as system:
            engine = OrchestrationEngine(EngineConfig(state_store=url, persist_state=True))
            engine.register_agent("work", work)
            await engine.execute(FLOW)
            health = await system.health()
            assert health.checks["engine engine"].state == "ok"
            assert health.checks["store of engine"].state == "ok"
            await engine.drain(5.0)
            health = await system.health()
            assert health.checks["engine engine"].reason == (
                "it is being drained, and takes no new work"
            )
            assert not health.ready
            assert health.live
            await engine.stop()
            assert "engine engine" not in (await system.health()).checks

    asyncio.run(main())


def test_blocked_runs_are_told_and_leave_the_service_ready(tmp_path: Any) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/runs.sqlite"
        config = EngineConfig(state_store=url, persist_state=True)
        wait = {"id": "go", "wait_for": "go"}
        flow = {"name": "flow", "steps": [wait, {"id": "one", "agent": "work"}]}
        async with ActorSystem("first"), OrchestrationEngine(config) as engine:
            engine.register_agent("work", work)
            run_id = await engine.start_workflow(flow)
        async with ActorSystem("second") as system, OrchestrationEngine(config) as engine:
            await engine.recover()
            health = await system.health()
            assert health.state == "degraded"
            assert health.ready
            reason = str(health.checks["engine engine"].reason)
            assert reason.startswith(f"1 run is blocked: {run_id}: ")
            assert "work" in reason

    asyncio.run(main())


def test_a_circuit_that_is_open_is_told() -> None:
    async def main() -> None:
        def fails(_: Any) -> None:
            raise ValueError("down")

        async with ActorSystem("service") as system:
            breaker = CircuitBreaker(
                "search", fails, failure_threshold=1, reset_after_s=600, circuit="searcher"
            )
            with pytest.raises(Exception, match="down"):
                await breaker.execute(1)
            health = await system.health()
            assert health.checks["circuits"].reason == "not closed: searcher"
            assert health.ready

    asyncio.run(main())
