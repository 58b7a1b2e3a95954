"""Functions as tools of pydantic-ai: each call in an actor of its own."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from agenticaiframework.actors import is_coroutine_function

from .calls import BlockingToolCall, ToolCall, call_apart
from .signatures import described_by, hints_of

if TYPE_CHECKING:
    from pydantic_ai import Tool


def apart(fn: Callable[..., Any], name: str) -> Callable[..., Awaitable[Any]]:
    """Return *fn* as an ``async`` function of the same signature, whose calls are actors."""
    kind = ToolCall if is_coroutine_function(fn) else BlockingToolCall

    async def call(*args: Any, **kwargs: Any) -> Any:
        return await call_apart(kind, name, partial(fn, *args, **kwargs))

    if inspect.isroutine(fn):
        functools.update_wrapper(call, fn)
    else:
        dress(call, name, described_by(fn).__doc__, inspect.signature(fn), hints_of(fn, name))
    return call


def dress(call: Any, name: str, doc: str | None, signature: inspect.Signature, hints: Any) -> None:
    """Give *call* the name, the docstring and the signature that a model is to see."""
    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    call.__signature__ = signature
    call.__annotations__ = {
        key: hints[key] for key in (*signature.parameters, "return") if key in hints
    }


def function_tool(fn: Callable[..., Any], name: str) -> Tool[Any]:
    """Return *fn* as a tool of pydantic-ai."""
    from pydantic_ai import Tool

    return Tool(apart(fn, name), name=name)


def tool_apart(tool: Tool[Any]) -> Tool[Any]:
    """Return a copy of a tool of pydantic-ai, as it was made, but that its calls are actors."""
    copied = copy.copy(tool)
    fn = cast("Callable[..., Any]", tool.function)
    called = apart(fn, tool.name)
    copied.function = called
    copied.function_schema = dataclasses.replace(
        tool.function_schema, function=called, is_async=True
    )
    return copied


__all__ = ["apart", "dress", "function_tool", "tool_apart"]
