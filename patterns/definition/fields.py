"""Fields that several definitions have: a target, a condition, a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias, cast

import pykka
from pydantic import Field, PlainValidator, WithJsonSchema

from agenticaiframework.actors import ActorRef, shown

from ..expressions.expression import compile_expression
from ..vocabulary.target import Target
from .actor_target import ActorTarget
from .registry import read_pattern


def read_target(value: Any) -> Target:
    """Return *value* as something that stands where an agent can; raises ValueError otherwise.

    A mapping with ``"pattern"`` in it is the definition of a nested pattern.
    """
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("an agent's name is empty")
        return value
    if isinstance(value, Mapping):
        return read_pattern(cast(Mapping[str, Any], value))
    if isinstance(value, type):
        raise ValueError(f"{value.__name__} is a class. Give an instance: {value.__name__}(...)")
    if isinstance(value, ActorRef):
        return ActorTarget(cast("ActorRef[Any]", value))
    if isinstance(value, pykka.ActorRef):
        text = shown(cast(object, value), 60)
        raise ValueError(
            f"{text} runs outside of any ActorSystem, and asking it would block. Put it behind a "
            "function: lambda payload: ref.ask(payload)"
        )
    if callable(getattr(value, "ask", None)) or callable(value):
        return cast(Target, value)
    raise ValueError(
        f"{shown(value, 60)} cannot be asked. Give an agent's name, an Agent, a pattern, a team, or a "
        "function of the payload"
    )


TargetField: TypeAlias = Annotated[
    Target,
    PlainValidator(read_target),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]

Test: TypeAlias = Callable[[Mapping[str, Any]], bool]


def read_condition(value: Any) -> str | Test:
    """Return *value* as a condition: an expression that can be read, or a function of the scope."""
    if isinstance(value, str):
        compile_expression(value)
        return value
    if callable(value):
        return cast(Test, value)
    raise ValueError(
        f"a condition is an expression such as \"input.x == 'y'\", not {shown(value, 60)}"
    )


ConditionField: TypeAlias = Annotated[
    str | Test, PlainValidator(read_condition), WithJsonSchema({"type": "string"})
]


def compile_condition(condition: str | Test) -> Test:
    """Return *condition* as a function of the scope that tells whether it holds."""
    return compile_expression(condition).test if isinstance(condition, str) else condition


Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A time in seconds, more than none."""
