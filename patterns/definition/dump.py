"""Definitions written as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard, cast

from .actor_target import ActorTarget
from .definition import Definition
from .errors import DefinitionError
from .registry import registered_kinds


def dump_definition(definition: Definition, what: str) -> dict[str, Any]:
    """Return the fields of *definition* that say something, as JSON and YAML can hold them."""
    data: dict[str, Any] = {}
    for name, field in type(definition).model_fields.items():
        value: Any = getattr(definition, name)
        if field.is_required() or value != field.get_default(call_default_factory=True):
            data[name] = _dump(value, f"{what}, {name}")
    return data


def _dump(value: object, where: str) -> Any:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Definition):
        return dump_definition(value, where)
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): _dump(item, f"{where}[{key!r}]") for key, item in items}
    if isinstance(value, (list, tuple)):
        sequence = cast("list[Any]", value)
        return [_dump(item, f"{where}[{index}]") for index, item in enumerate(sequence)]
    return _dump_object(value, where)


def _is_error(value: object) -> TypeGuard[type[BaseException]]:
    return isinstance(value, type) and issubclass(value, BaseException)


def _dump_object(value: object, where: str) -> Any:
    """Return what stands for *value*: an error's or an agent's name, a nested definition."""
    if _is_error(value):
        return value.__name__
    to_dict = getattr(value, "to_dict", None)
    name = getattr(value, "name", None)
    asked = isinstance(name, str) and hasattr(value, "ask") and not isinstance(value, ActorTarget)
    # Of what can be asked, only a pattern's own form is one that definitions read.
    if callable(to_dict) and (not asked or isinstance(value, tuple(registered_kinds().values()))):
        return to_dict()
    if asked:
        return name
    raise DefinitionError(
        where,
        [
            f"{value!r} cannot be written as data. Give an agent's name, or an expression, "
            "where a definition has to be saved"
        ],
    )
