"""The fields that several definitions have: targets, expressions and shapes, as they are written."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from ...definition.fields import read_target
from ...execution.pattern import OrchestrationPattern
from ...expressions.expression import compile_expression
from ...vocabulary.target import Target, target_name
from .shapes import Shape, read_shape


def _as_plain(value: Any) -> Any:
    """Return a target as definitions write it: its name, or a nested pattern's own definition."""
    return value.to_dict() if isinstance(value, OrchestrationPattern) else target_name(value)


TargetName: TypeAlias = Annotated[
    Target,
    PlainValidator(read_target),
    PlainSerializer(_as_plain),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]


def _read_expression(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"an expression is a text such as \"input.x == 'y'\", not {value!r}")
    compile_expression(value)
    return value


ExpressionText: TypeAlias = Annotated[
    str, PlainValidator(_read_expression), WithJsonSchema({"type": "string"})
]

ShapeField: TypeAlias = Annotated[
    Shape,
    PlainValidator(read_shape),
    PlainSerializer(Shape.to_dict),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
]
