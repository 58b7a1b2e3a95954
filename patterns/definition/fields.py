"""Fields that several definitions have: a target, a condition, a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias, cast

import pykka
from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from agenticaiframework.actors import (
    ActorRef,
    BadUsageLimits,
    WorkLimits,
    read_usage_limits,
    shown,
)

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


def compile_verdict(condition: str | Test) -> Test:
    """Return *condition* as a function that tells whether work is good enough.

    An expression says so with the boolean true alone: the text ``"false"``, as models and forms have
    it, approves nothing. A function is the program's own, and means what it returns.
    """
    if not isinstance(condition, str):
        return condition
    expression = compile_expression(condition)
    return lambda scope: expression.evaluate(scope) is True


Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A time in seconds, more than none."""


def _read_limits(value: Any) -> WorkLimits | None:
    try:
        return read_usage_limits("a definition", value)
    except BadUsageLimits as error:
        raise ValueError(error.problem) from None


def _dump_limits(value: WorkLimits | None) -> dict[str, Any] | None:
    return None if value is None else value.to_dict()


LimitsField: TypeAlias = Annotated[
    Any,  # what may be given, for those who check types; what is read is WorkLimits or None
    PlainValidator(_read_limits),
    PlainSerializer(_dump_limits),
    WithJsonSchema({"type": "object"}),
]
"""What a piece of work may spend on models: pydantic-ai's `UsageLimits`, or a mapping."""
