"""The kinds of patterns by name, so that a definition that is data can say which one it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from agenticaiframework.actors import near_names

from ..vocabulary.target import Nestable
from .errors import DefinitionError


class ReadablePattern(Nestable, Protocol):
    """A pattern, as far as definitions know one: its class reads data."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the pattern that *data* defines."""
        ...


_kinds: dict[str, type[ReadablePattern]] = {}


def register_kind(kind: str, pattern: type[ReadablePattern]) -> None:
    """Let ``{"pattern": kind, ...}`` be read as a *pattern*. Called when the class is made."""
    _kinds[kind] = pattern


def registered_kinds() -> Mapping[str, type[ReadablePattern]]:
    """Return the kinds of patterns that definitions may name: kind -> class."""
    return dict(_kinds)


def registered_kind(kind: str) -> type[ReadablePattern]:
    """Return the class of *kind*; raises `DefinitionError` with the near names."""
    try:
        return _kinds[kind]
    except KeyError:
        raise DefinitionError(
            f"the pattern kind {kind!r}", [f"is unknown. {near_names(kind, _kinds)}"]
        ) from None


def read_pattern(data: Mapping[str, Any]) -> ReadablePattern:
    """Return the pattern that *data* defines: ``{"pattern": "sequential", "name": ..., ...}``."""
    kind = data.get("pattern")
    if not isinstance(kind, str):
        raise DefinitionError(
            "a pattern's definition",
            ['needs its kind under "pattern"'],
            '{"pattern": "sequential", "name": "chain", "steps": ["reader", "writer"]}',
        )
    return registered_kind(kind).from_dict(data)
