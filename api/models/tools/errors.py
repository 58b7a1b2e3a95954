"""What is wrong with a tool, and what one raised."""

from __future__ import annotations

from typing import Any

from agenticaiframework.actors import (
    AgentDefinitionError,
    AgenticError,
    message_of,
)


class ToolDefinitionError(AgentDefinitionError):
    """A tool was given in a way that cannot work."""

    def __init__(self, problem: str) -> None:
        # Not its parent's: that shows how an agent is made, and here a tool is wrong.
        AgenticError.__init__(
            self,
            f"{problem}{'' if problem.endswith(('?', '.')) else '.'} For example: Agent('analyst', model='openai:gpt-4o-mini', "
            "tools=[search, tool(fetch_page, timeout=10), researcher])",
        )


class ToolCallFailed(AgenticError):
    """A tool that was declared with ``on_error="fail"`` failed, and with it the request.

    *tool* is its name; what it raised is the ``__cause__``. The agent itself is well.
    """

    expected = True

    def __init__(self, tool: str, error: BaseException) -> None:
        super().__init__(f"The tool {tool!r} failed: {told(error)}")
        self.tool = tool


class ToolExited(AgenticError):
    """A tool raised what is not an `Exception`: `SystemExit`, `GeneratorExit`, a class of its own.

    That ends this call, and neither the agent nor the program. What it raised is the ``__cause__``.
    """

    expected = True

    def __init__(self, tool: str, error: BaseException) -> None:
        text = message_of(error)
        said = f"{type(error).__name__}: {text}" if text else type(error).__name__
        super().__init__(f"The tool {tool!r} raised {said}, which ends this call alone")
        self.tool = tool

    @classmethod
    def of(cls, tool: str, error: BaseException) -> ToolExited:
        """Return the failure of *tool* that *error* is."""
        exited = cls(tool, error)
        exited.__cause__ = error
        return exited


class ToolTimeout(AgenticError, TimeoutError):
    """A tool took longer than its timeout. It has been cancelled, or left behind."""

    expected = True

    def __init__(self, tool: str, timeout_s: float) -> None:
        super().__init__(f"The tool {tool!r} took longer than its {timeout_s:g} s")
        self.tool = tool
        self.timeout_s = timeout_s


class UntellableResult(AgenticError, TypeError):
    """What a tool returned cannot be told to a model, because it has no form in JSON."""

    def __init__(self, tool: str, value: Any, why: BaseException) -> None:
        super().__init__(
            f"The tool {tool!r} returned a value of the type {type(value).__qualname__}, which has no "
            f"form in JSON ({message_of(why)}). Return text, numbers, lists, mappings, dataclasses or "
            "pydantic models."
        )
        self.tool = tool


def told(error: BaseException) -> str:
    """Return what a model is told of *error*: its class and message, without logins and keys.

    >>> told(KeyError("o-1"))
    "KeyError: 'o-1'"
    """
    text = message_of(error)
    if isinstance(error, AgenticError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


__all__ = [
    "ToolCallFailed",
    "ToolDefinitionError",
    "ToolExited",
    "ToolTimeout",
    "UntellableResult",
    "told",
]
