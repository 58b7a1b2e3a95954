"""MCP servers as tools, each a real process: started by its agent, restarted with it, ended with it."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pydantic_ai
import pytest

pytest.importorskip("pydantic_ai.mcp")

from fastmcp.client import Client
from fastmcp.client.transports import StdioTransport
from pydantic_ai.mcp import MCPToolset

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    AgentFailed,
    MissingExtra,
)
from agenticaiframework.models import (
    McpServer,
    McpServerUnavailable,
    ToolCallFailed,
    ToolDefinitionError,
    tool,
)
from agenticaiframework.orchestration import AgentSupervisor

sys.path.insert(0, str(Path(__file__).parent))
from tool_models import Call, CallingModel, calling, on_loop

from ..conftest import free_port

HERE = Path(__file__).parent
PROBE = str(HERE / "mcp_probe.py")
DEADLINE_S = 60


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The log is no part of these tests."""
    from loguru import logger

    logger.disable("agenticaiframework")
    yield
    logger.enable("agenticaiframework")


_others: set[psutil.Process] = set()
"""Processes that were there before the test, such as the local model's server."""


def servers() -> list[psutil.Process]:
    """Return the processes that the test has started."""
    return [each for each in psutil.Process().children() if each not in _others]


@pytest.fixture(autouse=True)
def leaves_no_process() -> Iterator[None]:
    """Fail the test that leaves a child process behind."""
    before = set(psutil.Process().children(recursive=True))
    _others.clear()
    _others.update(before)
    yield
    deadline = time.monotonic() + DEADLINE_S
    while True:
        left = [each for each in psutil.Process().children(recursive=True) if each not in before]
        left = [each for each in left if each.is_running() and each.status() != "zombie"]
        if not left:
            return
        if time.monotonic() > deadline:
            for each in left:
                each.kill()
            pytest.fail(f"left behind: {left}")
        time.sleep(0.02)


def probe(*arguments: str, **options: Any) -> McpServer:
    return McpServer(sys.executable, PROBE, *arguments, **options)


async def said(agent: Agent) -> list[list[Any]]:
    """Return what the tools told the model of *agent*: the rows of `CallingModel`."""
    rows: list[list[Any]] = json.loads(await agent.ask("go"))
    return rows


async def pid_of(agent: Agent) -> int:
    """Return the process of the server, for an agent that calls `pid` first."""
    pid = (await said(agent))[0][2]
    assert isinstance(pid, int)
    return pid


def asks_pid(**options: Any) -> Agent:
    return Agent("user", model=calling(("pid", {})), tools=[probe()], **options)


async def gone(pid: int) -> None:
    """Wait until the process *pid* has ended."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end between two looks
            while psutil.Process(pid).status() != "zombie":
                await asyncio.sleep(0.02)


# -- its life ------------------------------------------------------------------------------------


@on_loop
async def test_a_server_is_started_by_the_first_request_and_shared_by_all_that_follow() -> None:
    agent = asks_pid()
    async with ActorSystem():
        assert not servers(), "making the agent starts nothing"
        pids = {await pid_of(agent)}
        pids.update(await asyncio.gather(*(pid_of(agent) for _ in range(5))))
        assert len(pids) == 1
        (pid,) = pids
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid), "it ends with the system"


@on_loop
async def test_a_server_ends_with_its_agent_and_starts_anew_with_it() -> None:
    agent = asks_pid()
    async with ActorSystem():
        first = await pid_of(agent)
        await agent.stop()
        await gone(first)
        second = await pid_of(agent)
        assert second != first
        assert psutil.pid_exists(second)


@on_loop
async def test_a_crash_of_the_agent_restarts_its_server_under_a_supervisor() -> None:
    calls = CallingModel([("pid", {})])
    crash: list[bool] = []

    def model(messages: Any, info: Any) -> Any:
        if crash:
            crash.clear()
            raise SystemError("a bug")
        return calls._answer(messages, info)

    from pydantic_ai.models.function import FunctionModel

    agent = Agent("user", model=FunctionModel(model), tools=[probe()], concurrency=1)
    async with ActorSystem(), AgentSupervisor("root") as supervisor:
        supervisor.add_child("user", agent)
        first = await pid_of(agent)
        crash.append(True)
        with pytest.raises(AgentFailed):
            await agent.ask("go")
        await gone(first)
        assert await pid_of(agent) != first
        assert supervisor.children["user"].restarts == 1


@on_loop
async def test_a_killed_agent_leaves_no_server() -> None:
    agent = Agent("user", model=calling(("wait", {"seconds": 600})), tools=[probe()])
    async with ActorSystem() as system:
        asked = asyncio.ensure_future(agent.ask("go"))
        while not servers():
            await asyncio.sleep(0.02)
        pid = servers()[0].pid
        ref = agent.address(system).ref
        assert ref is not None
        ref.kill()
        with pytest.raises(AgentFailed):
            await asked
        await gone(pid)


@on_loop
async def test_an_incarnation_that_crashes_leaves_the_server_to_the_others() -> None:
    calls = CallingModel([("pid", {})])

    def model(messages: Any, info: Any) -> Any:
        if "crash" in str(messages[0]):
            raise SystemError("a bug")
        return calls._answer(messages, info)

    from pydantic_ai.models.function import FunctionModel

    agent = Agent("user", model=FunctionModel(model), tools=[probe()], concurrency=4)
    async with ActorSystem(), AgentSupervisor("root") as supervisor:
        supervisor.add_child("user", agent)
        first = await pid_of(agent)
        with pytest.raises(AgentFailed):
            await agent.ask("crash")
        assert await pid_of(agent) == first


@on_loop
async def test_an_agent_that_nothing_refers_to_any_more_takes_its_server_along() -> None:
    agent = asks_pid()
    async with ActorSystem():
        pid = await pid_of(agent)
        del agent
        await gone(pid)


@on_loop
async def test_one_object_in_two_agents_is_one_server_until_the_last_of_them_ends() -> None:
    server = probe()
    one = Agent("one", model=calling(("pid", {})), tools=[server])
    two = Agent("two", model=calling(("pid", {})), tools=[server])
    async with ActorSystem():
        pid = await pid_of(one)
        assert await pid_of(two) == pid
        await one.stop()
        assert await pid_of(two) == pid
        await two.stop()
        await gone(pid)


@on_loop
async def test_a_stubborn_server_is_killed_with_its_agent() -> None:
    agent = Agent("user", model=calling(("pid", {})), tools=[probe("stubborn")])
    async with ActorSystem():
        pid = await pid_of(agent)
        await agent.stop()
        await gone(pid)


@on_loop
async def test_a_system_that_is_stopped_in_no_time_leaves_no_server() -> None:
    async with ActorSystem() as system:
        agent = Agent("user", model=calling(("pid", {})), tools=[probe("stubborn")])
        pid = await pid_of(agent)
        await system.stop(timeout=0.01)
        await gone(pid)


@pytest.mark.parametrize("how", ["kill", "raise", "exit"])
def test_a_program_that_ends_in_any_way_leaves_no_server(how: str) -> None:
    code = f"""
        import asyncio, os, sys
        sys.path.insert(0, {str(HERE)!r})
        from tool_models import calling
        from agenticaiframework.actors import ActorSystem, Agent
        from agenticaiframework.models import McpServer

        async def main():
            server = McpServer(sys.executable, {PROBE!r}, "stubborn")
            agent = Agent("user", model=calling(("pid", {{}})), tools=[server])
            print(await agent.ask("go"), flush=True)
            if {how!r} == "kill":
                await asyncio.sleep(600)
            if {how!r} == "exit":
                os._exit(1)
            raise KeyError("a bug")

        asyncio.run(main())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        pid = json.loads(process.stdout.readline())[0][2]
        if how == "kill":
            process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
    if sys.platform == "linux":
        asyncio.run(gone(pid))
    elif psutil.pid_exists(pid):
        os.kill(pid, signal.SIGKILL)


# -- when it fails -------------------------------------------------------------------------------


@on_loop
async def test_a_server_that_ended_by_itself_is_started_again_for_the_next_request() -> None:
    agent = asks_pid()
    async with ActorSystem():
        first = await pid_of(agent)
        os.kill(first, signal.SIGKILL)
        await gone(first)
        assert await pid_of(agent) != first


@on_loop
async def test_a_server_that_is_lost_in_a_call_is_told_and_the_next_call_starts_it_again() -> None:
    calls = CallingModel([("pid", {})], [("die", {})], [("pid", {})])
    agent = Agent("user", model=calls.model, tools=[probe()])
    async with ActorSystem():
        rows = await said(agent)
    assert [row[:2] for row in rows] == [["pid", "success"], ["die", "failed"], ["pid", "success"]]
    assert rows[0][2] != rows[2][2]
    assert "was lost during the call" in rows[1][2]
    assert "the probe dies" in rows[1][2], "with what it said last"


@on_loop
async def test_a_server_that_is_lost_in_a_call_fails_the_request_where_that_is_declared() -> None:
    agent = Agent("user", model=calling(("die", {})), tools=[tool(probe(), on_error="fail")])
    async with ActorSystem():
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("go")
    assert failed.value.expected
    error = failed.value.__cause__
    assert isinstance(error, ToolCallFailed)
    assert isinstance(error.__cause__, McpServerUnavailable)


@on_loop
async def test_what_a_server_refuses_is_told_in_its_words_or_fails() -> None:
    async with ActorSystem():
        call: Call = ("refuse", {"why": "closed"})
        rows = await said(Agent("user", model=calling(call), tools=[probe()]))
        assert rows[0][:2] == ["refuse", "failed"]
        assert rows[0][2].endswith("no: closed")
        strict = Agent("user", model=calling(call), tools=[tool(probe(), on_error="fail")])
        with pytest.raises(AgentFailed) as failed:
            await strict.ask("go")
    assert isinstance(failed.value.__cause__, ToolCallFailed)
    assert "no: closed" in str(failed.value)


@on_loop
async def test_a_server_that_does_not_start_is_an_expected_error_with_what_it_said() -> None:
    async with ActorSystem():
        for server, what in (
            (probe("broken"), "no licence found"),
            (McpServer("no-such-command-anywhere"), "no-such-command-anywhere"),
            (McpServer(url="http://127.0.0.1:9/mcp", timeout=20), "127.0.0.1:9"),
        ):
            agent = Agent("user", model=calling(("pid", {})), tools=[server])
            for _ in range(2):
                with pytest.raises(AgentFailed) as failed:
                    await agent.ask("go")
                assert failed.value.expected
                assert isinstance(failed.value.__cause__, McpServerUnavailable)
                assert what in str(failed.value)
            assert agent.is_alive


@on_loop
async def test_a_call_that_takes_too_long_is_told_and_the_server_lives() -> None:
    async with ActorSystem():
        for limit_s in (3, 12, 48):  # a busy machine may take that long for the second call too
            calls = CallingModel([("wait", {"seconds": 600})], [("pid", {})])
            agent = Agent("user", model=calls.model, tools=[tool(probe(), timeout=limit_s)])
            rows = await said(agent)
            assert rows[0][:2] == ["wait", "failed"]
            assert f"took longer than its {limit_s} s" in rows[0][2]
            assert rows[1][0] == "pid"
            if rows[1][1] == "success":
                break
            await agent.stop()
    assert rows[1][:2] == ["pid", "success"]


@on_loop
async def test_a_request_that_is_cancelled_while_the_server_starts_leaves_it_to_the_next() -> None:
    agent = asks_pid()
    async with ActorSystem():
        asked = asyncio.ensure_future(agent.ask("go"))
        while not servers():
            await asyncio.sleep(0.01)
        asked.cancel()
        assert await pid_of(agent)
        assert len(servers()) == 1


# -- how it is said ------------------------------------------------------------------------------


@on_loop
async def test_a_prefix_and_a_choice_of_tools_are_what_the_model_sees() -> None:
    calls = CallingModel([("a_pid", {}), ("b_pid", {})])
    servers = [probe(prefix="a", tools=["pid"]), probe(prefix="b", tools=["pid", "wait"])]
    agent = Agent("user", model=calls.model, tools=servers)
    async with ActorSystem():
        rows = await said(agent)
    assert set(calls.offered) == {"a_pid", "b_pid", "b_wait"}
    assert calls.offered["a_pid"].description == "Tell the server's process."
    assert rows[0][2] != rows[1][2]


@on_loop
async def test_what_pydantic_ai_and_fastmcp_have_is_taken_as_it_is_and_lives_with_the_agent() -> (
    None
):
    def transport() -> StdioTransport:
        return StdioTransport(sys.executable, [PROBE])

    async with ActorSystem():
        for server, name in (
            (MCPToolset(transport()), "pid"),
            (MCPToolset(transport()).prefixed("my"), "my_pid"),
            (Client(transport()), "pid"),
            (transport(), "pid"),
        ):
            agent = Agent("user", model=calling((name, {})), tools=[server])
            pids = await asyncio.gather(*(pid_of(agent) for _ in range(3)))
            assert len(set(pids)) == 1
            os.kill(pids[0], signal.SIGKILL)
            # It does not tell its end, as a server of ours does: the call that finds out is told.
            rows = await said(agent)
            if rows[0][1] != "success":
                rows = await said(agent)
            assert rows[0][2] != pids[0]
            await agent.stop()
            await gone(rows[0][2])


@on_loop
async def test_the_servers_of_an_agent_of_pydantic_ai_live_with_the_agent_that_wraps_it() -> None:
    transport = StdioTransport(sys.executable, [PROBE])
    inner = pydantic_ai.Agent(
        calling(("my_pid", {})), name="inner", toolsets=[MCPToolset(transport).prefixed("my")]
    )
    agent = Agent("user", handler=inner)
    async with ActorSystem():
        pids = await asyncio.gather(*(pid_of(agent) for _ in range(3)))
        assert len(set(pids)) == 1
        await agent.stop()
        await gone(pids[0])


@contextmanager
def http_probe(port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, PROBE, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("given", ["ours", "pydantic-ai's"])
def test_a_server_over_http_is_reached_and_reached_again(given: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    server = McpServer(url=url) if given == "ours" else MCPToolset(url)
    agent = Agent("user", model=calling(("pid", {})), tools=[server])

    async def main() -> None:
        async with ActorSystem():
            with http_probe(port) as process:
                assert await pid_of(agent) == process.pid
                assert await pid_of(agent) == process.pid
            for _ in range(2):
                with pytest.raises(AgentFailed) as failed:
                    await said(agent)
                assert failed.value.expected
            with http_probe(port) as process:
                assert await pid_of(agent) == process.pid
                await agent.stop()

    asyncio.run(main())


@on_loop
async def test_outside_of_an_actor_a_server_is_started_for_the_run_alone() -> None:
    from agenticaiframework.actors import ModelRequest, ModelSpec, run_model

    model = calling(("pid", {}))
    spec = ModelSpec("user", model, tools=(probe(),))
    rows = json.loads(await run_model(ModelRequest("user", model, None, "go", spec=spec)))
    assert rows[0][1] == "success"
    await gone(rows[0][2])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: McpServer(), "a command or a url"),
        (lambda: McpServer("a", url="http://b"), "one of them only"),
        (lambda: McpServer("uvx mcp-server-time"), "McpServer('uvx', 'mcp-server-time')"),
        (lambda: McpServer(url="http://b", env={"A": "b"}), "for a command"),
        (lambda: McpServer("a", headers={"A": "b"}), "for a url"),
        (lambda: McpServer("a", args="b c"), "list of texts"),
        (lambda: McpServer("a", 3), "3 is none"),  # type: ignore[arg-type]
        (lambda: McpServer("a", prefix="with space"), "cannot be the name"),
        (lambda: tool(McpServer("a"), name="b"), ""),
    ],
)
def test_what_cannot_be_a_server_is_refused_with_the_form_that_works(make: Any, says: str) -> None:
    with pytest.raises(ToolDefinitionError) as refused:
        Agent("user", model="scripted", tools=[make()])
    assert says in str(refused.value)


def test_args_may_be_a_list_as_in_a_configuration_file() -> None:
    server = McpServer(command="uvx", args=["mcp-server-time"])
    assert server.label == "uvx mcp-server-time"


def test_without_the_extra_making_the_agent_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "fastmcp" else find(name)
    )
    with pytest.raises(MissingExtra) as missing:
        Agent("user", model="scripted", tools=[McpServer("uvx", "mcp-server-time")])
    assert missing.value.extra == "mcp"
    assert builtins.str(missing.value).startswith("The MCP server uvx mcp-server-time")
