"""What users send, as data, costs no agent its life, has nothing read that only the program may read, and
counts for no provider's limits or breaker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from pydantic_ai import ImageUrl
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, AgentFailed, TextDelta
from agenticaiframework.models import (
    UnreadableAnswer,
    UnsendablePayload,
    UnsendableRequest,
    set_provider,
)

sys.path.insert(0, str(Path(__file__).parent))

from provider import Reply, fault, provider

USER = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "x"}]}
CALL = {
    "kind": "response",
    "parts": [{"part_kind": "tool-call", "tool_name": "refund", "args": {}, "tool_call_id": "c"}],
}


def image(url: str, **more: Any) -> dict[str, Any]:
    return {"kind": "image-url", "url": url, **more}


PAYLOADS = [
    {"kind": "video-url", "url": "http://example.com/film.mp4"},
    {"kind": "document-url", "url": "http://127.0.0.1:9/page.txt"},
    {"kind": "document-url", "url": "http://example.com/without-type"},
    {"kind": "binary", "data": "AAAA", "media_type": "nothing/known"},
    {"kind": "uploaded-file", "file_id": "f", "provider_name": "openai"},
    {"kind": "uploaded-file", "file_id": "s3://bucket/key", "provider_name": "openai"},
    image("s3://bucket/key"),
    image("file:///etc/passwd"),
    image("http://127.0.0.1:9/", force_download=True),
    "half \ud800",
    {"half \udfff": 1},
    [{"kind": "request", "parts": []}],
    [USER, CALL, USER],
    {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 5}]}]},
    {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}
        ]
    },
]


@pytest.fixture
def house() -> Iterator[Any]:
    with provider("fine") as server:
        undo = set_provider("house", base_url=server.url, api_key="k", retries=0, failures=2)
        yield server
        undo()


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: str(payload)[:40])
def test_a_payload_that_cannot_be_sent_is_the_failure_of_its_request(
    house: Any, payload: Any
) -> None:
    async def main() -> None:
        async with ActorSystem():
            agent = Agent("a", model="house:m")
            with pytest.raises(AgentFailed) as failed:
                await agent.ask(payload, timeout=20)
            assert failed.value.expected, failed.value
            assert isinstance(failed.value.__cause__, (UnsendablePayload, UnsendableRequest))
            assert await agent.ask("hello") == "fine"
        assert house.counts["requests"] == 1

    asyncio.run(main())


@pytest.mark.parametrize("within", ["alone", "field", "messages"])
def test_data_has_no_address_of_this_network_read(house: Any, within: str) -> None:
    with provider(Reply(raw="secret")) as inner:
        asked: Any = image(f"{inner.url}/secret.png", force_download="allow-local")
        if within == "field":
            asked = {"text": "look", "pictures": [asked]}
        elif within == "messages":
            asked = [
                {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": [asked]}]}
            ]

        async def main() -> None:
            async with ActorSystem():
                with pytest.raises(AgentFailed, match="force_download") as failed:
                    await Agent("a", model="house:m").ask(asked, timeout=20)
                assert failed.value.expected

        asyncio.run(main())
        assert inner.counts["connections"] == 0


def test_a_file_that_cannot_be_had_counts_for_no_provider(house: Any) -> None:
    """Its server answers 429 with a long wait, and 500 more often than the breaker takes."""
    with provider(Reply(raw="secret")) as inner:

        async def main() -> None:
            async with ActorSystem():
                agent = Agent("a", model="house:m")
                for script in (fault(429, retry_after=1000), 500, 500, 500):
                    inner.play(script)
                    url = f"{inner.url}/picture.png"
                    with pytest.raises(AgentFailed) as failed:
                        await agent.ask(ImageUrl(url, force_download="allow-local"), timeout=20)
                    assert isinstance(failed.value.__cause__, UnsendableRequest)
                assert await agent.ask("hello", timeout=20) == "fine"

        asyncio.run(main())


def test_what_a_tool_returns_with_half_a_pair_is_told_to_the_model() -> None:
    def names() -> str:
        """List the files."""
        return "file\udcff"

    def model(messages: list[Any], info: Any) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse([ToolCallPart("names", {})])
        return ModelResponse([TextPart(str(messages[-1].parts[0].content))])

    async def main() -> None:
        async with ActorSystem():
            answer = await Agent("a", model=FunctionModel(model), tools=[names]).ask("x")
            assert "no form in JSON" in answer

    asyncio.run(main())


def test_halves_in_an_answer_are_joined_or_replaced(house: Any) -> None:
    house.play(Reply("a\ud83d\ude00 \ud800"))

    async def main() -> None:
        async with ActorSystem():
            agent = Agent("a", model="house:m")
            assert await agent.ask("x", session="s") == "a\U0001f600 \ufffd"
            assert await agent.ask("x", session="s") == "a\U0001f600 \ufffd"
            assert len(await agent.session("s").messages()) == 4

    asyncio.run(main())


def test_halves_in_two_deltas_are_joined() -> None:
    async def model(messages: list[Any], info: Any) -> Any:
        for text in ("a\ud83d", "\ude00b", "\ud800"):
            yield text

    async def main() -> None:
        async with ActorSystem():
            stream = Agent("a", model=FunctionModel(stream_function=model)).stream("x", session="s")
            *texts, answer = [part async for part in stream]
            assert texts == [TextDelta("a"), TextDelta("\U0001f600b"), TextDelta("\ufffd")]
            assert answer.output == "a\U0001f600b\ufffd"

    asyncio.run(main())


@pytest.mark.parametrize(
    "raw",
    [
        "[" * 100_000,
        '{"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0,'
        ' "finish_reason": "stop", "message": {"role": "assistant", "content": null, "tool_calls": '
        '[{"id": "c", "type": "custom", "custom": {"name": "x", "input": "y"}}]}}]}',
    ],
    ids=["deep", "custom tool"],
)
def test_an_answer_that_pydantic_ai_gives_up_on_is_unreadable(house: Any, raw: str) -> None:
    house.play(Reply(raw=raw))

    async def main() -> None:
        async with ActorSystem():
            with pytest.raises(AgentFailed) as failed:
                await Agent("a", model="house:m").ask("x", timeout=20)
            assert isinstance(failed.value.__cause__, UnreadableAnswer)
            assert failed.value.expected

    asyncio.run(main())


def test_a_bug_in_a_function_that_stands_for_a_model_stays_a_crash() -> None:
    def model(messages: list[Any], info: Any) -> ModelResponse:
        raise NotImplementedError("later")

    async def main() -> None:
        async with ActorSystem():
            with pytest.raises(AgentFailed) as failed:
                await Agent("a", model=FunctionModel(model)).ask("x")
            assert not failed.value.expected

    asyncio.run(main())
