"""Which library an object is from, by the names of its classes, and the handler that runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from agenticaiframework.actors import AdaptedHandler, AgentDefinitionError

from .crew import CrewHandler
from .functions import tool_handler
from .langchain import RunnableHandler
from .langgraph import GraphHandler
from .openai_agents import OpenAIAgentHandler

_ADAPTERS: Final[Mapping[tuple[str, str], Callable[[str, Any], Callable[[Any], Any]]]] = {
    ("langgraph", "Pregel"): GraphHandler,
    ("langgraph", "RemoteGraph"): GraphHandler,
    ("langchain_core", "Runnable"): RunnableHandler,
    ("agents", "Agent"): OpenAIAgentHandler,
    ("crewai", "Crew"): CrewHandler,
    ("pydantic_ai", "Tool"): tool_handler,
    ("mcp", "Tool"): tool_handler,
    ("fastmcp", "FunctionTool"): tool_handler,
}
"""What runs an object, by the first part of the module and the name of one of its classes."""

_INSTEAD: Final[Mapping[tuple[str, str], str]] = {
    ("langgraph", "StateGraph"): "is a graph that is not compiled: handler={it}.compile()",
    (
        "pydantic_ai",
        "AbstractToolset",
    ): "is a set of tools: Agent({name!r}, model=..., tools=[{it}])",
    ("mcp_types", "Tool"): "describes a tool, and its server runs it: "
    "Agent({name!r}, model=..., tools=[McpServer(..., tools=[{tool!r}])])",
    ("mcp", "ClientSession"): "is a connection to a server: "
    "Agent({name!r}, model=..., tools=[McpServer(...)])",
    ("mcp", "MCPServer"): "is a server with tools: Agent({name!r}, model=..., tools=[{it}])",
    ("mcp", "FastMCP"): "is a server with tools: Agent({name!r}, model=..., tools=[{it}])",
    ("fastmcp", "FastMCP"): "is a server with tools: Agent({name!r}, model=..., tools=[{it}])",
    (
        "agents",
        "FunctionTool",
    ): "is a tool of an OpenAI agent: handler=the function that it was made of",
    ("pydantic_ai", "Model"): "is a model: Agent({name!r}, model={it})",
    ("autogen_agentchat", "BaseChatAgent"): "is asked with run: "
    "handler=your async function of the payload that awaits {it}.run(task=payload)",
}
"""What is known and cannot be a handler, with the line that works."""

_VERBS: Final = (
    *("ainvoke", "arun", "aquery", "achat", "acall", "run_async", "invoke", "run", "query"),
    *("chat", "call", "kickoff", "predict", "generate", "complete", "forward", "execute", "handle"),
    *("process", "answer", "ask"),
)
"""Names of methods that answer, the likeliest first."""


def adapt_handler(name: str, handler: Any) -> AdaptedHandler | None:
    """Return what runs *handler*, an object of another library, for the agent *name*; None: it is none.

    Raises `AgentDefinitionError` with the line that works for what cannot be one.
    """
    given_class = isinstance(handler, type)
    for key in _classes(handler if given_class else type(handler)):
        adapter = _ADAPTERS.get(key)
        instead = _INSTEAD.get(key)
        if adapter is None and instead is None:
            continue
        if given_class:
            raise _refused(
                name, f"is a class of {key[0]}, not an object", f"{handler.__name__}(...)"
            )
        if instead is not None:
            raise _refusal(name, handler, instead)
        assert adapter is not None
        return AdaptedHandler(adapter(name, handler), waits=adapter is not tool_handler)
    if given_class and _answers(handler):
        raise _refused(
            name, "is a class whose objects are called, not one of them", f"{handler.__name__}()"
        )
    if callable(handler):
        return None
    raise _not_callable(name, handler)


def _classes(of: type) -> Iterator[tuple[str, str]]:
    """Yield the first part of the module and the name of each class that *of* is made from."""
    for base in of.__mro__:
        # The names of parametrised models have their parameters: BaseLanguageModel[AIMessage].
        yield base.__module__.partition(".")[0], base.__name__.partition("[")[0]


def _answers(cls: type) -> bool:
    """Tell whether *cls* itself says how its objects are called."""
    return any("__call__" in vars(base) for base in cls.__mro__ if base.__module__ != "builtins")


def _refusal(name: str, handler: Any, instead: str) -> AgentDefinitionError:
    it = type(handler).__name__.lower()
    tool = getattr(handler, "name", "its name")
    told = instead.format(name=name, it=it, tool=tool)
    return AgentDefinitionError(f"the handler of agent {name!r}, {_short(handler)}, {told}")


def _refused(name: str, problem: str, line: str) -> AgentDefinitionError:
    return AgentDefinitionError(
        f"the handler of agent {name!r} {problem}. Form that works: Agent({name!r}, handler={line})"
    )


def _not_callable(name: str, handler: Any) -> AgentDefinitionError:
    kind = cast("type[Any]", type(handler))
    it = kind.__name__.lower()
    told = f"the handler of agent {name!r} must be a function of the payload, not {_short(handler)}"
    methods = [verb for verb in _VERBS if callable(getattr(kind, verb, None))]
    if not methods:
        return AgentDefinitionError(
            f"{told}. Form that works: Agent({name!r}, handler=function), where "
            "function(payload) returns the answer, plain or async"
        )
    method = methods[0]
    line = f"{it}.{method}"
    if not takes_payload(getattr(kind, method), bound=False):
        line = f"lambda payload: {it}.{method}(**payload)"
    return AgentDefinitionError(f"{told}. Form that works: Agent({name!r}, handler={line})")


def takes_payload(function: Callable[..., Any], *, bound: bool = True) -> bool:
    """Tell whether *function* can be called with a payload alone; True where that cannot be known."""
    try:
        signature = inspect.signature(function)
        signature.bind(*(() if bound else (None,)), None)
    except ValueError:
        return True
    except TypeError:
        return False
    return True


def _short(handler: object) -> str:
    text = repr(handler)
    return text if len(text) <= 80 else f"<{type(handler).__module__}.{type(handler).__qualname__}>"


__all__ = ["adapt_handler", "takes_payload"]
