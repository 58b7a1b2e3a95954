"""How a payload becomes a prompt, and how an answer comes to have the shape that was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from pydantic_core import PydanticSerializationError, to_jsonable_python

from agenticaiframework.actors import AgenticError, as_data, message_of


def render_prompt(payload: Any) -> str:
    """Return *payload* as the text that a model reads.

    Text stays as it is. A mapping becomes a line (or a paragraph) a field, because small models
    read that better than JSON; empty fields are left out. Anything else becomes JSON. Raises
    `UnsendablePayload` for what has no such form.
    """
    if isinstance(payload, str):
        return payload
    if isinstance(payload, Mapping):
        fields = cast(Mapping[object, object], payload)
        return "\n".join(
            f"{field_title(key)}: {_plain(value)}"
            for key, value in fields.items()
            if value is not None
        )
    return _plain(payload)


def field_title(key: object) -> str:
    """Return *key*, the name of a field, as the beginning of a line."""
    return str(key).replace("_", " ").capitalize()


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    inner = _only_result(value)
    return _json(value) if inner is None else _plain(inner)


def _only_result(value: object) -> object:
    """Return what stands in the mapping ``{"result": ...}``, which is put round an answer of text."""
    if not isinstance(value, Mapping):
        return None
    fields = cast(Mapping[object, object], value)
    return fields["result"] if set(fields) == {"result"} else None


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_as_json)
    except UnsendablePayload:
        raise
    except RecursionError as error:
        raise UnsendablePayload(value, "it contains itself, or is nested too deep") from error
    except (TypeError, ValueError) as error:
        raise UnsendablePayload(value, message_of(error)) from error


def _as_json(value: object) -> Any:
    """Return what stands in JSON for *value*. Raises `UnsendablePayload`: never the text of a repr."""
    if isinstance(value, BaseException):
        return as_data(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise UnsendablePayload(cast("object", value), "bytes have no type")
    if isinstance(value, Path):
        raise UnsendablePayload(value, "a path is not read")
    to_dict = getattr(value, "to_dict", None)
    if callable(to_dict) and not isinstance(value, type):
        return to_dict()
    try:
        return to_jsonable_python(value, fallback=_no_form, serialize_unknown=False)
    except PydanticSerializationError as error:
        raise UnsendablePayload(value, message_of(error)) from error


def _no_form(value: object) -> Any:
    if isinstance(value, BaseException):
        return as_data(value)
    raise UnsendablePayload(value, "it has no form in JSON")


class UnsendablePayload(AgenticError, TypeError):
    """A payload, or something in it, that cannot reach a model as what it is. *value* is that.

    It is the failure of one request: the agent is well.
    """

    expected = True

    def __init__(self, value: object, why: str) -> None:
        super().__init__(
            f"A {type(value).__qualname__} cannot be sent to a model: {why}. A payload is text, "
            "numbers, lists, mappings, dataclasses, pydantic models; for images, audio and documents "
            "BinaryContent(data, media_type='image/png'), (data, 'image/png') or ImageUrl(url) of "
            "pydantic-ai, alone or in a list with text; BinaryContent.from_path(path) reads a file."
        )
        self.value = value


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
    return name if field.get("type") == "string" and field.keys() <= _FREE else None


_FREE: Final = frozenset({"type", "title", "description", "examples"})
"""What a schema may say of a field of free text: nothing that a text could break."""
