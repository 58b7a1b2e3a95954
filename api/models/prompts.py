"""How a payload becomes a prompt, and how an answer comes to have the shape that was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast


def render_prompt(payload: Any) -> str:
    """Return *payload* as the text that a model reads.

    Text stays as it is. A mapping becomes a line (or a paragraph) a field, because small models
    read that better than JSON; empty fields are left out. Anything else becomes JSON.
    """
    if isinstance(payload, str):
        return payload
    if isinstance(payload, Mapping):
        fields = cast(Mapping[object, object], payload)
        return "\n".join(
            f"{_title(key)}: {_plain(value)}" for key, value in fields.items() if value is not None
        )
    return _plain(payload)


def _title(key: object) -> str:
    return str(key).replace("_", " ").capitalize()


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        fields = cast(Mapping[object, object], value)
        if set(fields) == {"result"}:
            return _plain(fields["result"])
    return json.dumps(value, ensure_ascii=False, default=str)


def only_text_field(schema: Mapping[str, Any] | None) -> str | None:
    """Return the name of *schema*'s field when it has just one, of free text; else None.

    Such an answer needs no JSON: the model writes text and the field's name is put round it.
    """
    if schema is None:
        return None
    properties = cast(Mapping[str, Mapping[str, Any]], schema.get("properties", {}))
    if len(properties) != 1:
        return None
    name, field = next(iter(properties.items()))
    free = field.get("type") == "string" and "enum" not in field and "pattern" not in field
    return name if free else None
