"""The OpenAI-compatible chat endpoint, asked by OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

openai = pytest.importorskip("openai")

import httpx


def client_of(service: Any, key: str = "not needed", retries: int = 0) -> Any:
    return openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=retries)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_models_are_what_is_served(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as client:
            names = [model.id async for model in client.models.list()]
            assert {"poet", "desk", "twice", "order"} <= set(names)
            assert (await client.models.retrieve("poet")).id == "poet"
            with pytest.raises(openai.NotFoundError, match="no model 'nothing'"):
                await client.models.retrieve("nothing")

    in_service(test)


def test_an_answer_comes_whole_or_in_parts(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as client:
            whole = await client.chat.completions.create(model="poet", messages=[user("rivers")])
            assert whole.choices[0].message.content == "poet heard: rivers"
            assert whole.choices[0].finish_reason == "stop"
            assert whole.usage.total_tokens > 0
            stream = await client.chat.completions.create(
                model="poet",
                messages=[user("rivers")],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
            texts = [c.choices[0].delta.content for c in chunks if c.choices]
            assert "".join(text or "" for text in texts).strip() == "poet heard: rivers"
            assert len([text for text in texts if text]) > 2, "it comes in parts"
            assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
            assert chunks[-1].usage.total_tokens > 0
            for model, text, wanted in (
                ("desk", "tea", '{"crier": "TEA"}'),
                ("twice", "tea", "TEA"),
                ("odd", "tea", '{"number": "nan", "text": "half ?", "when": "2026-01-02"}'),
                ("price", '{"item": "tea", "count": 2}', '{"total": 6}'),
                ("price", "tea", '{"total": 3}'),
            ):
                said = await client.chat.completions.create(model=model, messages=[user(text)])
                assert said.choices[0].message.content == wanted
                parts = await client.chat.completions.create(
                    model=model, messages=[user(text)], stream=True
                )
                got = [p.choices[0].delta.content or "" async for p in parts]
                assert "".join(got) == wanted

    in_service(test)


def test_the_callers_conversation_is_shown_to_the_model_and_to_handlers(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as client:
            said = [
                user("I am Ann."),
                {"role": "assistant", "content": "Hello!"},
                user("Who am I?"),
            ]
            for model in ("whoami", "recaller"):
                found = await client.chat.completions.create(model=model, messages=said)
                content = json.loads(found.choices[0].message.content)
                earlier = content["earlier"] if model == "whoami" else content
                assert earlier == [
                    {"role": "user", "content": "I am Ann."},
                    {"role": "assistant", "content": "Hello!"},
                ]

    in_service(test)


def test_an_answer_stops_at_the_callers_text_also_across_parts(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as client:
            for stop, wanted in (
                ("heard: ri", "poet "),
                (["nothing", "rivers"], "poet heard: "),
                (["t h", "heard"], "poe"),
                ("rivers!", "poet heard: rivers"),
                (None, "poet heard: rivers"),
            ):
                asked: Any = {"model": "poet", "messages": [user("rivers")], "stop": stop}
                whole = await client.chat.completions.create(**asked)
                assert whole.choices[0].message.content == wanted
                assert whole.choices[0].finish_reason == "stop"
                parts = await client.chat.completions.create(stream=True, **asked)
                got = "".join([p.choices[0].delta.content or "" async for p in parts])
                assert got.strip() == wanted.strip()
            for bad in ("", [1], ["a"] * 5):
                with pytest.raises(openai.BadRequestError, match="stop: "):
                    await client.chat.completions.create(**{**asked, "stop": bad})

    in_service(test)


def test_a_failure_is_an_error_that_is_not_tried_again(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service, retries=3) as client:

            async def fails(kind: Any, reason: str, **given: Any) -> Any:
                for stream in (False, True):
                    with pytest.raises(kind, match=reason):
                        await client.chat.completions.create(stream=stream, **given)

            say = {"messages": [user("x")]}
            await fails(openai.InternalServerError, "no such city", model="lookup-face", **say)
            await fails(openai.BadRequestError, "only tea is sold", model="picky", **say)
            await fails(openai.NotFoundError, "no model", model="nothing", **say)
            await fails(openai.BadRequestError, "messages", model="poet", messages=[])
            last = [user("x"), {"role": "assistant", "content": "y"}]
            await fails(openai.BadRequestError, "the last", model="poet", messages=last)
            picture = [{"type": "image_url", "image_url": {"url": "https://x.example/y.png"}}]
            shown = [{"role": "user", "content": picture}]
            await fails(openai.BadRequestError, r"messages\[0\]", model="poet", messages=shown)
            tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
            await fails(openai.BadRequestError, "tools", model="poet", tools=tools, **say)
            await fails(openai.BadRequestError, "n: ", model="poet", n=2, **say)
            form = {"type": "json_object"}
            await fails(openai.BadRequestError, "form", model="poet", response_format=form, **say)
            await fails(openai.BadRequestError, "logprobs", model="poet", logprobs=True, **say)
            called = [{"role": "tool", "tool_call_id": "1", "content": "x"}, user("x")]
            await fails(openai.BadRequestError, "role", model="poet", messages=called)
        assert service.times("lookup") == 2, "once as a whole, once as a stream"

    in_service(test)


def test_a_failure_in_the_middle_of_a_stream_ends_it_as_an_error(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as client:
            stream = await client.chat.completions.create(
                model="breaks", messages=[user("x")], stream=True
            )
            got: list[str] = []

            async def read() -> None:
                async for chunk in stream:
                    text = chunk.choices[0].delta.content
                    got.append(text or "")

            with pytest.raises(openai.APIError, match="the line is cut"):
                await read()
            assert "".join(got) == "half of "

    in_service(test)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_its_work(in_service: Any, stream: bool) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as client:
            for number, model in enumerate(("sleeper", "brief"), 1):
                asking = asyncio.create_task(
                    client.chat.completions.create(
                        model=model, messages=[user("x")], stream=stream, timeout=60
                    )
                )
                await service.until("slow-started", number)
                asking.cancel()
                (got,) = await asyncio.gather(asking, return_exceptions=True)
                if not isinstance(got, BaseException):
                    await got.close()
                await service.until("slow-cancelled", number)

    in_service(test)


def test_a_durable_run_is_joined_by_its_key_also_after_sigkill(in_service: Any) -> None:
    async def test(service: Any) -> None:
        headers = {"Idempotency-Key": "one"}

        def ask(client: Any) -> Any:
            return client.chat.completions.with_raw_response.create(
                model="order", messages=[user("tea")], extra_headers=headers
            )

        async with client_of(service) as client:
            asking = asyncio.create_task(ask(client))
            await service.until("slow-started")
            await asyncio.to_thread(service.end, signal.SIGKILL)
            (lost,) = await asyncio.gather(asking, return_exceptions=True)
            assert isinstance(lost, openai.APIConnectionError)
            service.go()
            await service.begin()
            answer = await ask(client)
            again = await ask(client)
            content = answer.parse().choices[0].message.content
            assert content == again.parse().choices[0].message.content == "slow: tea!"
            assert answer.headers["x-run-id"] == again.headers["x-run-id"]
        assert service.times("first") == 1

    in_service(test)


def test_a_wrong_key_is_401_and_two_callers_are_told_apart(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service, "wrong") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(model="poet", messages=[user("x")])
        async with client_of(service, "ann-key") as ann, client_of(service, "bob-key") as bob:

            async def caller(client: Any) -> str:
                found = await client.chat.completions.create(model="whoami", messages=[user("x")])
                return str(json.loads(found.choices[0].message.content)["caller"])

            assert await asyncio.gather(caller(ann), caller(bob)) == ["ann", "bob"]
            # What one is called in the other's sessions is not shown.
            for client in (ann, bob):
                for number in (1, 3):
                    found = await client.chat.completions.create(
                        model="counter", messages=[user("x")], metadata={"session": "mine"}
                    )
                    assert found.choices[0].message.content == str(number)

    in_service(test, USERS="yes")


def test_what_takes_too_long_is_told(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as client:
            while not service.times("slow-started"):  # the time may be over before it begins
                with pytest.raises(openai.InternalServerError) as late:
                    await client.chat.completions.create(model="sleeper", messages=[user("x")])
                assert late.value.status_code == 504
            await service.until("slow-cancelled")

    in_service(test, "1.5")


def test_more_requests_than_are_taken_are_refused(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as client:

            async def ask() -> Any:
                return await client.chat.completions.create(model="sleeper", messages=[user("x")])

            asked = [asyncio.create_task(ask()) for _ in range(12)]
            ended: set[Any] = set()
            while len(ended) < 4:  # those that are taken wait
                ended, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            busy = [each.exception() for each in ended]
            service.go()
            results = await asyncio.gather(*asked, return_exceptions=True)
            assert sum(isinstance(each, openai.RateLimitError) for each in results) == 4
            assert sum(not isinstance(each, BaseException) for each in results) == 8
            assert isinstance(busy[0], openai.RateLimitError)
            assert busy[0].response.headers["retry-after"] == "1"

    in_service(test)


def test_requests_that_are_none_are_told_how(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with httpx.AsyncClient(base_url=f"{service.url}/v1", timeout=60) as http:
            json_type = {"content-type": "application/json"}
            for answer, code in (
                (await http.get("/chat/completions"), 405),
                (await http.post("/models"), 405),
                (await http.get("/nothing"), 404),
                (await http.post("/chat/completions", content=b"{", headers=json_type), 400),
                (await http.post("/chat/completions", content=b"[]", headers=json_type), 400),
                (
                    await http.post("/chat/completions", content=b"[" * 90_000, headers=json_type),
                    400,
                ),
                (await http.post("/chat/completions", content=b"{}"), 415),
                (await http.post("/chat/completions", json={"x": "x" * 200_000}), 413),
                (await http.post("/chat/completions", json={"model": 7}), 400),
            ):
                assert answer.status_code == code, answer.text
                assert answer.json()["error"]["message"]
            cross = {"sec-fetch-site": "cross-site"}
            assert (await http.get("/models", headers=cross)).status_code == 403

    in_service(test)


def test_two_clients_at_once_have_their_own_answers(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as one, client_of(service) as two:

            async def ask(number: int) -> str:
                client = (one, two)[number % 2]
                stream = await client.chat.completions.create(
                    model="poet", messages=[user(f"river {number}")], stream=True
                )
                return "".join([c.choices[0].delta.content or "" async for c in stream]).strip()

            got = await asyncio.gather(*map(ask, range(8)))
            assert got == [f"poet heard: river {n}" for n in range(8)]

    in_service(test)


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_is_told_to_end_leaves_nothing(in_service: Any, stream: bool) -> None:
    async def test(service: Any) -> None:
        async with client_of(service) as client:
            asking = asyncio.create_task(
                client.chat.completions.create(model="sleeper", messages=[user("x")], stream=stream)
            )
            await service.until("slow-started")
            await asyncio.to_thread(service.end, signal.SIGTERM)
            (ended,) = await asyncio.gather(asking, return_exceptions=True)
            assert isinstance(ended, openai.APIError)
        assert (service.folder / "left").read_text() == ""
        assert "Traceback" not in (service.folder / "log").read_text()

    in_service(test)
