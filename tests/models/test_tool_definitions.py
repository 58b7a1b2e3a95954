"""Tools are checked when their agent is made: what cannot be one is refused with the form that works."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loguru import logger

pytest.importorskip("pydantic_ai")

import pydantic_ai
from pydantic_ai import RunContext, Tool
from pydantic_ai.native_tools import WebSearchTool
from pydantic_ai.toolsets import FunctionToolset

from agenticaiframework.actors import Agent, AgentDefinitionError
from agenticaiframework.models import ToolDefinitionError, tool
from agenticaiframework.models.tools.building import build_tools


def search(query: str) -> str:
    """Search."""
    return query


def rows(connection: sqlite3.Connection, table: str) -> str:
    """Read a table."""
    return table


def second(query: str, ctx: RunContext) -> str:
    """Take the context last."""
    return query


def unresolved(of: Elsewhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Take what is not there."""
    return str(of)


def pages(query: str) -> Iterator[str]:
    """Find pages."""
    yield query


def untyped(query, limit=3):  # type: ignore[no-untyped-def]
    return query


def make(*tools: Any) -> Agent:
    return Agent("user", model="scripted", tools=list(tools))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("search", "find_agent(name)"),
        (3, "3 is not a tool"),
        ({"name": "search"}, "a mapping is not a tool"),
        (str, "is a class"),
        (lambda query: query, "tool(fn, name='...')"),
        (rows, "'connection' of the tool 'rows'"),
        (second, "it comes first"),
        (pages, "return a list"),
        (unresolved, "TYPE_CHECKING"),
        (pydantic_ai.Agent("test", name="ann"), "tools=[Agent('ann', that_agent)]"),
        (tool(search, input_type=str), "by its own annotations"),
        (tool(FunctionToolset([search]), name="x"), "several tools"),
        (tool(WebSearchTool(), timeout=3), "called by the provider"),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0][:30],
)
def test_what_cannot_be_a_tool_is_refused_when_the_agent_is_made(given: Any, says: str) -> None:
    with pytest.raises(ToolDefinitionError) as refused:
        make(given)
    assert says in str(refused.value)
    assert "tools=[search, tool(fetch_page, timeout=10), researcher]" in str(refused.value)
    assert isinstance(refused.value, AgentDefinitionError)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeout": 0}, "seconds above 0"),
        ({"timeout": "5"}, "seconds above 0"),
        ({"timeout": True}, "seconds above 0"),
        ({"retries": -1}, "0 or more"),
        ({"requires_approval": "yes"}, "True or False"),
        ({"on_error": "ignore"}, "'tell_model' or 'fail'"),
        ({"name": "a b"}, "cannot be the name"),
        ({"name": ""}, "cannot be the name"),
        ({"description": 3}, "is a text"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ToolDefinitionError) as refused:
        tool(search, **options)
    assert says in str(refused.value)
    assert "'search'" in str(refused.value)


@pytest.mark.parametrize(
    "tools",
    [
        (search, search),
        (search, Tool(search)),
        (search, Agent("search", handler=lambda payload: payload)),
        (search, FunctionToolset([search])),
        (Agent("a b", handler=search), Agent("a_b", handler=search)),
    ],
    ids=["functions", "a tool", "an agent", "a toolset", "names that come to the same"],
)
def test_two_tools_of_one_name_are_refused(tools: tuple[Any, ...]) -> None:
    with pytest.raises(ToolDefinitionError) as refused:
        make(*tools)
    assert "two tools of the name" in str(refused.value)


def test_an_agent_is_not_its_own_tool() -> None:
    with pytest.raises(ToolDefinitionError):
        make(Agent("user", handler=search))


def test_a_tool_in_a_tool_says_all_in_one_place() -> None:
    once = tool(search, timeout=3)
    assert tool(once) is once
    with pytest.raises(ToolDefinitionError):
        tool(once, retries=2)


def test_a_decorated_function_can_still_be_called() -> None:
    @tool(timeout=3)
    def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    assert shout("hey") == "HEY"
    assert shout.timeout == 3


@pytest.fixture
def said() -> Iterator[list[str]]:
    records: list[str] = []
    sink = logger.add(records.append, level="WARNING", format="{message}")
    yield records
    logger.remove(sink)


def test_what_a_model_can_hardly_make_sense_of_is_told_once(said: list[str]) -> None:
    for _ in range(2):
        Agent("puzzled", model="scripted", tools=[untyped, search])
    (record,) = said
    assert "no description (write a docstring)" in record
    assert "'query' as anything (give it a type)" in record
    assert "'limit' as anything" in record


def test_a_description_that_is_given_takes_the_place_of_the_docstring(said: list[str]) -> None:
    def silent(query: str) -> str:
        return query

    Agent("pleased", model="scripted", tools=[tool(silent, description="Search")])
    assert said == []


def test_marks_for_approval_are_passed_on() -> None:
    built = build_tools(
        "user",
        [
            tool(search, requires_approval=True),
            Tool(rows_of, requires_approval=True),
            tool(Agent("helper", handler=search), requires_approval=True),
        ],
    )
    (guarded,) = built.toolsets
    tools: dict[str, Tool[Any]] = guarded.wrapped.tools  # type: ignore[attr-defined]
    assert {name: each.requires_approval for name, each in tools.items()} == {
        "search": True,
        "rows_of": True,
        "helper": True,
    }


def rows_of(table: str) -> str:
    """Read a table."""
    return table


def test_native_tools_are_the_providers() -> None:
    built = build_tools("user", [search, WebSearchTool()])
    assert len(built.toolsets) == 1
    (capability,) = built.capabilities
    assert [type(each) for each in capability.get_native_tools()] == [WebSearchTool]


def test_a_tool_of_pydantic_ai_is_not_changed() -> None:
    given: Tool[Any] = Tool(search, timeout=5, max_retries=3)
    function: Callable[..., Any] = given.function
    build_tools("user", [tool(given, timeout=1, name="find", retries=0)])
    assert (given.name, given.timeout, given.max_retries, given.function) == (
        "search",
        5,
        3,
        function,
    )


def test_making_an_agent_with_tools_imports_no_model_library() -> None:
    code = """
import sys
from agenticaiframework import Agent
from agenticaiframework.models import McpServer, tool

def search(query: str) -> str:
    "Search."
    return query

helper = Agent("helper", handler=search)
Agent("user", model="openai:gpt-4o-mini", tools=[search, tool(search, name="b"), helper, McpServer("uvx", "x")])
assert not {"pydantic_ai", "fastmcp", "mcp", "openai"} & set(sys.modules), "imported"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("given", [(search,), ()])
def test_an_option_that_there_is_not_is_refused_with_the_near_name(given: tuple[Any, ...]) -> None:
    with pytest.raises(ToolDefinitionError, match="Did you mean 'requires_approval'"):
        tool(*given, requires_aproval=True)  # type: ignore[call-overload]
