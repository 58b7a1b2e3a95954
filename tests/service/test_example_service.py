"""The example service, as a process of its own: real requests, SIGTERM and SIGKILL."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("pydantic_ai")
httpx = pytest.importorskip("httpx")

from ..conftest import free_port

PROGRAM = Path(__file__).parents[2] / "examples" / "service" / "app.py"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are another thing there")


class Service:
    """The program on one store, which may be ended and begun again."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    async def begin(self, http: Any) -> None:
        url = f"sqlite:///{self.folder}/service.sqlite"
        env = {**os.environ, "PORT": str(self.port), "DATABASE_URL": url, "DRAIN_S": "10"}
        env |= self.settings
        with (self.folder / "said").open("wb") as said:
            self.process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, str(PROGRAM)],
                cwd=self.folder,
                env=env,
                stderr=said,
            )
        async with asyncio.timeout(180):
            while True:
                try:
                    if (await http.get("/health/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    assert self.process.poll() is None, "it has ended"
                await asyncio.sleep(0.05)

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(180)


@asynccontextmanager
async def running(folder: Path, **settings: str) -> AsyncGenerator[tuple[Service, Any], None]:
    service = Service(folder, **settings)
    url = f"http://127.0.0.1:{service.port}"
    async with httpx.AsyncClient(base_url=url, timeout=180) as http:
        await service.begin(http)
        try:
            yield service, http
        finally:
            if service.process is not None and service.process.poll() is None:
                service.end(signal.SIGKILL)


async def events(http: Any, run_id: str, after: int = 0) -> AsyncGenerator[dict[str, Any], None]:
    """Yield what a browser's `EventSource` would be told."""
    headers = {"Last-Event-ID": str(after)} if after else {}
    async with http.stream("GET", f"/articles/{run_id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name, number = "", None
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "id":
                number = int(value)
            elif field == "data":
                yield {"event": name, "id": number, "data": json.loads(value)}
                name, number = "", None


async def started(http: Any, key: str) -> str:
    answer = await http.post(
        "/articles", json={"topic": "rivers"}, headers={"Idempotency-Key": key}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_an_article_is_started_watched_approved_and_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (_, http):
            one = await started(http, "one")
            assert await started(http, "one") == one, "one key, one article"
            seen: list[Any] = []
            async for event in events(http, one):
                if event["id"] is not None:  # parts of an answer have none
                    seen.append(event)
                if event["event"] == "step_waiting":
                    approved = await http.post(f"/articles/{one}/approve", json={"note": "good"})
                    assert approved.status_code == 200
            assert [event["id"] for event in seen] == list(range(1, len(seen) + 1))
            assert seen[-1]["event"] == "workflow_completed"
            result = (await http.get(f"/articles/{one}/result")).json()
            assert "rivers" in result["article"]
            assert "good" in result["article"]
            two = await started(http, "two")
            assert (await http.delete(f"/articles/{two}")).json()["state"] == "cancelled"
            assert (await http.get(f"/articles/{two}")).json()["state"] == "cancelled"
            codes = [
                (await http.get("/articles/nothing")).status_code,
                (await http.get("/articles/nothing/events")).status_code,
                (await http.post(f"/articles/{two}/approve", json={})).status_code,
                (await http.get(f"/articles/{two}/result")).status_code,
                (await http.get("/health/live")).status_code,
            ]
            assert codes == [404, 404, 409, 409, 200]

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_watcher_goes_on_where_it_was_after_the_process_was_replaced(
    tmp_path: Path, number: signal.Signals
) -> None:
    async def main() -> None:
        async with running(tmp_path) as (service, http):
            run_id = await started(http, "one")
            seen: list[Any] = []
            last = ""
            try:
                async for event in events(http, run_id):
                    last = event["event"]
                    if event["id"] is not None:
                        seen.append(event)
                    if last == "step_waiting":
                        assert service.process is not None
                        service.process.send_signal(number)
            except httpx.TransportError:
                assert number == signal.SIGKILL
            if number == signal.SIGTERM:
                assert last == "reconnect"
            assert service.process is not None
            ended = 0 if number == signal.SIGTERM else -number
            assert await asyncio.to_thread(service.process.wait, 180) == ended
            await service.begin(http)
            approved = await http.post(f"/articles/{run_id}/approve", json={"note": "good"})
            assert approved.status_code == 200
            rest = [event async for event in events(http, run_id, seen[-1]["id"])]
            seen += [event for event in rest if event["id"] is not None]
            assert [event["id"] for event in seen] == list(range(1, len(seen) + 1))
            assert seen[-1]["event"] == "workflow_completed"
            kinds = [(event["event"], event["data"]["step"]) for event in seen]
            assert kinds.count(("step_completed", "draft")) == 1

    asyncio.run(main())


TOKEN = "a-token-that-is-hard-to-guess"


def test_metrics_health_and_the_observer_answer_where_they_are_mounted(tmp_path: Path) -> None:
    for extra in ("prometheus_client", "jinja2"):
        pytest.importorskip(extra)

    async def main() -> None:
        async with running(tmp_path, OBSERVER_TOKEN=TOKEN) as (_, http):
            run_id = await started(http, "one")
            async for event in events(http, run_id):
                if event["event"] == "step_waiting":
                    break
            metrics = await http.get("/metrics", follow_redirects=True)
            assert metrics.status_code == 200
            labels = 'agenticaiframework_messages_total{actor="writer",system="service"} '
            assert labels in metrics.text
            for path in ("/health", "/health/live", "/health/ready"):
                health = await http.get(path, follow_redirects=True)
                assert (health.status_code, health.json()["state"]) == (200, "ok"), path
            shown = ("/observer/", "/observer/tree", "/observer/api/tree", "/observer/live/tree")
            for path in shown:
                assert (await http.get(path)).status_code == 403, path
            wrong = {"Authorization": "Bearer not-that-one"}
            assert (await http.get("/observer/api/tree", headers=wrong)).status_code == 403
            right = {"Authorization": f"Bearer {TOKEN}"}
            tree = (await http.get("/observer/api/tree", headers=right)).json()
            (root,) = tree["rows"]
            assert root["name"] == "newsroom"
            assert [child["name"] for child in root["children"]] == ["writer", "editor"]
            run = (await http.get(f"/observer/api/run/{run_id}", headers=right)).json()
            assert [wait["name"] for wait in run["waits"]] == ["approved"]
            page = await http.get(f"/observer/runs/{run_id}", headers=right)
            assert page.status_code == 200
            assert 'src="/observer/static/' in page.text

    asyncio.run(main())


def test_sigterm_ends_in_time_and_in_order_while_a_browser_shows_the_observer(
    tmp_path: Path,
) -> None:
    pytest.importorskip("jinja2")

    async def main() -> None:
        settings = {"OBSERVER_TOKEN": TOKEN, "DRAIN_S": "25"}
        async with running(tmp_path, **settings) as (service, http):
            run_id = await started(http, "one")
            async for event in events(http, run_id):
                if event["event"] == "step_waiting":
                    break
            right = {"Authorization": f"Bearer {TOKEN}"}
            shown = 0
            async with http.stream("GET", "/observer/live/tree", headers=right) as page:
                async for line in page.aiter_lines():
                    if line.startswith("data: "):
                        shown += 1
                        assert service.process is not None
                        if shown == 1:
                            service.process.send_signal(signal.SIGTERM)
            assert shown
            assert service.process is not None
            assert await asyncio.to_thread(service.process.wait, 180) == 0
            # A stream that is not told to end would hold the server until it loses patience.
            said = (tmp_path / "said").read_text(encoding="utf-8")
            assert "Finished server process" in said
            assert "graceful" not in said
            await service.begin(http)
            assert (await http.get(f"/articles/{run_id}")).json()["state"] == "waiting"

    asyncio.run(main())


def test_what_is_written_for_other_machines_can_be_read() -> None:
    yaml = pytest.importorskip("yaml")
    folder = PROGRAM.parent
    compose = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
    assert set(compose["services"]) == {"database", "first", "second"}
    for name in ("first", "second"):
        service = compose["services"][name]
        assert service["environment"]["DATABASE_URL"].startswith("postgresql://")
        assert int(service["stop_grace_period"].rstrip("s")) > int(
            service["environment"]["DRAIN_S"]
        )
    unit = (folder / "articles.service").read_text(encoding="utf-8")
    assert "TimeoutStopSec=35" in unit
    assert 'CMD ["python", "app.py"]' in (folder / "Dockerfile").read_text(encoding="utf-8")


def test_other_programs_are_answered_behind_a_token(tmp_path: Path) -> None:
    client = pytest.importorskip("mcp").Client
    httpx2 = pytest.importorskip("httpx2")
    pytest.importorskip("a2a")
    pytest.importorskip("ag_ui")
    transport = pytest.importorskip("mcp.client.streamable_http").streamable_http_client
    right = {"authorization": f"Bearer {TOKEN}"}
    asked = {"model": "writer", "messages": [{"role": "user", "content": "rivers"}]}
    run = {"threadId": "t", "runId": "r", "messages": [{"id": "1", **asked["messages"][0]}]}

    async def main() -> None:
        async with running(tmp_path, FACES_TOKEN=TOKEN) as (_, http):
            for path in ("/mcp/", "/v1/chat/completions", "/a2a/", "/ag-ui/"):
                assert (await http.post(path, json={})).status_code == 401, path
            answer = await http.post("/v1/chat/completions", json=asked, headers=right)
            assert "rivers" in answer.json()["choices"][0]["message"]["content"]
            card = (await http.get("/a2a/.well-known/agent-card.json", headers=right)).json()
            assert card["name"] == "article"
            told = await http.post("/ag-ui/", json=run, headers=right)
            assert "RUN_FINISHED" in told.text
            async with httpx2.AsyncClient(headers=right, timeout=180) as through:
                server = transport(
                    f"{http.base_url}/mcp/".replace("//mcp", "/mcp"), http_client=through
                )
                async with client(server) as mcp:
                    tools = {tool.name for tool in (await mcp.list_tools()).tools}
                    assert {"article", "writer", "get_run"} <= tools
                    said = await mcp.call_tool("writer", {"input": "rivers"})
                    assert "rivers" in said.content[0].text

    asyncio.run(main())


TWICE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from app import app
from fastapi.testclient import TestClient

routes = len(app.router.routes)
for topic in ("rivers", "lakes", "seas"):
    with TestClient(app) as http:
        article = "/articles/" + http.post("/articles", json={"topic": topic}).json()["id"]
        while http.get(article).json()["state"] != "waiting":
            time.sleep(0.02)
        http.post(article + "/approve", json={"note": "good"})
        print(http.get(article + "/result").json()["article"].split()[3])
        assert http.get("/health/ready").status_code == 200
    assert len(app.router.routes) == routes
"""


def test_it_starts_again_and_again_in_one_process_as_its_own_tests_would(tmp_path: Path) -> None:
    env = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/service.sqlite"}
    command = [sys.executable, "-c", TWICE, str(PROGRAM.parent)]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["rivers", "lakes", "seas"]
