"""The MCP server over HTTP, asked by the protocol's own client, in both of its generations."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("mcp.client.client")

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

KEY = "agenticaiframework/idempotency-key"
RUN = "agenticaiframework/run-id"
KIND = "agenticaiframework/failure"

both_generations = pytest.mark.parametrize("mode", ["legacy", "auto"])


@asynccontextmanager
async def connected(
    service: Any, mode: str = "auto", key: str | None = None
) -> AsyncGenerator[Client, None]:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, follow_redirects=True) as http:
        transport = streamable_http_client(f"{service.url}/mcp/", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def text_of(result: Any) -> str:
    return str(result.content[0].text)


@both_generations
def test_tools_have_schemas_and_structured_answers(in_service: Any, mode: str) -> None:
    async def test(service: Any) -> None:
        async with connected(service, mode) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert {"price", "order", "desk", "twice", "poet", "get_run"} <= tools.keys()
            assert tools["price"].description == "Prices."
            assert tools["price"].input_schema["required"] == ["item"]
            assert tools["price"].output_schema["properties"]["total"]["type"] == "integer"
            assert tools["poet"].input_schema["properties"]["input"]["type"] == "string"
            assert tools["order"].input_schema["required"] == ["word"]
            priced = await client.call_tool("price", {"item": "tea", "count": 2})
            assert priced.structured_content == {"total": 6}
            assert json.loads(text_of(priced)) == {"total": 6}
            said = await client.call_tool("poet", {"input": "rivers"})
            assert text_of(said) == "poet heard: rivers"
            assert (await client.call_tool("twice", {"input": "tea"})).is_error is False
            odd = await client.call_tool("odd", {"input": 1})
            assert odd.structured_content == {
                "number": "nan",
                "text": "half ?",
                "when": "2026-01-02",
            }
            desk = await client.call_tool("desk", {"input": "tea"})
            assert desk.structured_content == {"crier": "TEA"}

    in_service(test)


@both_generations
def test_a_failure_is_an_error_with_its_reason(in_service: Any, mode: str) -> None:
    async def test(service: Any) -> None:
        async with connected(service, mode) as client:
            for tool, arguments, kind, reason in (
                ("lookup-face", {"input": 1}, "failed", "no such city"),
                ("picky", {"input": 1}, "bad_input", "only tea is sold here"),
                ("price", {"count": 1}, "bad_input", "'item'"),
                ("price", {"item": "tea", "count": "x"}, "bad_input", "'count'"),
                ("sleeper", {}, "bad_input", "'input' is missing"),
                ("sleeper", {"input": 1, "x": 1}, "bad_input", "'x' is not known"),
                ("order", {}, "bad_input", "'word' is missing"),
                ("doomed", {"input": "x"}, "failed", "no such city"),
                ("liar", {"input": 1}, "failed", "does not fit"),
                ("get_run", {"run_id": "none"}, "not_found", "none"),
                ("get_run", {"run_id": 7}, "bad_input", "'run_id'"),
                ("list_runs", {"limit": 0}, "bad_input", "'limit'"),
            ):
                result = await client.call_tool(tool, arguments)
                assert result.is_error, tool
                assert result.meta[KIND] == kind, tool
                assert reason in text_of(result), (tool, text_of(result))
                assert result.structured_content is None
            with pytest.raises(MCPError, match="no tool 'nothing'"):
                await client.call_tool("nothing", {})
            with pytest.raises(MCPError):
                await client.read_resource("run://none")

    in_service(test)


@both_generations
def test_progress_grows_and_tells_what_happens(in_service: Any, mode: str) -> None:
    async def test(service: Any) -> None:
        told: list[tuple[float, float | None, str | None]] = []

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, total, message))

        service.go()
        async with connected(service, mode) as client:
            result = await client.call_tool("order", {"word": "tea"}, progress_callback=tell)
            assert result.structured_content["output"] == "slow: tea!"
            assert result.structured_content["run_id"] == result.meta[RUN]
            messages = [message for _, _, message in told]
            assert messages[0] == f"run {result.meta[RUN]}"
            assert "one: done" in messages
            assert [one for one, _, _ in told] == sorted({one for one, _, _ in told})
            assert told[-1][:2] == (2.0, 2.0)
            told.clear()
            await client.call_tool("price", {"item": "tea"}, progress_callback=tell)
            assert [message for _, _, message in told] == ["looking it up"]

    in_service(test)


@both_generations
def test_a_cancelled_call_reaches_the_handler(in_service: Any, mode: str) -> None:
    async def test(service: Any) -> None:
        async with connected(service, mode) as client:
            call = asyncio.create_task(client.call_tool("sleeper", {"input": 1}))
            await service.until("slow-started")
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await service.until("slow-cancelled")
            # It is a place for another call again.
            assert not (await client.call_tool("price", {"item": "tea"})).is_error

    in_service(test)


@both_generations
def test_a_client_that_leaves_cancels_what_is_not_durable(in_service: Any, mode: str) -> None:
    async def test(service: Any) -> None:
        for number, tool in enumerate(("sleeper", "brief"), 1):
            # The connection is cut, as when the client's process ends.
            async with connected(service, mode) as client:
                call = asyncio.create_task(client.call_tool(tool, {"input": 1}))
                await service.until("slow-started", number)
                leaving = asyncio.create_task(asyncio.sleep(0))
                await leaving
                call.cancel()
            await service.until("slow-cancelled", number)

    in_service(test)


def test_a_cut_connection_cancels_in_the_older_generation(in_service: Any) -> None:
    async def test(service: Any) -> None:
        base = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-11-25",
        }
        async with httpx.AsyncClient(base_url=service.url, headers=base, timeout=60) as http:
            hello = {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "raw", "version": "1"},
            }
            opened = await http.post("/mcp/", json=rpc("initialize", hello))
            session = {"mcp-session-id": opened.headers["mcp-session-id"]}
            done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            assert (await http.post("/mcp/", json=done, headers=session)).status_code == 202
            body = rpc("tools/call", {"name": "sleeper", "arguments": {"input": 1}}, 2)
            call = asyncio.create_task(http.post("/mcp/", json=body, headers=session))
            await service.until("slow-started")
            call.cancel()  # without a word to the server
            await asyncio.gather(call, return_exceptions=True)
            await service.until("slow-cancelled")

    in_service(test)


def rpc(method: str, params: dict[str, Any], number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def test_a_durable_run_outlives_its_client_and_is_cancelled_when_asked(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service) as client:
            call = asyncio.create_task(
                client.call_tool("order", {"word": "tea"}, meta={KEY: "one"})
            )
            await service.until("slow-started")
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        async with connected(service) as client:
            (run,) = (await client.call_tool("list_runs", {})).structured_content["runs"]
            assert run["state"] == "running"
            still = await client.call_tool("get_run", {"run_id": run["run_id"]})
            assert (still.structured_content["state"], "output" in still.structured_content) == (
                "running",
                False,
            )
            assert service.times("slow-cancelled") == 0
            report = await client.call_tool("cancel_run", {"run_id": run["run_id"]})
            assert report.structured_content["state"] == "cancelled"
            await service.until("slow-cancelled")
            over = await client.call_tool("get_run", {"run_id": run["run_id"]})
            assert over.is_error
            assert over.meta[KIND] == "cancelled"

    in_service(test)


def test_what_a_run_waits_for_is_told_and_answered_where_that_is_allowed(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service) as client:

            async def ask(tool: str, **arguments: Any) -> Any:
                return await client.call_tool(tool, arguments)

            async def waits(workflow: str, name: str) -> str:
                while True:
                    for run in (await ask("list_runs")).structured_content["runs"]:
                        told = (await ask("get_run", run_id=run["run_id"])).structured_content
                        asks = told.get("waits_for")
                        if told["workflow"] == workflow and asks and asks["name"] == name:
                            assert f"waits for '{name}'" in asks["message"]
                            return str(run["run_id"])
                    await asyncio.sleep(0.05)

            async def refused(run_id: str, name: str) -> str:
                result = await ask("answer_run", run_id=run_id, name=name, value="no")
                assert result.meta[KIND] == "bad_input"
                return text_of(result)

            asked = asyncio.create_task(ask("twice-asked", input="tea"))
            run_id = await waits("twice-asked", "approved")
            assert "it waits for 'approved'" in await refused(run_id, "signed")
            await ask("answer_run", run_id=run_id, name="approved", value={"note": "go"})
            await waits("twice-asked", "signed")
            assert "it waits for 'signed'" in await refused(run_id, "approved")
            await ask("answer_run", run_id=run_id, name="signed", value=7)
            done = (await asked).structured_content
            assert done == {"run_id": run_id, "output": {"early": {"note": "go"}, "late": 7}}
            assert "it waits for nothing" in await refused(run_id, "signed")

            guarded = asyncio.create_task(ask("guarded", input="Dear Bob"))
            run_id = await waits("letter", "approved")
            assert "not answered here" in await refused(run_id, "approved")
            guarded.cancel()
            await asyncio.gather(guarded, return_exceptions=True)

    in_service(test)


def test_a_client_that_cancels_cancels_its_durable_run(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "legacy") as client:
            call = asyncio.create_task(client.call_tool("order", {"word": "tea"}))
            await service.until("slow-started")
            call.cancel()  # of this generation a client says so
            await asyncio.gather(call, return_exceptions=True)
            await service.until("slow-cancelled")
            (run,) = (await client.call_tool("list_runs", {})).structured_content["runs"]
            assert run["state"] in ("cancelling", "cancelled")

    in_service(test)


def test_after_sigkill_a_new_server_has_the_result(in_service: Any) -> None:
    async def test(service: Any) -> None:
        meta = {KEY: "order-17"}

        async def cut() -> None:
            async with connected(service) as client:
                call = client.call_tool("order", {"word": "tea"}, meta=meta)
                asking = asyncio.ensure_future(call)
                await service.until("slow-started")
                await asyncio.to_thread(service.end, signal.SIGKILL)
                await asking

        (lost,) = await asyncio.gather(cut(), return_exceptions=True)
        assert isinstance(lost, Exception), "what a cut connection raises"
        service.go()
        await service.begin()
        async with connected(service) as client:
            result = await client.call_tool("order", {"word": "tea"}, meta=meta)
            assert result.structured_content["output"] == "slow: tea!"
            run_id = result.structured_content["run_id"]
            found = await client.call_tool("get_run", {"run_id": run_id, "wait_s": 10})
            assert found.structured_content["output"] == "slow: tea!"
            read = await client.read_resource(f"run://{run_id}")
            assert json.loads(read.contents[0].text)["output"] == "slow: tea!"
            other = await client.call_tool("order", {"word": "coffee"}, meta=meta)
            assert other.is_error
            assert "another input" in text_of(other)
        assert service.times("first") == 1, "a step that had finished is not repeated"

    in_service(test)


def test_two_clients_at_once_have_their_own_answers(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service) as one, connected(service, "legacy") as two:
            clients = [one, two] * 4

            async def ask(number: int) -> int:
                result = await clients[number].call_tool("price", {"item": "x", "count": number})
                return int(result.structured_content["total"])

            assert await asyncio.gather(*map(ask, range(8))) == [3 * n for n in range(8)]

    in_service(test)


def test_who_is_not_known_gets_401_and_sees_no_runs_of_others(in_service: Any) -> None:
    async def test(service: Any) -> None:
        service.go()
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            for headers in ({}, {"authorization": "Bearer wrong"}):
                answer = await http.post("/mcp/", json=rpc("tools/list", {}), headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
        async with (
            connected(service, key="ann-key") as ann,
            connected(service, key="bob-key") as bob,
        ):
            assert (await ann.call_tool("whoami", {"input": 1})).structured_content[
                "caller"
            ] == "ann"
            done = await ann.call_tool("order", {"word": "tea"}, meta={KEY: "same"})
            run_id = done.structured_content["run_id"]
            assert (await bob.call_tool("list_runs", {})).structured_content["runs"] == []
            for tool in ("get_run", "cancel_run"):
                assert (await bob.call_tool(tool, {"run_id": run_id})).is_error
            his = await bob.call_tool("order", {"word": "tea"}, meta={KEY: "same"})
            assert his.structured_content["run_id"] != run_id, "a key is its caller's own"

    in_service(test, USERS="yes")


def test_a_session_is_of_use_to_its_owner_alone(in_service: Any) -> None:
    async def test(service: Any) -> None:
        base = {"accept": "application/json, text/event-stream"}
        async with httpx.AsyncClient(base_url=service.url, headers=base, timeout=60) as http:
            hello = {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "raw", "version": "1"},
            }
            ann = {"authorization": "Bearer ann-key"}
            opened = await http.post("/mcp/", json=rpc("initialize", hello), headers=ann)
            session = {"mcp-session-id": opened.headers["mcp-session-id"]}
            bob = {"authorization": "Bearer bob-key", **session}
            taken = await http.post("/mcp/", json=rpc("tools/list", {}, 2), headers=bob)
            assert taken.status_code == 404

    in_service(test, USERS="yes")


def test_other_sites_and_bodies_without_end_are_refused(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            body = rpc("tools/list", {})
            for headers in (
                {"origin": "https://evil.example"},
                {"sec-fetch-site": "cross-site"},
                {"host": "evil.example"},
                {"x-forwarded-for": "1.2.3.4"},
            ):
                answer = await http.post("/mcp/", json=body, headers=headers)
                assert answer.status_code == 403, headers
            large = await http.post("/mcp/", json=rpc("tools/list", {"x": "x" * 200_000}))
            assert large.status_code == 413

            async def endless() -> Any:
                for _ in range(1_000):
                    yield b"x" * 1_000

            assert (await http.post("/mcp/", content=endless())).status_code == 413
            plain = {"content-type": "text/plain", "accept": "application/json, text/event-stream"}
            wrong = await http.post("/mcp/", content=json.dumps(body), headers=plain)
            assert wrong.status_code in (400, 415)

    in_service(test)


def test_a_call_that_takes_too_long_is_told_so(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service) as client:
            # On a busy machine the second of a call may be over before what it calls begins.
            while not service.times("slow-started"):
                late = await client.call_tool("sleeper", {"input": 1})
                assert (late.is_error, late.meta[KIND]) == (True, "timed_out")
            await service.until("slow-cancelled")
            run_id = None
            while run_id is None:
                order = await client.call_tool("order", {"word": "tea"})
                assert (order.is_error, order.meta[KIND]) == (True, "timed_out")
                run_id = order.meta.get(RUN)
            assert run_id in text_of(order)
            service.go()
            told: dict[str, Any] = {}
            while told.get("state") != "completed":
                found = await client.call_tool("get_run", {"run_id": run_id, "wait_s": 30})
                assert not found.is_error or found.meta[KIND] == "timed_out"
                told = found.structured_content or {}
            assert told["output"] == "slow: tea!"

    in_service(test, "1.0")


def test_more_calls_than_are_taken_are_refused(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service) as client:
            calls = [
                asyncio.create_task(client.call_tool("sleeper", {"input": n})) for n in range(12)
            ]
            refused = 0
            while refused < 4:
                done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                refused = sum(task.result().is_error for task in done)
                assert all(task.result().meta[KIND] == "busy" for task in done)
            service.go()
            results = await asyncio.gather(*calls)
            assert sum(not each.is_error for each in results) == 8

    in_service(test)


@both_generations
def test_a_server_that_is_told_to_end_leaves_nothing(in_service: Any, mode: str) -> None:
    async def test(service: Any) -> None:
        async with connected(service, mode) as client:
            call = asyncio.create_task(client.call_tool("sleeper", {"input": 1}))
            await service.until("slow-started")
            code = await asyncio.to_thread(service.end, signal.SIGTERM)
            assert code in (0, -signal.SIGTERM)
            ended = (await asyncio.gather(call, return_exceptions=True))[0]
            assert isinstance(ended, BaseException) or ended.is_error
        assert service.times("slow-cancelled") == 1
        assert (service.folder / "left").read_text() == ""
        assert "Traceback" not in (service.folder / "log").read_text()

    in_service(test)
