"""The loopback provider itself, as a client sees it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

openai = pytest.importorskip("openai")

sys.path.insert(0, str(Path(__file__).parent))
from provider import (
    LoopbackProvider,
    ProviderProcess,
    Reply,
    calls,
    cut,
    fault,
    hang,
    provider,
    provider_process,
    refusal,
    script_from_json,
    script_to_json,
    tool_loop,
    turns,
    wrong_json,
)

USER = {"role": "user", "content": "hello there"}


def talk(server: LoopbackProvider | ProviderProcess, use: Callable[[Any], Any]) -> Any:
    """Return what *use* makes of a client that does not retry."""

    async def main() -> Any:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0) as client:
            return await use(client)

    return asyncio.run(main())


async def say(client: Any, *messages: Any, model: str = "m", **how: Any) -> Any:
    return await client.chat.completions.create(model=model, messages=messages or [USER], **how)


async def stream(client: Any, *messages: Any) -> list[Any]:
    chunks = await say(client, *messages, stream=True, stream_options={"include_usage": True})
    return [chunk async for chunk in chunks]


def test_replies_come_in_order_and_the_last_one_repeats() -> None:
    async def use(client: Any) -> list[str]:
        return [(await say(client)).choices[0].message.content for _ in range(3)]

    with provider(["one", "two"]) as server:
        assert talk(server, use) == ["one", "two", "two"]
        assert server.counts["requests"] == server.counts["answered"] == 3
        assert server.counts["connections"] == 1
        server.wait_for(open=0)


def test_without_a_script_it_says_what_it_was_told() -> None:
    with provider() as server:
        answer = talk(server, say)
    assert answer.choices[0].message.content == "hello there"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 2)
    assert server.keys == ["Bearer k"]


def test_a_tool_loop_depends_on_the_conversation_alone() -> None:
    async def use(client: Any) -> list[Any]:
        messages: list[Any] = [USER]
        said: list[Any] = []
        while True:
            message = (await say(client, *messages)).choices[0].message
            if not message.tool_calls:
                return [*said, message.content]
            (call,) = message.tool_calls
            said.append((call.id, call.function.name, call.function.arguments))
            messages.append(message.model_dump(exclude_none=True))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "ok"})

    async def twice(client: Any) -> list[list[Any]]:
        return await asyncio.gather(use(client), use(client))

    with provider(tool_loop("add", 2)) as server:
        one, other = talk(server, twice)
    assert one == other
    assert one == [("call-1-0", "add", '{"n": 1}'), ("call-3-0", "add", '{"n": 2}'), "done"]


def test_a_stream_has_deltas_tool_calls_and_usage() -> None:
    script = calls(("add", {"a": 1, "b": 2}), text="one two three", usage=(7, 5))
    with provider(script) as server:
        chunks = talk(server, stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert [d.content for d in deltas if d.content] == ["one", " two", " three"]
    pieces = [d.tool_calls[0].function.arguments for d in deltas if d.tool_calls]
    assert "".join(pieces) == '{"a": 1, "b": 2}'
    assert chunks[-1].usage.total_tokens == 12


def test_a_thousand_deltas() -> None:
    with provider(Reply(text="x", deltas=1000)) as server:
        chunks = talk(server, stream)
    assert sum(bool(c.choices and c.choices[0].delta.content) for c in chunks) == 1000


def test_faults_have_their_status_and_headers() -> None:
    async def use(client: Any) -> tuple[int, str | None]:
        with pytest.raises(openai.APIStatusError) as failed:
            await say(client)
        response = failed.value.response
        return response.status_code, response.headers.get("retry-after")

    with provider([fault(429, retry_after=2), fault(429), 500, 529]) as server:
        assert [talk(server, use) for _ in range(4)] == [
            (429, "2"),
            (429, None),
            (500, None),
            (529, None),
        ]
        assert server.counts["failed"] == 4
        assert server.counts["by_status"] == {"429": 2, "500": 1, "529": 1}


@pytest.mark.parametrize("script", [cut(), cut(2)])
@pytest.mark.parametrize("how", [say, stream])
def test_a_connection_that_is_cut_is_an_error_at_the_client(script: Reply, how: Any) -> None:
    import httpx

    with provider(script) as server:
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
            talk(server, how)
        server.wait_for(cut=1, open=0)


def test_wrong_json_and_refusals() -> None:
    with provider([wrong_json(), refusal("no")]) as server:
        with pytest.raises(ValueError):
            talk(server, say)
        assert talk(server, say).choices[0].message.refusal == "no"


@pytest.mark.parametrize("how", [say, stream])
def test_a_client_that_leaves_is_counted(how: Any) -> None:
    async def use(client: Any) -> None:
        task = asyncio.ensure_future(how(client))
        await asyncio.to_thread(server.wait_for, requests=1)
        task.cancel()
        await asyncio.wait([task])

    with provider(hang(1)) as server:
        talk(server, use)
        server.wait_for(left=1, in_flight=0, open=0)


def test_requests_are_held_together_until_they_are_released() -> None:
    async def use(client: Any) -> None:
        server.hold()
        tasks = [asyncio.ensure_future(say(client)) for _ in range(5)]
        await asyncio.to_thread(server.wait_for, in_flight=5)
        server.release()
        await asyncio.gather(*tasks)

    with provider("well") as server:
        talk(server, use)
        assert server.counts["most_in_flight"] == 5


def test_a_server_that_was_down_is_up_again_on_its_port() -> None:
    with provider("well") as server:
        url = server.url
        server.down()
        with pytest.raises(openai.APIConnectionError):
            talk(server, say)
        server.up()
        assert server.url == url
        assert talk(server, say).choices[0].message.content == "well"


def test_models_have_scripts_of_their_own() -> None:
    async def use(client: Any) -> list[str]:
        return [(await say(client, model=m)).choices[0].message.content for m in ("a", "b", "b")]

    with provider({"a": "from a", "b": ["one", "two"]}) as server:
        assert talk(server, use) == ["from a", "one", "two"]
        assert server.counts["by_model"] == {"a": 1, "b": 2}


def test_a_script_survives_the_way_to_another_process() -> None:
    script = {
        "a": turns(calls(("add", {"a": 1})), "done"),
        "b": ["one", 500, fault(429, retry_after=1), None, cut(2), Reply(usage=(1, 2))],
    }
    assert script_from_json(script_to_json(script)) == script


def test_a_process_of_its_own_outlives_a_client_that_is_killed() -> None:
    program = """
import asyncio, sys, openai
async def main():
    client = openai.AsyncOpenAI(base_url=sys.argv[1], api_key="k", max_retries=0)
    for _ in range(2):
        await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hello"}])
    print("asked", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with provider_process("well") as server:
        client = subprocess.Popen(
            [sys.executable, "-c", program, server.url], stdout=subprocess.PIPE, text=True
        )
        assert client.stdout is not None
        with client.stdout:
            assert client.stdout.readline() == "asked\n"
            client.send_signal(signal.SIGKILL)
            client.wait()
        assert server.counts["answered"] == 2
        assert [body["messages"][0]["content"] for body in server.seen] == ["hello", "hello"]
        server.play(500)
        with pytest.raises(openai.InternalServerError):
            talk(server, say)
