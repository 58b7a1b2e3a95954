"""The parameters of a model agent, from what a project file says of it."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from typing import Any, Final

from agenticaiframework.actors import Agent

from .agent_entry import AgentEntry, McpEntry, ToolEntry
from .handlers import Find, HandlerNotFound

AgentOf = Callable[[str], Agent]
"""Given the name of an agent of the file, returns that agent."""

_TOOLS: Final = "agenticaiframework.models.tools"
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def model_parameters(
    name: str, entry: AgentEntry, find: Find, agent_of: AgentOf, *, only_look: bool
) -> dict[str, Any]:
    """Return what an `Agent` with a model is given for *entry*, beside its model and instructions.

    With *only_look* what the file names is looked for, and none of it is used.
    """
    tools = [_tool(name, tool, find, agent_of, only_look) for tool in entry.tools]
    checks = [find(name, check, "guardrails") for check in entry.guardrails]
    output_type: Any = entry.output_type
    if isinstance(output_type, str):
        output_type = find(name, output_type, "output_type")
    history: Any = entry.history
    if isinstance(history, str):
        history = find(name, history, "history")
    if only_look:
        return {}
    given: dict[str, Any] = {
        "tools": [*tools, *(_server(name, *server) for server in entry.mcp.items())],
        "guardrails": checks,
        "fallback_models": list(entry.fallback_models),
        "model_settings": dict(entry.model_settings) or None,
        "usage_limits": _limits(entry),
        "retries": entry.retries,
        "history": history,
    }
    if isinstance(output_type, dict):
        given["output_schema"] = output_type
    elif output_type is not None:
        given["output_type"] = output_type
    return {key: value for key, value in given.items() if value not in (None, [])}


def _tool(name: str, entry: ToolEntry, find: Find, agent_of: AgentOf, only_look: bool) -> Any:
    if entry.agent is not None:
        what: Any = agent_of(entry.agent)
    else:
        what = find(name, entry.function or "", "tools")
    options = entry.options
    if only_look or not options:
        return what
    tools: Any = importlib.import_module(_TOOLS)
    return tools.tool(what, **options)


def _server(agent: str, name: str, entry: McpEntry) -> Any:
    where = f"mcp.{name}"

    def filled(field: str, text: str) -> str:
        return with_variables(agent, f"{where}.{field}", text)

    options: dict[str, Any] = {
        "env": {key: filled(f"env.{key}", text) for key, text in entry.env.items()},
        "headers": {key: filled(f"headers.{key}", text) for key, text in entry.headers.items()},
        "url": None if entry.url is None else filled("url", entry.url),
        "cwd": entry.cwd,
        "prefix": entry.prefix,
        "tools": entry.tools,
        "timeout": entry.timeout,
        # As the file has it: what stands in variables is not for errors and records.
        "name": entry.url or " ".join((str(entry.command), *entry.args)),
    }
    words = [filled("args", text) for text in entry.args]
    if entry.command is not None:
        words.insert(0, filled("command", entry.command))
    tools: Any = importlib.import_module(_TOOLS)
    return tools.McpServer(*words, **{key: value for key, value in options.items() if value})


def _limits(entry: AgentEntry) -> Any:
    if not entry.usage_limits:
        return None
    from pydantic_ai.usage import UsageLimits

    return UsageLimits(**entry.usage_limits)


def with_variables(agent: str, field: str, text: str) -> str:
    """Return *text* with the environment's variables in it; raises `HandlerNotFound` for one that is not set."""

    def value(found: re.Match[str]) -> str:
        variable = os.environ.get(found[1])
        if variable is None:
            why = f"needs the environment variable {found[1]}, which is not set"
            raise HandlerNotFound(agent, text, why, field)
        return variable

    return _VARIABLE.sub(value, text)
