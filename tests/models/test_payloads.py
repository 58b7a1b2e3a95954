"""What an agent is asked reaches its model as what it is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

pytest.importorskip("pydantic_ai")

from pydantic_ai import AudioUrl, BinaryContent, DocumentUrl, ImageUrl
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, AgentFailed
from agenticaiframework.models import UnsendablePayload
from agenticaiframework.models.content.contents import (
    MOST_VALUES,
    messages_of,
    read_payload,
    user_content,
)
from agenticaiframework.models.content.joining import in_turns

PNG = b"\x89PNG\r\n\x1a\n0000"


class Colour(Enum):
    RED = "red"


class Order(BaseModel):
    number: int
    due: date


@dataclass
class Point:
    x: int


class Opaque:
    pass


def sent(payload: Any) -> list[ModelMessage]:
    """Return the messages that the model of an agent is sent for *payload*."""
    seen: list[ModelMessage] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.extend(messages)
        return ModelResponse([TextPart("ok")])

    async def main() -> None:
        async with ActorSystem():
            await Agent("reader", model=FunctionModel(answer)).ask(payload)

    asyncio.run(main())
    return seen


def content(payload: Any) -> Any:
    (message,) = sent(payload)
    (part,) = message.parts
    assert isinstance(part, UserPromptPart)
    return part.content


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("hello", "hello"),
        ("", ""),
        (7, "7"),
        ({"topic": "rivers", "empty": None, "n": 2}, "Topic: rivers\nN: 2"),
        (Order(number=3, due=date(2026, 1, 2)), '{"number": 3, "due": "2026-01-02"}'),
        (Point(1), '{"x": 1}'),
        ([Point(1), "a"], '[{"x": 1}, "a"]'),
        (
            {"order": Order(number=3, due=date(2026, 1, 2))},
            'Order: {"number": 3, "due": "2026-01-02"}',
        ),
        ({"price": Decimal("1.5"), "colour": Colour.RED}, 'Price: "1.5"\nColour: "red"'),
        ({"failed": ValueError("no")}, 'Failed: "ValueError: no"'),
        ([{"role": "engineer", "content": "x"}], '[{"role": "engineer", "content": "x"}]'),
    ],
)
def test_data_is_text(payload: Any, text: str) -> None:
    assert content(payload) == text


IMAGE = BinaryContent(PNG, media_type="image/png")


@pytest.mark.parametrize(
    ("payload", "parts"),
    [
        (IMAGE, [IMAGE]),
        (ImageUrl("https://x/y.png"), [ImageUrl("https://x/y.png")]),
        ((PNG, "image/png"), [IMAGE]),
        ({"data": PNG, "media_type": "image/png"}, [IMAGE]),
        (["What is it?", IMAGE], ["What is it?", IMAGE]),
        (["Compare", (PNG, "image/png"), {"n": 1}], ["Compare", IMAGE, "N: 1"]),
        (
            {"question": "What is it?", "image": IMAGE, "language": "fr"},
            ["Question: What is it?\nImage:", IMAGE, "Language: fr"],
        ),
        (
            {"pages": [DocumentUrl("https://x/a.pdf"), AudioUrl("https://x/b.mp3")]},
            ["Pages:", DocumentUrl("https://x/a.pdf"), AudioUrl("https://x/b.mp3")],
        ),
        (
            {"question": "Why?", "pages": [{"page": 1, "scan": IMAGE}, {"page": 2}]},
            ["Question: Why?\nPages:", "Page: 1\nScan:", IMAGE, "Page: 2"],
        ),
        ([{"scan": IMAGE}, ["and", [IMAGE]]], ["Scan:", IMAGE, "and", IMAGE]),
        ({"deep": {"deeper": {"scan": IMAGE}}}, ["Deep:", "Deeper:", "Scan:", IMAGE]),
    ],
)
def test_media_stay_media(payload: Any, parts: Any) -> None:
    assert content(payload) == parts


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (PNG, "bytes have no type"),
        ({"image": PNG}, "bytes have no type"),
        (["look", PNG], "bytes have no type"),
        (Opaque(), "Opaque cannot be sent"),
        ({"deep": [{"in": Opaque()}]}, "Opaque cannot be sent"),
        (Path("a.png"), "BinaryContent.from_path"),
        ({"kind": "binary", "data": 1}, "cannot be sent"),
    ],
)
def test_what_cannot_reach_a_model_is_an_error_that_says_what_works(payload: Any, why: str) -> None:
    with pytest.raises(AgentFailed) as caught:
        sent(payload)
    assert caught.value.expected
    assert isinstance(caught.value.__cause__, UnsendablePayload)
    assert why in str(caught.value.__cause__)
    assert "BinaryContent(data, media_type='image/png')" in str(caught.value.__cause__)


def test_what_contains_itself_is_an_error() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(AgentFailed) as caught:
        sent(loop)
    assert isinstance(caught.value.__cause__, UnsendablePayload)


HISTORY: list[ModelMessage] = [
    ModelRequest([UserPromptPart("I am Ada.")]),
    ModelResponse([TextPart("Hello Ada.")]),
    ModelRequest([UserPromptPart("Who am I?")]),
]


@pytest.mark.parametrize(
    "payload",
    [
        HISTORY,
        ModelMessagesTypeAdapter.dump_python(HISTORY, mode="json"),
        {"messages": HISTORY},
        [
            {"role": "user", "content": "I am Ada."},
            {"role": "assistant", "content": "Hello Ada."},
            {"role": "user", "content": [{"type": "text", "text": "Who am I?"}]},
        ],
    ],
)
def test_a_conversation_is_one(payload: Any) -> None:
    messages = sent(payload)
    assert [type(each) for each in messages] == [ModelRequest, ModelResponse, ModelRequest]
    said = [part.content for each in messages for part in each.parts if hasattr(part, "content")]
    assert said == ["I am Ada.", "Hello Ada.", "Who am I?"]


def test_images_of_services_are_media() -> None:
    given = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    (message,) = sent([{"role": "user", "content": ["Look", given, "https"]}])
    (part,) = message.parts
    assert isinstance(part, UserPromptPart)
    assert isinstance(part.content, list)
    assert isinstance(part.content[1], BinaryContent)


def test_a_conversation_that_ends_with_an_answer_asks_nothing() -> None:
    with pytest.raises(AgentFailed) as caught:
        sent(HISTORY[:2])
    assert "nothing is asked" in str(caught.value.__cause__)


def none_given(*, session: str | None = None, **how: Any) -> tuple[Any, int]:
    """Return what asking for nothing brings, and how many requests were made for it."""
    requests = 0

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        nonlocal requests
        requests += 1
        return ModelResponse([TextPart("ok")])

    async def main() -> tuple[Any, int]:
        async with ActorSystem():
            agent = Agent("reader", model=FunctionModel(answer), **how)
            if session is not None:
                await agent.ask("first", session=session)
            before = requests
            try:
                said: Any = await agent.ask(session=session)
            except AgentFailed as error:
                assert error.expected
                assert agent.is_alive
                said = error.__cause__
            return said, requests - before

    return asyncio.run(main())


@pytest.mark.parametrize("session", [None, "user-17"])
@pytest.mark.parametrize("instructions", [None, " ", lambda: None])
def test_an_agent_without_instructions_cannot_be_asked_nothing(
    instructions: Any, session: str | None
) -> None:
    error, requests = none_given(session=session, instructions=instructions)
    assert isinstance(error, UnsendablePayload)
    assert "nothing is asked, and the agent has no instructions" in str(error)
    assert requests == 0


@pytest.mark.parametrize("session", [None, "user-17"])
@pytest.mark.parametrize("instructions", ["Say ok.", lambda: "Say ok."])
def test_instructions_alone_are_something_to_ask(instructions: Any, session: str | None) -> None:
    assert none_given(session=session, instructions=instructions) == ("ok", 1)


@dataclass
class Claim:
    text: str
    photo: BinaryContent
    pages: list[DocumentUrl]


class Seen(BaseModel):
    where: str
    pictures: list[ImageUrl]
    last: Claim | None = None


def test_media_in_dataclasses_and_models_are_media() -> None:
    photo = BinaryContent(PNG, media_type="image/png")
    claim = Claim("A dent", photo, [DocumentUrl("http://a/1.pdf")])
    assert content(claim) == [
        "Text: A dent\nPhoto:",
        photo,
        "Pages:",
        DocumentUrl("http://a/1.pdf"),
    ]
    image = ImageUrl("http://a/1.png")
    assert content(Seen(where="here", pictures=[image], last=claim)) == [
        "Where: here\nPictures:",
        image,
        "Last:",
        "Text: A dent\nPhoto:",
        photo,
        "Pages:",
        DocumentUrl("http://a/1.pdf"),
    ]
    assert content([Point(1), claim])[0] == '{"x": 1}'
    assert content(Point(1)) == '{"x": 1}'


def calls_of(work: Callable[[], Any]) -> int:
    """Return how many functions *work* calls: its time, on any machine."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def test_more_values_than_a_model_reads_are_refused() -> None:
    bomb: Any = "z"
    for _ in range(9):
        bomb = [bomb] * 9
    itself: list[Any] = []
    itself.append(itself)
    for payload in (bomb, [[]] * (MOST_VALUES + 1), itself, {"messages": bomb}):
        with pytest.raises(UnsendablePayload, match=r"100,000|contains itself"):
            read_payload(payload)
    assert read_payload([1] * MOST_VALUES).content


def test_reading_a_payload_takes_time_by_its_size_and_not_by_its_depth() -> None:
    def read(depth: int) -> int:
        payload: Any = {"kind": "text-content", "content": "x"}
        for _ in range(depth):
            payload = [[], [], payload]
        return calls_of(lambda: user_content(payload))

    assert read(80) < 3 * read(40)


def test_a_conversation_of_one_speaker_takes_time_by_its_length() -> None:
    def joined(number: int) -> int:
        given = messages_of([{"role": "user", "content": "x"}] * number)
        assert given is not None
        turns: list[Any] = []
        lines = calls_of(lambda: turns.extend(in_turns(given)))
        assert [len(turn.parts) for turn in turns] == [number]
        assert len(given[0].parts) == 1
        return lines

    assert joined(800) < 3 * joined(400)


def test_messages_that_are_not_alike_stay_apart() -> None:
    given = messages_of(
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "assistant", "content": "c"},
            {"role": "system", "content": "d"},
            {"role": "user", "content": "e"},
        ]
    )
    assert given is not None
    of_a_model = replace(given[1], model_name="m")
    told = [*given, of_a_model, given[2], replace(given[0], instructions="i"), given[4]]
    assert [len(turn.parts) for turn in in_turns(told)] == [1, 2, 2, 1, 1, 1, 1]
