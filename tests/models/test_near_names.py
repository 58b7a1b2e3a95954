"""Slips in what an agent with a model is made of: told when it is given, with the name that was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.test import TestModel

from agenticaiframework import Agent
from agenticaiframework.actors import AgenticError
from agenticaiframework.models import History, McpServer, set_provider
from agenticaiframework.models.tools.mcp import OPTIONS


def made(**given: Any) -> Agent:
    return Agent("clerk", model=TestModel(), **given)


SLIPS: dict[str, tuple[Callable[[], Any], str]] = {
    "history": (lambda: History(max_mesages=4), "'max_messages'"),  # type: ignore[call-arg]
    "history as a mapping": (lambda: made(history={"expire_after": 4}), "'expires_after'"),
    "history by place": (lambda: History("sqlite:///a.db"), 'store="sqlite'),  # type: ignore[call-arg,misc]
    "a server": (lambda: McpServer("uvx", prefx="clock"), "'prefix'"),
    "an option of pydantic-ai's": (lambda: McpServer("uvx", read_timout=3), "'read_timeout'"),
    "a command": (lambda: McpServer(comand="uvx"), "'command'"),
    "tools of a server": (lambda: McpServer("uvx", tools="find"), "tools=['find'"),
    "a time": (lambda: McpServer("uvx", timeout=0), "above 0"),
    "an address": (lambda: McpServer(url="localhost:80/mcp"), "http://"),
    "an environment": (lambda: McpServer("uvx", env={"A": 1}), "texts to texts"),  # type: ignore[dict-item]
    "a setting": (lambda: made(model_settings={"temprature": 1}), "'temperature'"),
    "a provider's word": (lambda: made(model_settings={"stop": ["."]}), "'stop_sequences'"),
    "another one's word": (
        lambda: made(model_settings={"max_completion_tokens": 9}),
        "'max_tokens'",
    ),
    "a text for a number": (
        lambda: made(model_settings={"temperature": "hot"}),
        "temperature='hot', which is not a number",
    ),
    "several answers": (lambda: made(model_settings={"n": 2}), "one answer"),
    "an approval": (lambda: made(approve=True), "requires_approval=True"),
    "instructions": (lambda: made(instructions=5), "are a text, a function"),
    "a keyword of a schema": (
        lambda: made(output_schema={"type": "object", "propertes": {}}),
        "'properties'",
    ),
    "fields outside of a schema": (
        lambda: made(output_schema={"title": "string", "score": "integer"}),
        "outside of its properties",
    ),
    "typed fields outside of a schema": (
        lambda: made(output_schema={"score": {"type": "integer"}}),
        "outside of its properties",
    ),
    "a provider": (lambda: set_provider("house", base_ur="http://a/v1"), "'base_url'"),
    "servers": (lambda: made(mcp_servers=[]), "tools=[McpServer("),
    "the type of what tools find": (lambda: made(deps_type=int), "deps=..."),
    "handoffs": (lambda: made(handoffs=[]), "swarm"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_when_it_is_given(slip: str) -> None:
    make, meant = SLIPS[slip]
    with pytest.raises((AgenticError, TypeError)) as told:
        make()
    assert meant in str(told.value)


def test_what_a_server_takes_beside_its_own_is_what_pydantic_ai_takes() -> None:
    theirs = set(inspect.signature(MCPToolset).parameters) - {"client", "init_timeout", "headers"}
    assert theirs == OPTIONS


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"title": "Report", "description": "Whatever fits."},
        {"type": "object", "properties": {"propertes": {"type": "string"}}},
        {"type": "string", "x-order": 1},
        {"const": 1},
        {"properties": {"title": {"type": "string"}}},
    ],
)
def test_schemas_that_say_what_they_mean_are_taken(schema: dict[str, Any]) -> None:
    assert made(output_schema=schema).name == "clerk"


def test_settings_of_one_provider_and_functions_are_taken() -> None:
    assert made(model_settings={"openai_reasoning_effort": "low", "temperature": 0})
    assert made(model_settings=lambda ctx: {"temperature": 0.2})
    assert made(instructions=["Be brief.", lambda: "And kind."])


def test_the_class_of_pydantic_ais_agents_is_no_handler() -> None:
    with pytest.raises(AgenticError, match=r"handler=Agent\('openai") as told:
        Agent("clerk", handler=PydanticAgent)
    assert "the class of pydantic-ai's agents" in str(told.value)
