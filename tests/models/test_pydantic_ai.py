from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.toolsets import FunctionToolset

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, install_command
from agenticaiframework.actors.agents.models import ModelRequest, run_model
from agenticaiframework.models import UnknownModel
from agenticaiframework.models.local.server import Endpoint, LocalServer
from agenticaiframework.models.runs.one_run import whole_sentences

sys.path.insert(0, str(Path(__file__).parent))
from provider import provider

CATEGORY = {
    "type": "object",
    "properties": {"category": {"type": "string", "enum": ["health", "other"]}},
    "required": ["category"],
}


def ask(
    model: object, payload: Any = "hello", output: Any = None, instructions: str = "Help"
) -> Any:
    return asyncio.run(run_model(ModelRequest("Helper", model, instructions, payload, output)))


def test_a_model_object_of_pydantic_ai_answers() -> None:
    assert ask(TestModel(custom_output_text="done")) == "done"


def test_the_model_sees_instructions_and_payload() -> None:
    seen: list[ModelMessage] = []

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.extend(messages)
        return ModelResponse(parts=[TextPart('{"category": "health"}')])

    assert ask(FunctionModel(answer), {"request": "AI"}) == {"category": "health"}
    assert "Help" in str(seen)
    assert "Request: AI" in str(seen)


def test_a_model_that_raises_raises_in_the_agent() -> None:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise RuntimeError("out of tokens")

    with pytest.raises(RuntimeError, match="out of tokens"):
        ask(FunctionModel(answer))


def test_the_name_test_is_pydantic_ais_test_model() -> None:
    assert ask("test", output=CATEGORY) == {"category": "health"}


def test_something_else_is_no_model() -> None:
    with pytest.raises(UnknownModel, match="openai:gpt-4o-mini"):
        ask(3.5)


@pytest.mark.parametrize("name", ["gpt-4o-mini", "openai:gpt-4o-mini"])
def test_a_hosted_model_is_reached_in_the_chat_format(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider(lambda body: "from the server") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sesame")
        assert ask(name, {"topic": "AI"}) == "from the server"
    (body,) = server.seen
    assert body["model"] == "gpt-4o-mini"
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"] == "Topic: AI"
    assert server.keys == ["Bearer sesame"]


def test_several_loops_in_turn_use_one_hosted_model(monkeypatch: pytest.MonkeyPatch) -> None:
    with provider(lambda body: body["messages"][-1]["content"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sesame")
        assert [ask("gpt-4", f"n{i}") for i in range(3)] == ["n0", "n1", "n2"]


def test_a_server_that_refuses_raises_in_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    with provider(lambda body: 401) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "wrong")
        with pytest.raises(Exception, match="401"):
            ask("gpt-4")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("One. Two! And thr", "One. Two!"),
        ('He said "stop." Then', 'He said "stop."'),
        ("A. Nothing but the beginning of a much longer sentence", None),
        ("no end at all", None),
        ("version 1.5 is out. It", "version 1.5 is out."),
    ],
)
def test_an_answer_that_was_cut_off_ends_with_a_sentence(text: str, kept: str | None) -> None:
    assert whole_sentences(text) == (text if kept is None else kept)


def test_an_answer_is_cut_only_where_the_model_ran_out_of_tokens() -> None:
    def answering(reason: Any) -> FunctionModel:
        def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            return ModelResponse(parts=[TextPart("One. Two. Thr")], finish_reason=reason)

        return FunctionModel(answer)

    assert ask(answering("length")) == "One. Two."
    assert ask(answering("stop")) == "One. Two. Thr"


def test_one_text_field_is_put_round_the_text() -> None:
    output = {"type": "object", "properties": {"draft": {"type": "string"}}}
    assert ask(TestModel(custom_output_text=" words \n"), output=output) == {"draft": "words"}


def test_without_the_library_the_error_names_the_extra() -> None:
    program = """
import asyncio, sys
sys.modules["pydantic_ai"] = None
import agenticaiframework
from agenticaiframework.actors import MissingExtra
from agenticaiframework.actors.agents.models import ModelRequest, run_model
try:
    asyncio.run(run_model(ModelRequest("Writer", "gpt-4", None, "x")))
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True
    )
    assert "'Writer'" in done.stdout
    assert install_command("llm") in done.stdout


def test_the_local_model_is_never_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def here(server: LocalServer) -> Endpoint:
        return Endpoint(local.url, "token-of-the-local-server")

    monkeypatch.setattr(LocalServer, "endpoint", here)
    with (
        provider(lambda body: "from here") as local,
        provider(lambda body: "caught") as proxy,
    ):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask("local") == "from here"
        assert proxy.seen == []
        assert local.keys == ["Bearer token-of-the-local-server"]


def test_a_toolset_of_a_wrapped_agent_that_is_filled_while_it_runs_is_asked() -> None:
    later: FunctionToolset[Any] = FunctionToolset()

    def begin() -> str:
        """Begin."""
        if "end" not in later.tools:
            later.add_function(end)
        return "begun"

    def end() -> str:
        """End."""
        return "ended"

    async def model(messages: Any, info: Any) -> ModelResponse:
        offered = [each.name for each in info.function_tools]
        said = sum(isinstance(each, ModelResponse) for each in messages)
        if said < 2:
            return ModelResponse([ToolCallPart(offered[-1], {})])
        return ModelResponse([TextPart(" ".join(offered))])

    theirs = PydanticAgent(FunctionModel(model), tools=[begin], toolsets=[later])

    async def main() -> None:
        async with ActorSystem():
            assert await Agent("desk", handler=theirs).ask("Go") == "begin end"

    asyncio.run(main())
