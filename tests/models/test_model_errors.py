"""What asking a model raises is expected of a model agent; what another request would meet again is not."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentDefinitionError,
    AgentFailed,
    AgenticError,
    HandlerExited,
    MissingExtra,
    RequestRejected,
)
from agenticaiframework.actors.agents.model_errors import is_model_error
from agenticaiframework.models import UnknownModel
from agenticaiframework.supervision import AgentSupervisor
from agenticaiframework.testing import scripted_model

sys.path.insert(0, str(Path(__file__).parent))

from provider import provider


class WithStatus(Exception):
    def __init__(self, **fields: Any) -> None:
        super().__init__(str(fields))
        for name, value in fields.items():
            setattr(self, name, value)


class Response:
    status_code = 503

    def __repr__(self) -> str:
        return "Response()"


class Hostile(Exception):
    @property
    def status_code(self) -> int:
        raise RuntimeError("do not ask")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        OSError("the network is unreachable"),
        socket.gaierror("no such host"),
        ssl.SSLError("bad certificate"),
        json.JSONDecodeError("no JSON", "x", 0),
        WithStatus(status_code=503),
        WithStatus(status=429),
        WithStatus(response=Response()),
        WithStatus(retry_after_s=5),
    ],
    ids=repr,
)
def test_another_request_may_fare_better(error: Exception) -> None:
    assert is_model_error(error)


@pytest.mark.parametrize(
    "error",
    [
        TypeError("a bug"),
        KeyError("answer"),
        ValueError("wrong"),
        RuntimeError("wrong"),
        AssertionError(),
        FileNotFoundError("prompt.txt"),
        PermissionError("prompt.txt"),
        UnknownModel("gpt4"),
        MissingExtra("the model", "llm"),
        AgenticError("wrong"),
        WithStatus(status_code=200),
        WithStatus(status="error"),
        Hostile(),
    ],
    ids=repr,
)
def test_another_request_would_fail_as_well(error: Exception) -> None:
    assert not is_model_error(error)


def test_the_errors_of_libraries_are_known() -> None:
    pydantic = pytest.importorskip("pydantic")
    httpx = pytest.importorskip("httpx")
    openai = pytest.importorskip("openai")
    exceptions = pytest.importorskip("pydantic_ai.exceptions")

    class Answer(pydantic.BaseModel):
        rating: int

    with pytest.raises(pydantic.ValidationError) as not_fitting:
        Answer.model_validate({"rating": "good"})
    request = httpx.Request("POST", "http://localhost")
    response = httpx.Response(503, request=request)
    for error in (
        not_fitting.value,
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.HTTPStatusError("busy", request=request, response=response),
        openai.APIConnectionError(request=request),
        openai.APITimeoutError(request),
        openai.RateLimitError("busy", response=response, body=None),
        exceptions.ModelHTTPError(503, "gpt-4"),
        exceptions.ModelAPIError("gpt-4", "no connection"),
        exceptions.UnexpectedModelBehavior("Exceeded maximum retries (1) for output validation"),
        exceptions.UsageLimitExceeded("too many tokens"),
    ):
        assert is_model_error(error), error
    for error in (
        openai.OpenAIError("The api_key client option must be set"),
        exceptions.UserError("Set the OPENAI_API_KEY environment variable"),
        exceptions.ModelRetry("again"),
    ):
        assert not is_model_error(error), error


def in_system(main: Callable[[], Any]) -> Any:
    async def inside() -> Any:
        async with ActorSystem(), asyncio.timeout(60):
            return await main()

    return asyncio.run(inside())


async def failure(agent: Agent) -> AgentFailed:
    with pytest.raises(AgentFailed) as caught:
        await agent.ask("hello")
    return caught.value


@pytest.mark.parametrize(
    ("declared", "raised", "expected"),
    [
        (None, ConnectionError(), True),
        (None, RequestRejected("no"), True),
        (None, KeyError(), False),
        (KeyError, KeyError(), True),
        (KeyError, ConnectionError(), True),
        ((), ConnectionError(), False),
        ((), RequestRejected("no"), True),
    ],
    ids=repr,
)
def test_what_is_declared_comes_on_top_and_nothing_is_nothing(
    declared: Any, raised: Exception, expected: bool
) -> None:
    def fails(agent: str, payload: Any) -> str:
        raise raised

    async def main() -> None:
        agent = Agent("a", model="scripted", expected_errors=declared, concurrency=1)
        with scripted_model(fails):
            assert (await failure(agent)).expected is expected
        assert (agent.address().live is not None) is expected

    in_system(main)


def test_a_model_that_there_is_not_is_a_crash() -> None:
    async def main() -> None:
        agent = Agent("a", model="no-such-model", concurrency=1)
        error = await failure(agent)
        assert isinstance(error.__cause__, UnknownModel)
        assert not error.expected
        assert agent.address().live is None

    in_system(main)


@pytest.mark.parametrize("status", [503, 429, 401, 404])
def test_a_provider_that_refuses_six_times_takes_nobody_along(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    openai = pytest.importorskip("openai")
    pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    left = [status] * 6

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
            model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client))
            writer = Agent("writer", model=model, instructions="Write")
            other = Agent("other", handler=lambda payload: payload)
            desk = AgentSupervisor("desk", "one_for_all")
            children = [desk.add_child(agent.name, agent) for agent in (writer, other)]
            await desk.start()
            assert await other.ask(1) == 1
            for _ in range(6):
                error = await failure(writer)
                assert str(status) in str(error)
                assert error.expected
            assert await writer.ask("hello") == "well"
            assert await other.ask(1) == 1
            assert [child.restarts for child in children] == [0, 0]
            await desk.stop()

    with provider(lambda _: left.pop() if left else "well") as server:
        in_system(main)


def test_nobody_who_answers_is_a_failure_of_the_request() -> None:
    openai = pytest.importorskip("openai")
    pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
            model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client))
            agent = Agent("writer", model=model)
            assert (await failure(agent)).expected
            assert agent.address().live is not None

    in_system(main)


def test_an_answer_that_does_not_fit_is_a_failure_of_the_request() -> None:
    pytest.importorskip("pydantic_ai")
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart("not what was asked for")])

    schema = {
        "type": "object",
        "properties": {"rating": {"type": "integer"}, "why": {"type": "string"}},
        "required": ["rating", "why"],
    }

    async def main() -> None:
        agent = Agent("rater", model=FunctionModel(answer), output_schema=schema)
        assert (await failure(agent)).expected
        assert agent.address().live is not None

    in_system(main)


def test_nothing_is_imported_to_recognise_an_error() -> None:
    program = """
import sys
from agenticaiframework.actors.agents.model_errors import is_model_error
before = set(sys.modules)
assert is_model_error(ConnectionError()) and not is_model_error(KeyError())
assert not [m for m in set(sys.modules) - before if not m.startswith("encodings")]
assert not {"httpx", "openai", "pydantic_ai"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)


def test_what_is_declared_for_a_model_is_checked_too() -> None:
    with pytest.raises(AgentDefinitionError, match="SystemExit"):
        Agent("a", model="scripted", expected_errors=(SystemExit,))  # type: ignore[arg-type]


async def leaves() -> str:
    sys.exit(3)


def leaves_at_once() -> str:
    sys.exit(3)


@pytest.mark.parametrize("instructions", [leaves, leaves_at_once, [leaves, "Be brief."]])
def test_instructions_that_exit_fail_the_request_and_not_the_program(instructions: Any) -> None:
    async def main() -> None:
        agent = Agent("clerk", model="openai:gpt-4o-mini", instructions=instructions)
        with scripted_model(lambda agent, payload: "Yes."), pytest.raises(AgentFailed) as failed:
            await agent.ask("Why?")
        assert isinstance(failed.value.__cause__, HandlerExited)

    in_system(main)
