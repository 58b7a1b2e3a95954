"""Shapes: the fields that an input or an output is declared to have.

A shape is what both a pydantic model and the mapping ``{"category": "text", "score": "number?"}``
come down to, so that definitions mean the same in Python, JSON and YAML. It serves twice: before
anything runs, references are checked against it, and while it runs, values are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError

from agenticaiframework.actors import near_names

KINDS: Final = ("any", "text", "number", "integer", "boolean", "list", "mapping")

_SPELLINGS: Final[Mapping[str, str]] = {
    "str": "text",
    "string": "text",
    "float": "number",
    "int": "integer",
    "bool": "boolean",
    "array": "list",
    "dict": "mapping",
    "object": "mapping",
} | {kind: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class FieldShape:
    """One field: its kind (one of `KINDS`), and whether it must be there."""

    kind: str = "any"
    required: bool = True

    def __str__(self) -> str:
        return self.kind if self.required else self.kind + "?"


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of a mapping. Fields that it does not name are allowed in values.

    ``model`` is the pydantic model that it was read from, if any; values are then checked by it.
    """

    fields: Mapping[str, FieldShape]
    model: type[BaseModel] | None = None

    def to_dict(self) -> dict[str, str]:
        """Return the shape as the mapping that reads back as it."""
        return {name: str(field) for name, field in self.fields.items()}

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with *value*, or None.

        >>> read_shape({"score": "number"}).problem({"score": "high"})
        "'score' is text, and should be number"
        """
        if not isinstance(value, Mapping):
            return f"it is {kind_of(value)}, and should be a mapping with {', '.join(self.fields)}"
        if self.model is not None:
            try:
                self.model.model_validate(dict(cast("Mapping[str, Any]", value)))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                return f"{where!r}: {first['msg']}"
            return None
        for name, field in self.fields.items():
            if name not in value:
                if field.required:
                    return self._without(name, cast("Mapping[str, Any]", value))
                continue
            found = kind_of(value[name])
            if not fits(found, field.kind) and not (found == "none" and not field.required):
                return f"{name!r} is {found}, and should be {field.kind}"
        return None

    def _without(self, name: str, value: Mapping[str, Any]) -> str:
        """Return what is wrong with *value*, which lacks *name*, with the key that was meant to be it.

        >>> read_shape({"word": "text"}).problem({"wrod": "hi"})
        "'word' is missing: unknown key 'wrod'; did you mean 'word'?"
        """
        unknown = [str(key)[:80] for key in islice(value, 100) if key not in self.fields]
        meant = [key for key in unknown if near_names(key, [name]).startswith("Did you mean")]
        if meant:
            return f"{name!r} is missing: unknown key {meant[0]!r}; did you mean {name!r}?"
        given = ", ".join(repr(str(key)[:80]) for key in islice(value, 8))
        more = ", ..." if len(value) > 8 else ""
        return f"{name!r} is missing; there is {given}{more}" if given else f"{name!r} is missing"


def read_shape(value: Any) -> Shape:
    """Return *value* as a shape; raises ValueError that shows the forms that work."""
    if isinstance(value, Shape):
        return value
    if isinstance(value, type) and issubclass(value, BaseModel):
        return _from_model(value)
    if isinstance(value, Mapping) and value:
        return Shape(
            {
                str(name): _read_field(str(name), kind)
                for name, kind in cast("Mapping[Any, Any]", value).items()
            }
        )
    raise ValueError(
        f"{value!r} is not a shape. Give a pydantic model, or its fields: "
        '{"category": "text", "score": "number?"}'
    )


def _read_field(name: str, kind: Any) -> FieldShape:
    if isinstance(kind, FieldShape):
        return kind
    written = kind.__name__ if isinstance(kind, type) else str(kind)
    optional = written.endswith("?")
    found = _SPELLINGS.get(written.removesuffix("?").strip().lower())
    if found is None:
        raise ValueError(
            f"{name!r} has the unknown kind {written!r}. One of {', '.join(KINDS)}; "
            "with '?' behind it where the field may be missing"
        )
    return FieldShape(found, not optional)


def _from_model(model: type[BaseModel]) -> Shape:
    schema = model.model_json_schema()
    required = set(cast("list[str]", schema.get("required", [])))
    properties = cast("dict[str, dict[str, Any]]", schema.get("properties", {}))
    return Shape(
        {
            name: FieldShape(_schema_kind(part), name in required)
            for name, part in properties.items()
        },
        model,
    )


def _schema_kind(part: Mapping[str, Any]) -> str:
    found = part.get("type")
    if found is None and "$ref" in part:
        return "any"
    return _SPELLINGS.get(str(found), "any")


def kind_of(value: Any) -> str:
    """Return which of `KINDS` a value is, ``"none"``, or its type's name.

    >>> kind_of(True), kind_of(3), kind_of("x"), kind_of(None)
    ('boolean', 'integer', 'text', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "mapping"
    if isinstance(value, (list, tuple)):
        return "list"
    return type(value).__name__


def fits(found: str, wanted: str) -> bool:
    """Tell whether a value of kind *found* may stand where *wanted* is declared."""
    return found == wanted or "any" in (found, wanted) or (found, wanted) == ("integer", "number")


PLAIN: Final = frozenset({dict, list, str, int, float, bool, type(None)})
"""The classes of most outputs, told at the price of one look-up."""


def foreign(value: Any) -> bool:
    """Tell whether *value*, a part of a definition, holds anything that JSON has no word for."""
    if isinstance(value, Mapping):
        return any(map(foreign, cast("Mapping[Any, Any]", value).values()))
    if isinstance(value, (list, tuple)):
        return any(map(foreign, cast("list[Any]", value)))
    return value.__class__ not in PLAIN


def plain(value: Any) -> Any:
    """Return a pydantic model or dataclass as a mapping of its fields, anything else as it is.

    So references reach the fields of what an agent returns. A stored run goes further, and sees the
    form that its store keeps at once.
    """
    if value.__class__ in PLAIN:
        return value
    if isinstance(value, BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value
