"""`agenticaiframework serve project.yaml --mcp`: a real process, started by the protocol's own client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp.client.client")
pytest.importorskip("cyclopts")

from mcp import Client, ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

KEY = "agenticaiframework/idempotency-key"
DEADLINE_S = 60

HANDLERS = """
import asyncio, os

print("what a module prints is not, either")
open("pid", "w").write(str(os.getpid()))


async def first(payload):
    print("what handlers print is not the protocol's")
    open("first", "a").write("x")
    return payload["word"] + "!"


async def slow(payload):
    open("slow", "a").write("x")
    try:
        while not os.path.exists("go"):
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        open("cancelled", "a").write("x")
        raise
    return {"answer": payload["word"].upper()}
"""

PROJECT = """
name: shop
agents:
  first: {handler: "shop_handlers:first", description: "Adds a sign."}
  slow: {handler: "shop_handlers:slow"}
engine: {state_store: "sqlite:///STORE"}
workflow:
  name: shout
  steps:
    - {id: one, agent: first, input: {word: $input.word}}
    - {id: two, agent: slow, input: {word: $one}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop_handlers.py").write_text(textwrap.dedent(HANDLERS))
    text = PROJECT.replace("STORE", str(tmp_path / "runs.sqlite"))
    (tmp_path / "project.yaml").write_text(text)
    return tmp_path


def command(*more: str) -> list[str]:
    return ["-m", "agenticaiframework", "serve", "project.yaml", "--mcp", *more]


def parameters(folder: Path, *more: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable, args=command(*more), cwd=str(folder), env=dict(os.environ)
    )


async def until(file: Path, there: bool = True) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (await asyncio.to_thread(file.exists)) is not there:
            await asyncio.sleep(0.02)


def test_a_session_lists_and_calls_tools(folder: Path) -> None:
    async def main() -> None:
        (folder / "go").touch()
        told: list[str | None] = []

        async def tell(_progress: float, _total: float | None, message: str | None) -> None:
            told.append(message)

        offered = parameters(folder, "--offer", "shout", "--offer", "first")
        with (folder / "log").open("w") as log:
            async with (
                stdio_client(offered, errlog=log) as (read, write),
                ClientSession(read, write) as session,
            ):
                hello = await session.initialize()
                assert hello.server_info.name == "shop"
                tools = {tool.name: tool for tool in (await session.list_tools()).tools}
                assert {"shout", "first", "get_run"} <= tools.keys()
                assert tools["first"].description == "Adds a sign."
                result = await session.call_tool("shout", {"word": "hi"}, progress_callback=tell)
                assert result.structured_content["output"] == {"answer": "HI!"}
                assert "two: done" in told
                alone = await session.call_tool("first", {"input": {"word": "tea"}})
                assert alone.structured_content == {"result": "tea!"}
        assert "what handlers print" in (folder / "log").read_text()

    asyncio.run(main())


def test_after_sigkill_the_client_finds_its_result(folder: Path) -> None:
    async def main() -> None:
        meta: Any = {KEY: "order-17"}

        async def killed() -> None:
            async with Client(parameters(folder)) as client:
                asking = asyncio.ensure_future(client.call_tool("shout", {"word": "hi"}, meta=meta))
                await until(folder / "slow")
                os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
                await asking

        (lost,) = await asyncio.gather(killed(), return_exceptions=True)
        assert isinstance(lost, Exception)
        (folder / "go").touch()
        async with Client(parameters(folder)) as client:
            (run,) = (await client.call_tool("list_runs", {})).structured_content["runs"]
            wait = {"run_id": run["run_id"], "wait_s": 30}
            found = await client.call_tool("get_run", wait)
            assert found.structured_content["output"] == {"answer": "HI!"}
            again = await client.call_tool("shout", {"word": "hi"}, meta=meta)
            assert again.structured_content["run_id"] == run["run_id"]
        assert (folder / "first").read_text() == "x", "a step that had finished is not repeated"

    asyncio.run(main())


def test_a_cancelled_call_cancels_its_run(folder: Path) -> None:
    async def main() -> None:
        async with Client(parameters(folder), mode="legacy") as client:
            asking = asyncio.ensure_future(client.call_tool("shout", {"word": "hi"}))
            await until(folder / "slow")
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await until(folder / "cancelled")
            (run,) = (await client.call_tool("list_runs", {})).structured_content["runs"]
            assert run["state"] in ("cancelling", "cancelled")

    asyncio.run(main())


def test_a_client_that_leaves_ends_the_server_and_not_its_run(folder: Path) -> None:
    async def main() -> None:
        async with Client(parameters(folder), mode="legacy") as client:
            asking = asyncio.ensure_future(client.call_tool("shout", {"word": "hi"}))
            await until(folder / "slow")
            pid = int((folder / "pid").read_text())
        await asyncio.gather(asking, return_exceptions=True)
        await until(Path(f"/proc/{pid}"), there=False)
        (folder / "go").touch()
        async with Client(parameters(folder)) as client:
            (run,) = (await client.call_tool("list_runs", {})).structured_content["runs"]
            wait = {"run_id": run["run_id"], "wait_s": 30}
            found = await client.call_tool("get_run", wait)
            assert found.structured_content["output"] == {"answer": "HI!"}

    if not Path("/proc").exists():
        pytest.skip("needs /proc")
    asyncio.run(main())


@pytest.mark.skipif(os.name == "nt", reason="signals are another thing there")
def test_sigterm_ends_it_while_it_waits_for_its_client(folder: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, *command()],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stderr is not None
    server.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {}}\n')
    server.stdin.flush()
    assert server.stdout.readline().startswith(b'{"jsonrpc"')
    server.send_signal(signal.SIGTERM)
    assert server.wait(DEADLINE_S) == 130
    assert server.stdout.read() == b""
    assert b"everything has been stopped" in server.stderr.read()
    for pipe in (server.stdin, server.stdout, server.stderr):
        pipe.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--offer", "slwo"], "Did you mean 'slow'"),
        (["--timeout-s", "0"], "above 0"),
    ],
)
def test_bad_input_is_told_before_anything_runs(folder: Path, more: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, *command(*more)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert done.stdout == b""
