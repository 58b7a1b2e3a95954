"""The kinds of patterns by name, so that a definition that is data can say which one it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import near

from .definition import DefinitionError

if TYPE_CHECKING:
    from ..execution.pattern import OrchestrationPattern

_kinds: dict[str, type[OrchestrationPattern]] = {}


def register_kind(kind: str, pattern: type[OrchestrationPattern]) -> None:
    """Let ``{"pattern": kind, ...}`` be read as a *pattern*. Called when the class is made."""
    _kinds[kind] = pattern


def pattern_kinds() -> Mapping[str, type[OrchestrationPattern]]:
    """Return the kinds of patterns that definitions may name: kind -> class."""
    return dict(_kinds)


def pattern_kind(kind: str) -> type[OrchestrationPattern]:
    """Return the class of *kind*; raises `DefinitionError` with the near names."""
    try:
        return _kinds[kind]
    except KeyError:
        raise DefinitionError(
            f"the pattern kind {kind!r}", [f"is unknown. {near(kind, _kinds)}"]
        ) from None


def pattern_from_dict(data: Mapping[str, Any]) -> OrchestrationPattern:
    """Return the pattern that *data* defines: ``{"pattern": "sequential", "name": ..., ...}``."""
    kind = data.get("pattern")
    if not isinstance(kind, str):
        raise DefinitionError(
            "a pattern's definition",
            ['needs its kind under "pattern"'],
            '{"pattern": "sequential", "name": "chain", "steps": ["reader", "writer"]}',
        )
    return pattern_kind(kind).from_dict(data)
