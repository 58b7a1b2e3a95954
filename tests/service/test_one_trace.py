"""One trace from an HTTP request through all that it leads to, in a real process and, after SIGKILL, in the next."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi.telemetry")
pytest.importorskip("uvicorn")
pytest.importorskip("pydantic_ai")
pytest.importorskip("opentelemetry.sdk")
httpx = pytest.importorskip("httpx")

from ..conftest import free_port

PROGRAM = Path(__file__).with_name("traced_service.py")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{CLIENT}-01"}


def spans(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "spans").read_text(encoding="utf-8")
    return sorted(map(json.loads, text.splitlines()), key=lambda one: one["start"])


def tree(rows: list[dict[str, Any]]) -> list[str]:
    """Return the spans as lines, each below its parent; those whose parent is not there, last."""
    known = {one["span"] for one in rows}

    def below(parent: str, depth: int) -> list[str]:
        lines: list[str] = []
        for one in rows:
            if one["parent"] == parent:
                lines.append("  " * depth + one["name"])
                lines += below(one["span"], depth + 1)
        return lines

    lines = below(CLIENT, 0)
    cut = dict.fromkeys(one["parent"] for one in rows if one["parent"] not in {*known, CLIENT})
    for parent in cut:
        lines += ["(cut off)", *below(str(parent), 1)]
    return lines


async def until(http: Any, holds: Any, path: str) -> None:
    async with asyncio.timeout(180):
        while True:
            try:
                answer = await http.get(path)
                if answer.status_code == 200 and holds(answer.json()):
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


def test_a_request_is_one_trace_through_agents_threads_models_tools_and_a_recovery(
    tmp_path: Path,
) -> None:
    port = free_port()

    def begin() -> subprocess.Popen[bytes]:
        with (tmp_path / "said").open("ab") as said:
            command = [sys.executable, str(PROGRAM), str(port), str(tmp_path)]
            return subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said)

    async def main() -> None:
        process = begin()
        url = f"http://127.0.0.1:{port}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=180) as http:
                await until(http, lambda _: True, "/health/ready")
                started = await http.post("/tours", headers=HEADERS)
                assert started.status_code == 200, started.text
                await until(http, lambda run: run["state"] == "waiting", "/articles/tour-1")
                held = await http.post("/halts", headers=HEADERS)
                assert held.status_code == 200, held.text
                async with asyncio.timeout(180):
                    # The span of the request is exported only after its answer.
                    while not {"half", "POST /halts"} <= {one["name"] for one in spans(tmp_path)}:
                        await asyncio.sleep(0.05)
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(process.wait, 180)
                process = begin()
                await until(http, lambda _: True, "/health/ready")
                told = await http.post("/tours/go", headers=HEADERS)
                assert told.status_code == 200, told.text
                for run_id in ("tour-1", "halt-1"):
                    path = f"/articles/{run_id}"
                    await until(http, lambda run: run["state"] == "completed", path)
        finally:
            process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(process.wait, 180)
        assert code == 0

    asyncio.run(main())
    rows = spans(tmp_path)
    mine = [one for one in rows if one["trace"] == TRACE]
    lines = tree(mine)
    assert [line for line in lines if not line.startswith(" ")] == [
        "POST /tours",
        "POST /halts",
        "POST /tours/go",
    ]
    spanned = [one for one in mine if one["name"] == "invoke_workflow tour"]
    assert (
        len(spanned) == 1
    )  # the process that ended the run told of it, from its start in the other
    assert len({one["span"] for one in mine}) == len(mine)
    assert len({one["pid"] for one in mine}) == 2
    assert any(one["thread"] for one in mine if one["name"] == "read the archive")
    names = [line.strip() for line in lines]
    for name in (
        "POST /tours",
        "invoke_agent guide",
        "invoke_agent archive",
        "invoke_workflow survey",
        "invoke_workflow both",
        "read the archive",
        "invoke_agent analyst",
        "execute_tool sources",
        "invoke_workflow tour",
        "POST /tours/go",
    ):
        assert name in names, name
    assert names.count("invoke_agent guide") == 2
    halt = [
        line.strip() for line in lines[lines.index("POST /halts") : lines.index("POST /tours/go")]
    ]
    # Both items were under way as the process was killed, of which one had not reached its agent: each is
    # there twice.
    below = halt[halt.index("invoke_workflow halt") + 1 :]
    assert below.count("invoke_agent holder") == 4
    assert below.count("half") == 3
