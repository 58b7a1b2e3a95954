"""How deep and how large what is given may be: looked at before anything else does, without recursion.

What people, models and files give is walked through by recursion later on: by pydantic, by templates,
by JSON. A value that contains itself, or is nested a thousand times, would end the interpreter there,
and one that small aliases unfold to millions of values would take all memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import BaseModel

from agenticaiframework.actors import is_a

__all__ = ["DEFINITIONS", "VALUES", "Bounds"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest depth, and the largest number of values and characters, of something given."""

    depth: int
    values: int
    characters: int

    def problem(self, value: Any) -> str | None:
        """Return where and how *value* goes beyond the bounds, or None.

        >>> loop = {"steps": []}
        >>> loop["steps"].append(loop)
        >>> DEFINITIONS.problem(loop)
        'steps[0]: it contains itself'
        """
        values = characters = 0
        walk = _Walk(value)
        while (part := walk.next()) is not END:
            values += 1
            if values > self.values:
                return f"it holds more than {self.values:,} values (each alias counts anew)"
            if part.__class__ is str or part.__class__ is bytes:
                characters += len(part)
                if characters > self.characters:
                    return f"its texts have more than {self.characters:,} characters"
                continue
            if walk.contains(part):
                return f"{walk.path}: it contains itself"
            if walk.enter(part) and walk.level > self.depth:
                return f"{walk.path}: it is nested more than {self.depth} levels deep"
        return None


DEFINITIONS: Final = Bounds(depth=100, values=200_000, characters=10_000_000)
"""For definitions of workflows, patterns, teams and projects."""

VALUES: Final = Bounds(depth=200, values=5_000_000, characters=200_000_000)
"""For inputs and outputs."""

END: Final = object()
"""Stands for no part."""


class _Walk:
    """Goes through the parts of a value, one after the other, and knows where it is."""

    __slots__ = ("_around", "_iterators", "_keys", "_first")

    def __init__(self, value: Any) -> None:
        self._first: Any = value
        self._iterators: list[Any] = []
        self._keys: list[Any] = []
        self._around: list[int] = []
        """The ids of the containers that it is in."""

    @property
    def level(self) -> int:
        """How many containers it is in."""
        return len(self._iterators)

    @property
    def path(self) -> str:
        """Where it is: ``steps[0].workflow``."""
        text = ""
        shown = self._keys if len(self._keys) <= 12 else [*self._keys[:6], ..., *self._keys[-3:]]
        for key in shown:
            if key is ...:
                text += " ... "
            elif isinstance(key, int):
                text += f"[{key}]"
            else:
                text += f".{str(key)[:40]}" if text else str(key)[:40]
        return text or "it"

    def next(self) -> Any:
        """Return the next part, or `END`."""
        if self._first is not END:
            first, self._first = self._first, END
            return first
        while self._iterators:
            for key, part in self._iterators[-1]:
                self._keys[-1] = key
                return part
            self._iterators.pop()
            self._keys.pop()
            self._around.pop()
        return END

    def contains(self, part: Any) -> bool:
        """Whether *part* is one of the containers that it is in."""
        return id(part) in self._around

    def enter(self, part: Any) -> bool:
        """Go into *part*, if it is a container."""
        inside = _parts(part)
        if inside is None:
            return False
        self._iterators.append(iter(inside))
        self._keys.append("")
        self._around.append(id(part))
        return True


def _parts(value: Any) -> Iterable[tuple[Any, Any]] | None:
    if is_a(value, Mapping):
        return cast("Mapping[Any, Any]", value).items()
    if is_a(value, list, tuple):
        return enumerate(cast("list[Any] | tuple[Any, ...]", value))
    if is_a(value, BaseModel):
        return value.__dict__.items()
    return None
