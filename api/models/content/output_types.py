"""What an agent's answers are checked against: its output type or schema, read when the agent is made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, Final, Union, cast, get_origin
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter

from agenticaiframework.actors import AgentDefinitionError, ModelSpec, shown

from .json_schema import JsonSchema, SchemaFault
from .schema_types import schema_type

_adapters: WeakKeyDictionary[ModelSpec, TypeAdapter[Any] | None] = WeakKeyDictionary()


def adapter_of(spec: ModelSpec) -> TypeAdapter[Any] | None:
    """Return what checks the answers of *spec*; None for what pydantic-ai alone can check."""
    try:
        return _adapters[spec]
    except KeyError:
        pass
    if spec.output_schema is not None:
        adapter: TypeAdapter[Any] | None = TypeAdapter(schema_type(spec.output_schema))
    else:
        plain = None if spec.output_type is None else plain_type(spec.output_type)
        adapter = None if plain is None else TypeAdapter(plain)
    _adapters[spec] = adapter
    return adapter


def json_schema_of(spec: ModelSpec) -> Mapping[str, Any] | None:
    """Return the JSON schema of the answers of *spec*; None for free text, and where there is none."""
    if spec.output_schema is not None:
        return JsonSchema(spec.output_schema).inlined()
    if spec.output_type is None or spec.output_type is str:
        return None
    adapter = adapter_of(spec)
    if adapter is None:
        return None
    return JsonSchema(adapter.json_schema()).inlined()


def plain_type(output: Any) -> Any:
    """Return *output*, as pydantic-ai takes it, as one type; None for what is not one.

    ``[A, B]`` is ``A | B``, and the marks round a type (`ToolOutput`, `NativeOutput`) come off.
    """
    mark = (type(output).__module__.partition(".")[0], type(output).__name__)
    if mark in _MARKS:
        inner = getattr(output, "output", None) or getattr(output, "outputs", None)
        return plain_type(inner)
    if isinstance(output, (list, tuple)):
        plain = [plain_type(each) for each in cast("Sequence[Any]", output)]
        return None if not plain or None in plain else Union[tuple(plain)]  # noqa: UP007
    if inspect.isroutine(output) or mark[0] == "pydantic_ai":
        return None
    return output


def is_object(output: Any) -> bool:
    """Tell whether answers of the type *output* are objects by themselves: it is a text, or a class with
    fields, which a model is asked for as it is."""
    plain: Any = plain_type(output)
    if plain is str:
        return True
    if not isinstance(plain, type) or get_origin(plain) is not None:
        return False
    names: set[str] = set(dir(plain))
    return is_dataclass(plain) or not names.isdisjoint(_WITH_FIELDS)


_WITH_FIELDS: Final = frozenset({"__pydantic_fields__", "__required_keys__"})
"""What models and typed dictionaries have."""

_MARKS: Final = frozenset(
    ("pydantic_ai", name) for name in ("ToolOutput", "NativeOutput", "PromptedOutput")
)


def check_output(spec: ModelSpec) -> None:
    """Raise `AgentDefinitionError` for an output type or schema that answers cannot be checked against."""
    name = spec.agent
    if spec.output_schema is not None:
        try:
            JsonSchema(spec.output_schema)
        except SchemaFault as fault:
            raise AgentDefinitionError(
                f"output_schema of agent {name!r} cannot be used: {fault}"
            ) from None
        return
    output = spec.output_type
    if isinstance(output, Mapping):
        raise AgentDefinitionError(
            f"output_type of agent {name!r} is a mapping; a JSON schema is given as "
            "output_schema={'type': 'object', ...}"
        )
    if isinstance(output, str):
        raise AgentDefinitionError(
            f"output_type of agent {name!r} is a type, not the text {output!r}: output_type=Report"
        )
    if output is None or output is str:
        return
    if isinstance(output, (list, tuple)) and not output:
        raise AgentDefinitionError(f"output_type of agent {name!r} is empty: {output!r}")
    plain = plain_type(output)
    if plain is None:
        return
    if plain is NoneType:
        raise AgentDefinitionError(
            f"output_type of agent {name!r} is None alone, so there is nothing to answer: output_type=Report "
            "| None is a report or none"
        )
    try:
        adapter_of(spec)
    except Exception as error:
        if type(error).__name__ == "PydanticUndefinedAnnotation":
            return  # what it names may be defined later
        what = "an instance" if not isinstance(plain, type) and _is_instance(plain) else "a type"
        raise AgentDefinitionError(
            f"output_type of agent {name!r} is {shown(output, 200)}, {what} that pydantic has no schema "
            "for; give it a pydantic model, a dataclass, a TypedDict, list[...], a union, a Literal, "
            f"or a function that takes one ({str(error).partition(chr(10))[0].rstrip('.')})"
        ) from error


def _is_instance(value: Any) -> bool:
    return type(value).__module__ not in ("typing", "types", "typing_extensions")


__all__ = ["adapter_of", "check_output", "is_object", "json_schema_of", "plain_type"]
