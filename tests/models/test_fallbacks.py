"""Models behind one another: the next is asked where one does not answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")

from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentDefinitionError,
    AgentFailed,
    Answer,
    ModelRequestEnded,
    TextDelta,
    retry_after_of,
)
from agenticaiframework.models import ModelsFailed, set_provider
from agenticaiframework.models.providers.clients import Clients

sys.path.insert(0, str(Path(__file__).parent))
from provider import LoopbackProvider, calls, cut, fault, hang, provider, turns, wrong_json


@pytest.fixture
def houses() -> Iterator[tuple[LoopbackProvider, LoopbackProvider]]:
    """Two providers, *one* and *two*, which say their names."""
    with provider("one") as one, provider("two") as two:
        ends = [
            set_provider("one", base_url=one.url, failures=3, reset_after_s=60, retries=0),
            set_provider("two", base_url=two.url, failures=3, reset_after_s=60, retries=0),
        ]
        yield one, two
        for end in ends:
            end()


def agent(*models: Any, **how: Any) -> Agent:
    return Agent("writer", model=models[0], fallback_models=list(models[1:]), **how)


def in_system(main: Callable[[ActorSystem], Coroutine[Any, Any, Any]]) -> Any:
    async def inside() -> Any:
        async with ActorSystem() as system:
            return await main(system)

    return asyncio.run(inside())


@pytest.mark.parametrize(
    "script", [500, 401, 404, fault(429, retry_after=30), cut(), wrong_json(), fault(503)]
)
def test_the_next_model_answers_where_one_does_not(houses: Any, script: Any) -> None:
    one, two = houses
    one.play(script)
    writer = agent("one:a", "two:b")

    async def main(system: ActorSystem) -> None:
        result = await writer.run("hello", timeout=20)
        assert result.output == "two"
        response = result.new_messages[-1]
        assert (response.provider_name, response.model_name) == ("two", "b")
        (failed,) = response.failed_attempts
        assert (failed.provider_name, failed.model_name) == ("one", "a")
        assert failed.error

    in_system(main)
    assert (one.counts["requests"], two.counts["requests"]) == (1, 1)


def test_nothing_is_opened_before_it_is_needed(houses: Any) -> None:
    _one, two = houses
    writer = agent("one:a", "two:b")

    async def main(system: ActorSystem) -> None:
        assert await writer.ask("hello") == "one"
        assert Clients.of(system).open_providers == 1

    in_system(main)
    assert two.counts["connections"] == 0


def test_all_reasons_are_told_where_all_fail(houses: Any) -> None:
    one, two = houses
    one.play(fault(429, retry_after=40))
    two.play(fault(500, message="out of order, key sk-abcdefghijklmnopqrst"))
    writer = agent("one:a", "two:b", "deepseek:deepseek-chat")

    async def main(system: ActorSystem) -> None:
        with pytest.raises(AgentFailed) as failed:
            await writer.ask("hello", timeout=20)
        error = failed.value
        assert error.expected
        cause = error.__cause__
        assert isinstance(cause, ModelsFailed)
        names = ["one:a", "two:b", "deepseek:deepseek-chat"]
        assert list(cause.reasons) == names
        for words in (*names, "429", "500", "out of order", "DEEPSEEK_API_KEY"):
            assert words in str(error)
        assert "sk-abcdef" not in str(error)
        assert retry_after_of(error) == pytest.approx(40, abs=1)
        assert writer.is_alive

    import os

    assert "DEEPSEEK_API_KEY" not in os.environ
    in_system(main)


@pytest.mark.parametrize("script", [500, cut(), cut(0), fault(429, retry_after=30)])
def test_a_stream_goes_on_to_the_next_before_its_first_delta(houses: Any, script: Any) -> None:
    one, two = houses
    one.play(script)
    two.play("well done")
    writer = agent("one:a", "two:b")

    async def main(system: ActorSystem) -> None:
        parts = [part async for part in writer.stream("hello", timeout=20)]
        assert [part.text for part in parts if isinstance(part, TextDelta)] == ["well", " done"]
        assert isinstance(parts[-1], Answer)
        assert parts[-1].output == "well done"

    in_system(main)
    assert (one.counts["requests"], two.counts["requests"]) == (1, 1)


def test_a_stream_that_breaks_after_its_first_delta_is_an_error(houses: Any) -> None:
    one, two = houses
    one.play(cut(2))
    writer = agent("one:a", "two:b")
    texts: list[str] = []

    async def read() -> None:
        async for part in writer.stream("hello", timeout=20):
            texts.append(part.text)  # noqa: PERF401 - what came before the error counts

    async def main(system: ActorSystem) -> None:
        with pytest.raises(AgentFailed) as failed:
            await read()
        assert failed.value.expected

    in_system(main)
    assert texts == ["one", " two"]
    assert two.counts["requests"] == 0


def test_an_open_breaker_goes_straight_on(houses: Any) -> None:
    one, two = houses
    one.play(500)
    writer = agent("one:a", "two:b")

    async def main(system: ActorSystem) -> None:
        for _ in range(6):
            assert await writer.ask("hello") == "two"

    in_system(main)
    assert (one.counts["requests"], two.counts["requests"]) == (3, 6)


def test_a_limit_goes_straight_on(houses: Any) -> None:
    one, _two = houses
    set_provider("one", base_url=one.url, requests_per_minute=2)
    writer = agent("one:a", "two:b")

    async def main(system: ActorSystem) -> None:
        assert [await writer.ask("hello") for _ in range(4)] == ["one", "one", "two", "two"]

    in_system(main)


def test_the_last_one_is_retried(houses: Any) -> None:
    one, two = houses
    set_provider("two", base_url=two.url, retries=2)
    one.play(500)
    two.play([fault(429, retry_after=0.05), 500, "at last"])
    writer = agent("one:a", "two:b")

    async def main(system: ActorSystem) -> None:
        result = await writer.run("hello", timeout=30)
        assert result.output == "at last"
        failed = result.new_messages[-1].failed_attempts
        assert [a.provider_name for a in failed] == ["one", "two", "two"]

    in_system(main)


def test_tools_go_on_with_the_model_that_answers(houses: Any) -> None:
    one, two = houses
    one.play([calls(("add", {"n": 1})), 500])
    two.play(turns("never", "two has seen it"))
    added: list[int] = []

    def add(n: int) -> int:
        """Add."""
        added.append(n)
        return n

    writer = agent("one:a", "two:b", tools=[add])
    assert in_system(lambda system: writer.ask("hello", timeout=20)) == "two has seen it"
    assert added == [1]


def test_a_hanging_model_is_left_with_the_ask(houses: Any) -> None:
    one, _two = houses
    one.play(hang())
    writer = agent("one:a", "two:b", model_settings={"timeout": 0.2})
    assert in_system(lambda system: writer.ask("hello", timeout=20)) == "two"
    one.wait_for(left=1, open=0)


@pytest.mark.parametrize(
    "settings", [{"request_timeout": 0.2}, {"request_timeout": 0.2, "timeout": 30}]
)
def test_a_limit_of_the_request_is_each_models_own(houses: Any, settings: Any) -> None:
    one, _ = houses
    one.play(hang())
    writer = agent("one:a", "two:b", model_settings=settings)

    async def main(system: ActorSystem) -> None:
        assert await writer.ask("hello", timeout=20) == "two"
        parts = [part async for part in writer.stream("hello", timeout=20)]
        assert parts[-1].output == "two"

    in_system(main)


def test_a_misspelt_name_is_found_before_it_is_needed(houses: Any) -> None:
    writer = agent("one:a", "no-such-model")

    async def main(system: ActorSystem) -> None:
        with pytest.raises(AgentFailed, match="no-such-model"):
            await writer.ask("hello")

    in_system(main)


def test_objects_and_names_can_be_mixed(houses: Any) -> None:
    one, _ = houses
    one.play(500)

    def broken(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(500, "broken")

    def well(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart("from the object")])

    writer = agent(FunctionModel(broken), "one:a", FunctionModel(well), TestModel())
    assert in_system(lambda system: writer.ask("hello", timeout=20)) == "from the object"


def test_a_bug_is_no_reason_to_ask_another(houses: Any) -> None:
    _, two = houses

    def broken(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise KeyError("a bug")

    writer = agent(FunctionModel(broken), "two:b")

    async def main(system: ActorSystem) -> None:
        with pytest.raises(AgentFailed, match="a bug") as failed:
            await writer.ask("hello")
        assert not failed.value.expected

    in_system(main)
    assert two.counts["requests"] == 0


def test_one_that_cannot_be_opened_is_passed_over(houses: Any) -> None:
    writer = agent("deepseek:deepseek-chat", "two:b")
    assert in_system(lambda system: writer.ask("hello")) == "two"


def test_where_none_can_be_opened_that_is_no_failure_of_the_request() -> None:
    writer = agent("deepseek:deepseek-chat", "moonshotai:kimi")

    async def main(system: ActorSystem) -> None:
        with pytest.raises(AgentFailed, match="DEEPSEEK_API_KEY") as failed:
            await writer.ask("hello")
        assert not failed.value.expected

    in_system(main)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_a_request_is_counted_once_whichever_model_answers(houses: Any, streamed: bool) -> None:
    one, two = houses
    one.play(500)
    writer = agent("one:a", "two:b")

    async def main(system: ActorSystem) -> None:
        told: list[tuple[str, int, int]] = []
        system.subscribe(
            lambda e: told.append((e.model, e.usage.requests, e.usage.failed_requests)),
            ModelRequestEnded,
        )
        if streamed:
            last = [part async for part in writer.stream("hello")][-1]
            assert isinstance(last, Answer)
            usage = last.usage
        else:
            usage = (await writer.run("hello", timeout=20)).usage
        assert (usage.requests, usage.failed_requests) == (2, 1)
        assert told == [("a", 1, 1), ("b", 1, 0)]
        assert writer.usage == usage
        assert one.counts["requests"] + two.counts["requests"] == usage.requests

    in_system(main)


def test_a_stream_that_was_asked_for_again_is_counted_once(houses: Any) -> None:
    one, _ = houses
    set_provider("one", base_url=one.url, retries=2)
    one.play([503, 503, "third time"])
    writer = Agent("writer", model="one:a")

    async def main(system: ActorSystem) -> None:
        async with writer.stream("hello") as stream:
            parts = [part async for part in stream]
        assert parts[-1].output == "third time"
        assert (parts[-1].usage.requests, parts[-1].usage.failed_requests) == (3, 2)
        assert one.counts["requests"] == 3

    in_system(main)


def test_each_reason_is_told_where_models_have_one_name() -> None:
    failed = ModelsFailed([("m", ValueError("a")), ("m", ValueError("b")), ("n", ValueError("c"))])
    assert list(failed.reasons) == ["m", "m (2)", "n"]
    assert "ValueError: a" in str(failed)


@pytest.mark.parametrize("model", [None, "", " ", 5, b"x", ["openai:gpt-4o-mini"]])
def test_what_no_model_can_be_is_refused_when_the_agent_is_made(model: Any) -> None:
    with pytest.raises(AgentDefinitionError, match=r"model="):
        Agent("a", model="scripted", fallback_models=[model])
    if model is not None:
        with pytest.raises(AgentDefinitionError, match=r"model="):
            Agent("a", model=model)
