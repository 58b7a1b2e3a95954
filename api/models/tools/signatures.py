"""What a model sees of a function: read without any model library, when an agent is made.

What no model could call is refused then: a parameter without a form in JSON, an annotation that cannot
be read. What a model can call, but hardly well, is told once: no description, parameters without a
type.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, cast, get_origin, get_type_hints

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from agenticaiframework.actors import message_of

from .errors import ToolDefinitionError

_checked: Final[weakref.WeakKeyDictionary[Any, tuple[str, ...]]] = weakref.WeakKeyDictionary()
"""What was said of functions that have been checked; a function's signature does not change."""


def function_name(fn: Any) -> str:
    """Return the name of a function, of what a partial is of, or of a callable object."""
    while isinstance(fn, partial):
        fn = cast("partial[Any]", fn).func
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


def check_function(fn: Callable[..., Any], name: str) -> tuple[str, ...]:
    """Return what is missing for a model to call *fn* well, in words; raise for what it never can."""
    try:
        known = _checked.get(fn)
    except TypeError:  # it cannot be referred to weakly, or hashed
        return _check(fn, name)
    if known is None:
        known = _checked[fn] = _check(fn, name)
    return known


def _check(fn: Callable[..., Any], name: str) -> tuple[str, ...]:
    called = described_by(fn)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise ToolDefinitionError(
            f"the tool {name!r} yields, and a model reads one result; let it return a list, and send what "
            "is to be seen before with send_chunk(part)"
        )
    parameters = parameters_of(fn, name)
    missing: list[str] = []
    if not (inspect.getdoc(called) or "").strip():
        missing.append("no description (write a docstring)")
    for parameter, hint in parameters.items():
        if hint is inspect.Parameter.empty:
            missing.append(f"the parameter {parameter!r} as anything (give it a type)")
        else:
            check_hint(name, parameter, hint)
    return tuple(missing)


def described_by(fn: Any) -> Any:
    """Return what carries the docstring of *fn*: the function of a partial, the call of an object."""
    while isinstance(fn, partial):
        fn = cast("partial[Any]", fn).func
    return fn if inspect.isroutine(fn) else type(fn).__call__


def parameters_of(fn: Callable[..., Any], name: str) -> Mapping[str, Any]:
    """Return the types of the parameters that a model gives, by name; raise if they cannot be read."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError) as error:
        raise ToolDefinitionError(
            f"the tool {name!r} cannot be called by a model, because its parameters are not known "
            f"({message_of(error)}); give a function that calls it, with typed parameters"
        ) from error
    hints = hints_of(fn, name)
    found: dict[str, Any] = {}
    for index, parameter in enumerate(signature.parameters.values()):
        hint = hints.get(parameter.name, parameter.annotation)
        if _is_run_context(hint):
            if index:
                raise ToolDefinitionError(
                    f"the tool {name!r} takes its RunContext as {parameter.name!r}; it comes first: "
                    f"def {name}(ctx: RunContext, ...)"
                )
            continue
        found[parameter.name] = hint
    return found


def hints_of(fn: Any, name: str) -> Mapping[str, Any]:
    """Return the annotations of *fn*, resolved; raise if one names what is not there."""
    try:
        return get_type_hints(described_by(fn), include_extras=True)
    except Exception as error:
        raise ToolDefinitionError(
            f"the annotations of the tool {name!r} cannot be read ({message_of(error)}); import what they "
            "name at the top of its module, and not under TYPE_CHECKING only"
        ) from error


def _is_run_context(hint: Any) -> bool:
    kind = get_origin(hint) or hint
    return getattr(kind, "__name__", "") == "RunContext" and str(
        getattr(kind, "__module__", "")
    ).startswith("pydantic_ai")


def check_hint(name: str, parameter: str, hint: Any) -> None:
    try:
        TypeAdapter(hint).json_schema()
    except PydanticUserError as error:
        said = message_of(error).splitlines()[0]
        raise ToolDefinitionError(
            f"a model cannot give the parameter {parameter!r} of the tool {name!r}, which has no form in "
            f"JSON ({said}); let the function take plain values, models or dataclasses, and bind the "
            "rest with functools.partial, or take it from ctx.deps"
        ) from error


__all__ = [
    "check_function",
    "check_hint",
    "described_by",
    "function_name",
    "hints_of",
    "parameters_of",
]
