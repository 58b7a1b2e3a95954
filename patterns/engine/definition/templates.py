"""Inputs of steps: values with references in them, compiled once and filled in for each run.

``{"category": "$classify.category", "rows": ["$input.first", 3]}``: a text that is one reference
becomes the value that it names, the value itself and not its text, wherever it stands in mappings
and lists. ``$$`` at the beginning of a text stands for a plain dollar. A reference ending in ``?``
reads as None where its key is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from agenticaiframework.actors import near_names

from ...expressions.errors import ExpressionError
from ...expressions.expression import parse_reference
from ...expressions.reference import MISSING, Reference, look_up
from ..errors import EngineError

SKIPPED: Final = ""
"""The scope's key for the names of skipped steps; no step can be called this."""

Build: TypeAlias = Callable[[Mapping[str, Any]], Any]


class MissingValue(EngineError, LookupError):
    """A step's input refers to a key that is not there.

    ``reference`` is the text, ``source`` the step (or ``input``), ``key`` what it does not have.
    """

    def __init__(self, reference: str, source: str, key: str | int, found: Any) -> None:
        whose = "the workflow's input" if source == "input" else f"step {source!r}"
        if isinstance(found, Mapping):
            fields = cast("Mapping[Any, Any]", found)
            there = f"It has: {', '.join(repr(k) for k in fields) or 'nothing'}."
            hint = near_names(str(key), (str(k) for k in fields)) if fields else ""
            if hint.startswith("Did you mean"):
                there = f"{there} {hint}"
        else:
            there = (
                f"There is only {_short(found)}. Let the agent return a mapping with {key!r}, or "
                f"give the step output_key: {key!r}."
            )
        super().__init__(
            f"{reference} finds no {key!r} in {whose}. {there} "
            f"Write {reference}? where it may be missing."
        )
        self.reference = reference
        self.source = source
        self.key = key


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled input: ``build(scope)`` returns it with all references replaced.

    Mappings and lists are made anew for each build, so that an agent may keep and change them.
    """

    build: Build
    references: tuple[Reference, ...] = ()
    optional: frozenset[Reference] = frozenset()
    """The references that may be missing."""
    fields: Mapping[str, Reference] | None = None
    """Which top-level fields are plain references: what can be checked against a shape."""


def is_reference(text: str) -> bool:
    """Tell whether *text* is meant as a reference: a ``$`` before a name or a bracket."""
    return len(text) > 1 and text[0] == "$" and (text[1].isalpha() or text[1] in "_[")


def compile_template(value: Any) -> Template:
    """Return *value* as a template; raises `ExpressionError` for a reference that cannot be read."""
    references: list[Reference] = []
    optional: set[Reference] = set()
    build = _compile(value, references, optional, 0)
    fields: dict[str, Reference] = {}
    if isinstance(value, Mapping):
        for name, item in cast("Mapping[Any, Any]", value).items():
            if isinstance(item, str) and is_reference(item) and not item.endswith("?"):
                fields[str(name)] = read_reference(item)
    return Template(build, tuple(references), frozenset(optional), fields)


read_reference: Final = lru_cache(maxsize=2048)(parse_reference)
"""References, read once: a definition's are looked at when it is checked and when it is compiled, and
many definitions have the same."""

MAX_NESTING: Final = 50
"""Mappings and lists inside one another; a definition that refers to itself ends here."""


def _compile(
    value: Any, references: list[Reference], optional: set[Reference], depth: int
) -> Build:
    if depth > MAX_NESTING:
        raise ValueError(f"an input has more than {MAX_NESTING} mappings and lists in one another")
    if isinstance(value, str):
        return _compile_text(value, references, optional)
    if isinstance(value, Mapping):
        items = tuple(
            (key, _compile(item, references, optional, depth + 1))
            for key, item in cast("Mapping[Any, Any]", value).items()
        )
        return lambda scope: {key: build(scope) for key, build in items}
    if isinstance(value, (list, tuple)):
        parts = tuple(
            _compile(item, references, optional, depth + 1)
            for item in cast("list[Any] | tuple[Any, ...]", value)
        )
        return lambda scope: [build(scope) for build in parts]
    return lambda scope: value


def _compile_text(text: str, references: list[Reference], optional: set[Reference]) -> Build:
    if text.startswith("$$"):
        plain = text[1:]
        return lambda scope: plain
    if not is_reference(text):
        return lambda scope: text
    lenient = text.endswith("?")
    try:
        reference = read_reference(text.removesuffix("?"))
    except ExpressionError as error:
        hint = "Write $step.field, or $$ for a plain '$'."
        if "[" in text:
            hint = error.hint  # what stands in the brackets is wrong, and it says what may
        raise ExpressionError(text, error.position, error.problem, hint) from None
    references.append(reference)
    if lenient:
        optional.add(reference)
        return reference.get
    return _strict(reference)


def _strict(reference: Reference) -> Build:
    root, path, text = reference.root, reference.path, str(reference)
    if not path:
        return lambda scope: scope.get(root)
    first = path[0]
    short = len(path) == 1

    def build(scope: Mapping[str, Any]) -> Any:
        value: Any = scope.get(root)
        if short and value.__class__ is dict:
            # Most references are a field of an output.
            found = value.get(first, MISSING)
            if found is not MISSING:
                return found
        for key in path:
            found = look_up(value, key)
            if found is MISSING:
                # What a skipped step would have returned reads as None, however deep.
                if value is None and root in scope[SKIPPED]:
                    return None
                raise MissingValue(text, root, key, value)
            value = found
        return value

    return build
