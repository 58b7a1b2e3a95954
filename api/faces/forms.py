"""What goes into a target and what comes out of it: JSON schemas, and values read by them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from agenticaiframework.actors import WrongUse

from .failures import CallFailed, FailureKind

INPUT: Final = "input"
"""Under which name a value stands that is not an object by itself."""

RESULT: Final = "result"
"""Under which name an answer stands that is not an object by itself."""

Schema = Mapping[str, Any]


class InputForm(Protocol):
    """How what is asked is given."""

    @property
    def schema(self) -> Schema:
        """The JSON schema of an object: its arguments."""
        ...

    def read(self, arguments: Mapping[str, Any]) -> Any:
        """Return the payload that *arguments* are; raises `CallFailed`."""
        ...

    def read_text(self, text: str) -> Any:
        """Return the payload that *text* of a conversation is; raises `CallFailed`."""
        ...


@dataclass(frozen=True, slots=True)
class WholeInput:
    """A payload of any kind, or a text, as the one argument ``input``."""

    text: bool

    @property
    def schema(self) -> Schema:
        """The JSON schema of an object: its arguments."""
        return _wrapped(INPUT, {"type": "string"} if self.text else {})

    def read(self, arguments: Mapping[str, Any]) -> Any:
        """Return the payload that *arguments* are; raises `CallFailed`."""
        _check_names(arguments, {INPUT}, {INPUT})
        value = arguments[INPUT]
        if self.text and not isinstance(value, str):
            raise _bad(f"{INPUT!r} is not a text")
        return value

    def read_text(self, text: str) -> Any:
        """Return *text*."""
        return text


class TypedInput:
    """A payload of a type that pydantic knows, validated; an object's fields are the arguments."""

    def __init__(self, kind: Any) -> None:
        self._adapter = _adapter(kind, "input")
        found = self._adapter.json_schema()
        self._object = found.get("type") == "object" or _refers_to_object(found)
        self.schema: Schema = found if self._object else _wrapped(INPUT, found)
        self._texts = _only_text(found) if self._object else None

    def read(self, arguments: Mapping[str, Any]) -> Any:
        """Return the payload that *arguments* are; raises `CallFailed`."""
        if self._object:
            return self._validated(dict(arguments))
        _check_names(arguments, {INPUT}, {INPUT})
        return self._validated(arguments[INPUT])

    def read_text(self, text: str) -> Any:
        """Return *text*, the object that it is as JSON, or the one whose only needed field it is."""
        if not self._object:
            try:
                return self._adapter.validate_python(text)
            except ValidationError:
                return self._validated(_json_or(text))
        return self._validated(_fields_of(text, self._texts))

    def _validated(self, value: Any) -> Any:
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or INPUT
            raise _bad(f"{where!r}: {first['msg']}") from None


@dataclass(frozen=True, slots=True)
class FieldsInput:
    """An object of which some fields are known; the target checks it."""

    schema: Schema

    def read(self, arguments: Mapping[str, Any]) -> Any:
        """Return *arguments*; raises `CallFailed` if one is missing."""
        _check_names(arguments, set(self.schema["required"]), None)
        return dict(arguments)

    def read_text(self, text: str) -> Any:
        """Return the object that *text* is as JSON, or the one whose only needed field it is."""
        return self.read(_fields_of(text, _only_text(self.schema)))


def sendable(value: Any) -> Any:
    """Return data as data that JSON can say in UTF-8: other numbers as texts, other characters as ``?``."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return _sendable(value)
    return value


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {_sendable(key): _sendable(each) for key, each in entries.items()}
    return (
        [_sendable(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value
    )


def as_object(value: Any) -> dict[str, Any]:
    """Return an answer, as data, as an object: itself, or under the name `RESULT`."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {RESULT: value}


def as_text(value: Any) -> str:
    """Return an answer, as data, for reading: itself if it is a text, else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class OutputForm:
    """What answers are like, as the one who serves the target has said."""

    def __init__(self, kind: Any) -> None:
        self._adapter = _adapter(kind, "output")
        found = self._adapter.json_schema(mode="serialization")
        is_object = found.get("type") == "object" or _refers_to_object(found)
        self.schema: Schema = found if is_object else _wrapped(RESULT, found)

    def read(self, value: Any) -> Any:
        """Return an answer as data; raises `CallFailed` if it does not fit."""
        try:
            fitting = self._adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or RESULT
            said = f"The answer does not fit what is promised: {where!r}: {first['msg']}."
            raise CallFailed(FailureKind.FAILED, said) from None
        return self._adapter.dump_python(fitting, mode="json")


def read_output_form(kind: Any) -> OutputForm | None:
    """Return what answers of the type *kind* are like; None if there is nothing to say."""
    return None if kind is None or kind is Any else OutputForm(kind)


def object_schema(properties: Mapping[str, Any], required: list[str], *, more: bool) -> Schema:
    """Return the JSON schema of an object with these *properties*; with *more* than those, if allowed."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": more,
    }


def _wrapped(name: str, schema: Any) -> Schema:
    inner = dict(schema)
    definitions = inner.pop("$defs", None)
    found = dict(object_schema({name: inner}, [name], more=False))
    if definitions is not None:
        found["$defs"] = definitions
    return found


def _adapter(kind: Any, what: str) -> TypeAdapter[Any]:
    try:
        adapter = TypeAdapter[Any](kind)
        adapter.json_schema()
    except (PydanticUserError, TypeError, ValueError) as error:
        raise WrongUse(
            f"{what}={kind!r} is not a type that has a JSON schema: give a pydantic model, "
            f"a dataclass, a TypedDict, or a type such as str ({str(error).partition('. ')[0]})"
        ) from None
    return adapter


def _refers_to_object(schema: Schema) -> bool:
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    return bool(reference) and schema.get("$defs", {}).get(reference, {}).get("type") == "object"


def _only_text(schema: Schema) -> str | None:
    """Return the name of the only needed field, if that is a text; else of the only field that is one."""
    properties: dict[str, Any] = schema.get("properties", {})
    needed: list[str] = list(schema.get("required", ())) or list(properties)
    if len(needed) == 1 and properties.get(needed[0], {}).get("type", "string") == "string":
        return needed[0]
    return None


def _fields_of(text: str, only: str | None) -> dict[str, Any]:
    value = _json_or(text)
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if only is not None:
        return {only: text}
    raise _bad("the text has to be a JSON object with the fields that are asked for")


def _json_or(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_names(arguments: Mapping[str, Any], required: set[str], known: set[str] | None) -> None:
    missing = sorted(required - arguments.keys())
    if missing:
        raise _bad(f"{missing[0]!r} is missing")
    strange = [] if known is None else sorted(arguments.keys() - known)
    if strange:
        raise _bad(f"{strange[0]!r} is not known: there is {', '.join(sorted(known or ()))}")


def _bad(problem: str) -> CallFailed:
    return CallFailed(FailureKind.BAD_INPUT, f"The input does not fit: {problem}.")
