"""What an agent's answer has to look like, as a project file writes it, and as a JSON schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from agenticaiframework.actors import near_names
from agenticaiframework.models.content.json_schema import JsonSchema

_KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": "string"}},
}
_EXAMPLE: Final = "output: {category: [health, finance], reason: text}"


def read_output(value: object) -> dict[str, Any]:
    """Return the JSON schema that *value* stands for; raises ValueError that shows the form.

    A text is the name of the one text field that the answer becomes; a mapping names the fields,
    each with its kind or with the list of its possible values.

    >>> read_output("draft")["properties"]
    {'draft': {'type': 'string'}}
    >>> read_output({"category": ["health", "other"]})["properties"]
    {'category': {'type': 'string', 'enum': ['health', 'other']}}
    """
    if isinstance(value, str) and value.isidentifier():
        return _object({value: _KINDS["text"]})
    if isinstance(value, Mapping) and value:
        fields = cast(Mapping[object, object], value)
        return _object({_name(name): _field(str(name), kind) for name, kind in fields.items()})
    raise ValueError(f"{value!r} says no fields. For example: {_EXAMPLE}")


def read_output_type(value: object) -> str | dict[str, Any]:
    """Return *value*, ``module:Class`` or a JSON schema of an object; raises ValueError with both forms."""
    form = (
        "For example: output_type: my_types:Report, or a JSON schema: "
        "{type: object, properties: {draft: {type: string}}, required: [draft]}"
    )
    if isinstance(value, str):
        module, colon, name = value.partition(":")
        if colon and all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            return value
        raise ValueError(f"{value!r} is not a class. {form}")
    if isinstance(value, Mapping) and value:
        schema = dict(cast(Mapping[str, Any], value))
        if schema.get("type") != "object" or not isinstance(schema.get("properties"), Mapping):
            raise ValueError(f"is not the schema of an object with properties. {form}")
        JsonSchema(schema)
        return schema
    raise ValueError(f"{value!r} is not a type. {form}")


def _object(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: dict(schema) for name, schema in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def _name(name: object) -> str:
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"{name!r} cannot be a field's name. For example: {_EXAMPLE}")
    return name


def _field(name: str, kind: object) -> Mapping[str, Any]:
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"{name!r} has the unknown kind {kind!r}. {near_names(kind, _KINDS)}")
        return _KINDS[kind]
    if isinstance(kind, Sequence) and kind:
        choices = list(cast(Sequence[object], kind))
        if all(isinstance(choice, str) for choice in choices):
            return {"type": "string", "enum": choices}
    raise ValueError(
        f"{name!r} has neither a kind ({', '.join(_KINDS)}) nor a list of texts to choose from, "
        f"but {kind!r}. For example: {_EXAMPLE}"
    )
