"""What a provider sends in the place of an answer is an expected error that names the provider."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, AgentFailed
from agenticaiframework.models import UnreadableAnswer

sys.path.insert(0, str(Path(__file__).parent))

from provider import Reply, provider

EVENTS = [
    "null",
    "[]",
    "3",
    '"text"',
    '{"choices": [null]}',
    '{"choices": {"a": 1}}',
    '{"choices": [{"index": 0, "delta": []}]}',
    '{"choices": [{"index": 0, "delta": {"tool_calls": [null]}}]}',
    '{"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": []}',
    '{"created": "then", "choices": [{"index": 0, "delta": {"content": "x"}}]}',
]
ANSWERS = [
    '{"choices": [null]}',
    '{"choices": {"a": 1}}',
    '{"id": "a", "object": "chat.completion", "created": -99999999999999999, "model": "m", "choices": '
    '[{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}]}',
]


async def read(agent: Agent) -> None:
    async for _ in agent.stream("hello", timeout=20):
        pass


def failure(model: Any, *, stream: bool = False, **how: Any) -> tuple[AgentFailed, bool]:
    """Return what asking *model* raises, and whether the agent lives after it."""

    async def main() -> tuple[AgentFailed, bool]:
        async with ActorSystem():
            agent = Agent("a", model=model, **how)
            with pytest.raises(AgentFailed) as caught:
                await (read(agent) if stream else agent.ask("hello", timeout=20))
            return caught.value, agent.is_alive

    return asyncio.run(main())


@pytest.mark.parametrize("raw", EVENTS)
def test_an_event_that_is_none_is_an_error_of_the_provider(raw: str) -> None:
    with provider(Reply(raw=raw)) as server:
        failed, alive = failure(f"openai:m@{server.url}", stream=True)
    cause = failed.__cause__
    assert isinstance(cause, UnreadableAnswer)
    assert failed.expected
    assert alive
    assert "'openai'" in str(cause)
    assert server.url in str(cause)
    assert "'m'" in str(cause)


@pytest.mark.parametrize("raw", ANSWERS)
def test_an_answer_that_is_none_is_an_error_of_the_provider(raw: str) -> None:
    with provider(Reply(raw=raw)) as server:
        failed, alive = failure(f"openai:m@{server.url}")
    assert isinstance(failed.__cause__, UnreadableAnswer)
    assert failed.expected
    assert alive


def test_a_model_object_of_a_provider_is_read_as_warily() -> None:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    with provider(Reply(raw="null")) as server:
        given = OpenAIChatModel("m", provider=OpenAIProvider(base_url=server.url, api_key="k"))
        failed, alive = failure(given, stream=True)
    assert isinstance(failed.__cause__, UnreadableAnswer)
    assert failed.expected
    assert alive


def test_the_next_model_is_asked_instead() -> None:
    async def main(models: list[str]) -> Any:
        async with ActorSystem():
            agent = Agent("a", model=models[0], fallback_models=models[1:])
            parts = [part async for part in agent.stream("hello", timeout=20)]
            return await agent.ask("hello", timeout=20), parts[-1].output

    with provider(Reply(raw='{"choices": [null]}')) as broken, provider(Reply("well")) as whole:
        models = [f"openai:m@{broken.url}", f"openai:m@{whole.url}"]
        assert asyncio.run(main(models)) == ("well", "well")


def test_the_same_error_out_of_a_function_of_the_program_is_a_crash() -> None:
    from pydantic_ai.models.function import FunctionModel

    def answers(_messages: Any, _info: Any) -> Any:
        return None

    failed, _ = failure(FunctionModel(answers))
    assert not isinstance(failed.__cause__, UnreadableAnswer)
    assert not failed.expected


def test_a_setting_without_a_form_in_json_is_not_the_providers_fault() -> None:
    with provider(Reply("hello")) as server:
        failed, _ = failure(f"openai:m@{server.url}", model_settings={"temperature": object()})
    assert not isinstance(failed.__cause__, UnreadableAnswer)
    assert not server.counts["requests"]
