"""A tool of another library as a handler: the payload is its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import ValidationError, validate_call

from agenticaiframework.actors import AgentDefinitionError, RequestRejected


def function_of(tool: Any) -> Callable[..., Any] | None:
    """Return the function of a tool object, under whatever name it has it."""
    for attribute in ("fn", "function", "func"):
        function = getattr(tool, attribute, None)
        if callable(function):
            return cast("Callable[..., Any]", function)
    return None


def tool_handler(name: str, tool: Any) -> Callable[[Any], Any]:
    """Return what calls the function of *tool* with the payload's fields, checked by their types.

    A payload that is not a mapping is its one argument. One that does not fit is rejected. Raises
    `AgentDefinitionError` if the tool is called with a context of its own library.
    """
    function = function_of(tool)
    context = getattr(tool, "takes_ctx", False) or getattr(tool, "context_kwarg", None)
    if function is None or context:
        raise AgentDefinitionError(
            f"the handler of agent {name!r} is the tool {getattr(tool, 'name', tool)!r}, which needs "
            f"what its library calls it with. Form that works: Agent({name!r}, model=..., tools=[tool])"
        )
    checked = validate_call(function)
    own_titles = {getattr(function, key, "") for key in ("__name__", "__qualname__")}
    parameters = list(inspect.signature(function).parameters)

    def called(payload: Any) -> Any:
        if isinstance(payload, Mapping):
            arguments = dict(cast("Mapping[str, Any]", payload))
        elif payload is None:
            arguments = {}
        else:
            arguments = {parameters[0]: payload} if parameters else {"payload": payload}
        try:
            return checked(**arguments)
        except ValidationError as error:
            # Of the function's own errors the title is that of what it has read.
            if error.title in own_titles:
                raise RequestRejected(
                    f"the arguments of agent {name!r} do not fit: {error}"
                ) from None
            raise

    if not inspect.iscoroutinefunction(function):
        return called

    async def awaited(payload: Any) -> Any:
        return await called(payload)

    return awaited
