"""The written forms of definitions: plain data, JSON and YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, cast

from pydantic import BaseModel

from ...definition.definition import Definition
from ...definition.errors import DefinitionError
from ...execution.pattern import OrchestrationPattern
from ...vocabulary.target import target_name
from .parsing import load_yaml
from .shapes import Shape


def plain_form(definition: BaseModel) -> dict[str, Any]:
    """Return the fields that were given, as data that JSON and YAML can write.

    Raises `DefinitionError` for a value that has no such form.
    """
    return cast("dict[str, Any]", _written(definition, type(definition).__name__))


def _written(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value.value if isinstance(value, Enum) else value
    if callable(getattr(value, "ask", None)) and not isinstance(value, OrchestrationPattern):
        return target_name(value)  # a team has a form of its own, which has no place here
    if isinstance(value, Shape):
        return value.to_dict()
    to_dict = getattr(value, "to_dict", None)
    if callable(to_dict) and not isinstance(value, Definition):
        return _written(to_dict(), where)
    if isinstance(value, BaseModel):
        return {
            name: _written(getattr(value, name), f"{where}.{name}")
            for name in type(value).model_fields
            if name in value.model_fields_set
        }
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {str(key): _written(item, f"{where}.{key}") for key, item in fields.items()}
    if isinstance(value, (list, tuple)):
        items = cast("list[Any] | tuple[Any, ...]", value)
        return [_written(item, f"{where}[{n}]") for n, item in enumerate(items)]
    if isinstance(value, type):
        return value.__name__
    if callable(value) or isinstance(getattr(value, "name", None), str):
        return target_name(value)
    raise DefinitionError(where, [f"{value!r} cannot be written down; give plain data or a name"])


def dump_json(definition: BaseModel, indent: int | None) -> str:
    """Return *definition* as JSON."""
    return json.dumps(plain_form(definition), indent=indent, ensure_ascii=False)


def dump_yaml(definition: BaseModel) -> str:
    """Return *definition* as YAML. Needs the extra ``yaml``."""
    text: str = load_yaml().safe_dump(plain_form(definition), sort_keys=False, allow_unicode=True)
    return text
