"""A JSON schema that an answer is checked against: what is said in it is enforced.

The vocabulary of draft 2020-12 that concerns values, with references within the schema. ``format`` and
what only describes are not checked, as the draft has it.

Written out here because a model without any extra, `scripted`, is held to it as well, and the libraries
that do it bring a compiled package with them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import count
from typing import Any, Final, TypeAlias, cast

from agenticaiframework.patterns import find_cycle

Schema: TypeAlias = Mapping[str, Any] | bool
Path: TypeAlias = tuple[str | int, ...]

MOST_SAID: Final = 8
"""How many faults of one answer are told at most."""

MOST_WRITTEN: Final = 200_000
"""How many values a schema may be of, with its references written out."""

_UNROLLED: Final = 3
"""How often a schema that contains itself is written out where references are not understood."""


class SchemaFault(ValueError):
    """A JSON schema that cannot be checked against: what is wrong in it, and where."""


class JsonSchema:
    """A schema that has been read. Raises `SchemaFault` for one that cannot be checked against."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.root = schema
        reading = _Reading(schema)
        reading.look(schema, ())
        reading.check_references()
        self.inlined()

    def faults(self, value: Any) -> list[str]:
        """Return what in *value* does not fit, each with its place; nothing if it fits.

        >>> JsonSchema({"properties": {"age": {"type": "integer"}}}).faults({"age": "old"})
        ["age: 'old' is not of type integer"]
        """
        found: list[str] = []
        for path, text in _Check(self.root).faults(self.root, value, (), 0):
            found.append(f"{_place(path)}: {text}" if path else text)
            if len(found) == MOST_SAID:
                break
        return found

    @property
    def is_object(self) -> bool:
        """Whether what fits is always an object."""
        return self.inlined().get("type") == "object"

    def inlined(self) -> dict[str, Any]:
        """Return the schema without references, for providers that do not follow them.

        One that contains itself is written out a few times; below that it takes anything.
        """
        written = cast("dict[str, Any]", _inlined(self.root, self.root, {}, count()))
        written.pop("$defs", None)
        written.pop("definitions", None)
        if "type" not in written and "properties" in written:
            written["type"] = "object"
        return written


def _place(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[
        0 if path and isinstance(path[0], int) else 1 :
    ]


def resolved(root: Schema, ref: str) -> Schema:
    """Return what *ref* names in *root*. Raises `SchemaFault`."""
    found: Any = root
    if not ref.startswith("#"):
        raise SchemaFault(f"$ref {ref!r} is not within the schema; write it as '#/$defs/name'")
    for part in filter(None, ref[1:].split("/")):
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            found = _step(found, name)
        except (KeyError, IndexError, TypeError, ValueError):
            raise SchemaFault(f"$ref {ref!r} names nothing in the schema") from None
    if not isinstance(found, (Mapping, bool)):
        raise SchemaFault(f"$ref {ref!r} names something that is not a schema")
    return cast("Schema", found)


def _step(found: Any, name: str) -> Any:
    inner: Any = cast("list[Any]", found)[int(name)] if isinstance(found, list) else found[name]
    return inner


def _inlined(
    schema: Any, root: Schema, depths: Mapping[str, int], written_so_far: count[int]
) -> Any:
    if next(written_so_far) > MOST_WRITTEN:
        # A few references that each stand twice in the next make millions.
        raise SchemaFault(f"its references make more than {MOST_WRITTEN:,} values of it")
    if isinstance(schema, list):
        return [_inlined(each, root, depths, written_so_far) for each in cast("list[Any]", schema)]
    if not isinstance(schema, Mapping):
        return schema
    fields = dict(cast("Mapping[str, Any]", schema))
    ref = fields.pop("$ref", None)
    if isinstance(ref, str):
        depth = depths.get(ref, 0)
        if depth >= _UNROLLED:
            return fields
        target = resolved(root, ref)
        written = _inlined(target, root, {**depths, ref: depth + 1}, written_so_far)
        if isinstance(written, dict):
            fields = {**cast("dict[str, Any]", written), **fields}
    return {
        key: value
        if key in ("enum", "const", "default", "examples")
        else _inlined(value, root, depths, written_so_far)
        for key, value in fields.items()
        if key not in ("$defs", "definitions") or schema is root
    }


# -- the vocabulary ----------------------------------------------------------------------------

_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda v: isinstance(v, Mapping),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: _is_number(v),
    "integer": lambda v: _is_number(v) and float(v).is_integer(),
}

_SCHEMAS: Final = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
)
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPPINGS: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_NUMBERS: Final = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("minContains", "maxContains"),
)


_SAYING: Final = frozenset(
    {
        *("type", "const", "enum", "$ref", "required", "pattern", "uniqueItems"),
        *("dependentRequired", "unevaluatedProperties", "unevaluatedItems"),
        *_SCHEMAS,
        *_LISTS,
        *_MAPPINGS,
        *_NUMBERS,
    }
)
"""The keywords that say what fits."""
_KEYWORDS: Final = _SAYING | {
    *(
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "format",
    ),
    *("$schema", "$id", "$anchor", "$comment", "$dynamicRef", "$dynamicAnchor", "$vocabulary"),
    *(
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "discriminator",
        "example",
        "nullable",
    ),
}
_SLIP: Final = 0.84
"""How near a word has to be to a keyword to be a slip, and not an annotation."""


def _names_type(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "type" in cast("Mapping[Any, Any]", value)
    return isinstance(value, str) and value in _TYPES


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class _Reading:
    """Looks for what in a schema cannot be checked against."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._references: set[str] = set()

    def check_references(self) -> None:
        """Raise `SchemaFault` for what, of the references looked at, asks of a value to fit itself."""
        circle = find_cycle(
            {ref: _same_value(resolved(self._root, ref)) for ref in sorted(self._references)}
        )
        if circle is not None:
            raise SchemaFault(
                f"$ref goes round in a circle, {' > '.join(circle)}, and never into a property or an item"
            )

    def look(self, schema: Any, path: Path) -> None:
        """Raise `SchemaFault` for a fault in *schema*, which stands at *path*."""
        if isinstance(schema, bool):
            return
        if not isinstance(schema, Mapping):
            raise SchemaFault(f"{_at(path)} is not a schema: {schema!r}")
        fields = cast("Mapping[str, Any]", schema)
        self._misspelt(fields, path)
        self._words(fields, path)
        for key in _SCHEMAS:
            if key in fields:
                self.look(fields[key], (*path, key))
        for key in _LISTS:
            for number, each in enumerate(_of_kind(fields, key, path, list)):
                self.look(each, (*path, key, number))
        for key in _MAPPINGS:
            for name, each in dict(_of_kind(fields, key, path, Mapping)).items():
                self.look(each, (*path, key, name))

    def _misspelt(self, fields: Mapping[str, Any], path: Path) -> None:
        """Raise for a word that is a slip of a keyword, and for fields outside of ``properties``."""
        for key in fields:
            if key not in _KEYWORDS:
                close = get_close_matches(str(key), _KEYWORDS, n=1, cutoff=_SLIP)
                if close:
                    raise SchemaFault(f"{_at(path)} has {key!r}; did you mean {close[0]!r}?")
        if fields and not path and not any(key in _SAYING for key in fields):
            typed = [key for key, value in fields.items() if _names_type(value)]
            if typed:
                raise SchemaFault(
                    f"the schema has {typed[0]!r} outside of its properties: {{'type': 'object', "
                    f"'properties': {{{typed[0]!r}: {{'type': ...}}}}, 'required': [{typed[0]!r}]}}"
                )

    def _words(self, fields: Mapping[str, Any], path: Path) -> None:
        if "$ref" in fields:
            resolved(self._root, str(fields["$ref"]))
            self._references.add(str(fields["$ref"]))
        if "type" in fields:
            names = fields["type"]
            for name in cast("list[Any]", names) if isinstance(names, list) else [names]:
                if name not in _TYPES:
                    raise SchemaFault(
                        f"{_at(path)} has the type {name!r}; the types are {', '.join(_TYPES)}"
                    )
        for key in _NUMBERS:
            if key in fields and not _is_number(fields[key]):
                raise SchemaFault(f"{_at(path)} has {key}={fields[key]!r}, which is not a number")
        for key in ("required", "enum"):
            _of_kind(fields, key, path, list)
        patterns = [*dict(_of_kind(fields, "patternProperties", path, Mapping))]
        for pattern in [*patterns, *([fields["pattern"]] if "pattern" in fields else [])]:
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise SchemaFault(f"{_at(path)} has the pattern {pattern!r}: {error}") from None


def _same_value(schema: Schema) -> Iterator[str]:
    """Yield the references that a value has to fit where it has to fit *schema*."""
    if isinstance(schema, bool):
        return
    if "$ref" in schema:
        yield str(schema["$ref"])
    parts = [schema[key] for key in ("not", "if", "then", "else") if key in schema]
    for key in ("anyOf", "oneOf", "allOf"):
        parts += schema.get(key, ())
    for part in (*parts, *schema.get("dependentSchemas", {}).values()):
        yield from _same_value(part)


def _of_kind(fields: Mapping[str, Any], key: str, path: Path, kind: type[Any]) -> Any:
    value = fields.get(key, ())
    if value != () and not isinstance(value, kind):
        what = "a list" if kind is list else "a mapping"
        raise SchemaFault(f"{_at(path)} has {key}={value!r}, which is not {what}")
    return value


def _at(path: Path) -> str:
    return f"the schema at {_place(path)}" if path else "the schema"


_DEEPEST: Final = 200
"""How deep values may be nested: deeper ones do not fit, rather than end the interpreter's stack."""

Fault: TypeAlias = tuple[Path, str]


class _Check:
    """Compares values with one schema."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def fits(self, schema: Schema, value: Any, depth: int) -> bool:
        """Tell whether *value* fits *schema*."""
        return next(self.faults(schema, value, (), depth), None) is None

    def faults(self, schema: Schema, value: Any, path: Path, depth: int) -> Iterator[Fault]:
        """Yield what does not fit, each with its place."""
        if schema is True:
            return
        if schema is False:
            yield path, f"{_shown(value)} is not allowed here"
            return
        if depth > _DEEPEST:
            yield path, "it is nested too deep"
            return
        fields = schema
        if "$ref" in fields:
            yield from self.faults(resolved(self._root, fields["$ref"]), value, path, depth + 1)
        if "type" in fields:
            names = fields["type"]
            names = cast("list[str]", names) if isinstance(names, list) else [cast("str", names)]
            if not any(_TYPES[name](value) for name in names):
                yield path, f"{_shown(value)} is not of type {' or '.join(names)}"
                return
        if "const" in fields and not _equal(value, fields["const"]):
            yield path, f"{_shown(value)} is not {_shown(fields['const'])}"
        if "enum" in fields and not any(_equal(value, each) for each in fields["enum"]):
            yield path, f"{_shown(value)} is not one of {_shown(fields['enum'], 200)}"
        if isinstance(value, str):
            yield from _text_faults(fields, value, path)
        elif _is_number(value):
            yield from _number_faults(fields, value, path)
        elif isinstance(value, Mapping):
            yield from self._object_faults(fields, cast("Mapping[str, Any]", value), path, depth)
        elif isinstance(value, list):
            yield from self._array_faults(fields, cast("list[Any]", value), path, depth)
        yield from self._combined_faults(fields, value, path, depth)

    def _object_faults(
        self, fields: Mapping[str, Any], value: Mapping[str, Any], path: Path, depth: int
    ) -> Iterator[Fault]:
        for name in fields.get("required", ()):
            if name not in value:
                yield path, f"{name!r} is missing"
        for given, needed in fields.get("dependentRequired", {}).items():
            if given in value:
                missing = [name for name in needed if name not in value]
                if missing:
                    yield path, f"{missing[0]!r} is missing, which {given!r} needs"
        for given, needed in fields.get("dependentSchemas", {}).items():
            if given in value:
                yield from self.faults(needed, value, path, depth + 1)
        yield from _size_faults(fields, "Properties", len(value), path)
        properties: Mapping[str, Schema] = fields.get("properties", {})
        patterns: Mapping[str, Schema] = fields.get("patternProperties", {})
        others: Schema = fields.get("additionalProperties", True)
        names: Schema = fields.get("propertyNames", True)
        for name, item in value.items():
            place = (*path, name)
            yield from self.faults(names, name, place, depth + 1)
            known = name in properties
            if known:
                yield from self.faults(properties[name], item, place, depth + 1)
            for pattern, each in patterns.items():
                if re.search(pattern, name):
                    known = True
                    yield from self.faults(each, item, place, depth + 1)
            if known:
                continue
            if others is False:
                yield path, f"{name!r} is not one of its properties"
            else:
                yield from self.faults(others, item, place, depth + 1)

    def _array_faults(
        self, fields: Mapping[str, Any], value: list[Any], path: Path, depth: int
    ) -> Iterator[Fault]:
        yield from _size_faults(fields, "Items", len(value), path)
        first: Sequence[Schema] = fields.get("prefixItems", ())
        others: Schema = fields.get("items", True)
        for number, item in enumerate(value):
            schema = first[number] if number < len(first) else others
            yield from self.faults(schema, item, (*path, number), depth + 1)
        if fields.get("uniqueItems") is True:
            for number, item in enumerate(value):
                if any(_equal(item, other) for other in value[:number]):
                    yield (*path, number), f"{_shown(item)} is there already"
        if "contains" in fields:
            number = sum(self.fits(fields["contains"], item, depth + 1) for item in value)
            least, most = fields.get("minContains", 1), fields.get("maxContains", math.inf)
            if not least <= number <= most:
                yield path, f"{number} of its items fit 'contains', not {least} or more"

    def _combined_faults(
        self, fields: Mapping[str, Any], value: Any, path: Path, depth: int
    ) -> Iterator[Fault]:
        for each in fields.get("allOf", ()):
            yield from self.faults(each, value, path, depth + 1)
        if "anyOf" in fields:
            yield from self._none_fits(fields["anyOf"], value, path, depth)
        if "oneOf" in fields:
            number = sum(self.fits(each, value, depth + 1) for each in fields["oneOf"])
            if number > 1:
                yield path, f"{_shown(value)} fits {number} of the forms in 'oneOf', not one"
            elif number == 0:
                yield from self._none_fits(fields["oneOf"], value, path, depth)
        if "not" in fields and self.fits(fields["not"], value, depth + 1):
            yield path, f"{_shown(value)} fits what it must not be"
        if "if" in fields:
            then = "then" if self.fits(fields["if"], value, depth + 1) else "else"
            if then in fields:
                yield from self.faults(fields[then], value, path, depth + 1)

    def _none_fits(
        self, schemas: Sequence[Schema], value: Any, path: Path, depth: int
    ) -> Iterator[Fault]:
        """Yield the faults of the form that *value* comes nearest to, unless one fits."""
        best: list[Fault] | None = None
        for each in schemas:
            found = list(self.faults(each, value, path, depth + 1))
            if not found:
                return
            if best is None or _distance(found, path) < _distance(best, path):
                best = found
        yield from best or [(path, f"{_shown(value)} fits none of the forms")]


def _distance(faults: list[Fault], path: Path) -> tuple[bool, int]:
    """Return how far a value is from a form: of another type altogether is farthest."""
    return any(place == path and "is not of type" in text for place, text in faults), len(faults)


def _text_faults(fields: Mapping[str, Any], value: str, path: Path) -> Iterator[Fault]:
    if "minLength" in fields and len(value) < fields["minLength"]:
        yield path, f"{_shown(value)} is shorter than {fields['minLength']} characters"
    if "maxLength" in fields and len(value) > fields["maxLength"]:
        yield path, f"{_shown(value)} is longer than {fields['maxLength']} characters"
    if "pattern" in fields and not re.search(fields["pattern"], value):
        yield path, f"{_shown(value)} does not match the pattern {fields['pattern']!r}"


def _number_faults(fields: Mapping[str, Any], value: float, path: Path) -> Iterator[Fault]:
    if "minimum" in fields and value < fields["minimum"]:
        yield path, f"{value} is less than {fields['minimum']}"
    if "maximum" in fields and value > fields["maximum"]:
        yield path, f"{value} is more than {fields['maximum']}"
    if "exclusiveMinimum" in fields and value <= fields["exclusiveMinimum"]:
        yield path, f"{value} is not more than {fields['exclusiveMinimum']}"
    if "exclusiveMaximum" in fields and value >= fields["exclusiveMaximum"]:
        yield path, f"{value} is not less than {fields['exclusiveMaximum']}"
    if "multipleOf" in fields:
        times = value / fields["multipleOf"] if fields["multipleOf"] else 0.0
        if abs(times - round(times)) > 1e-9:
            yield path, f"{value} is not a multiple of {fields['multipleOf']}"


def _size_faults(fields: Mapping[str, Any], what: str, size: int, path: Path) -> Iterator[Fault]:
    least, most = fields.get(f"min{what}"), fields.get(f"max{what}")
    if least is not None and size < least:
        yield path, f"it has {size} {what.lower()}, at least {least} are needed"
    if most is not None and size > most:
        yield path, f"it has {size} {what.lower()}, at most {most} are allowed"


def _equal(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1, and 1.0 is 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(cast("list[Any]", one), cast("list[Any]", other), strict=False)
        return len(cast("list[Any]", one)) == len(cast("list[Any]", other)) and all(
            _equal(a, b) for a, b in pairs
        )
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        left, right = cast("Mapping[str, Any]", one), cast("Mapping[str, Any]", other)
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(one == other)


def _shown(value: Any, limit: int = 80) -> str:
    if isinstance(value, str):
        text = repr(value)
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=str)
        except (TypeError, ValueError, RecursionError):
            text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


__all__ = ["JsonSchema", "SchemaFault", "resolved"]
