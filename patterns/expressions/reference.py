"""References: paths to values in mappings and lists, and what a lookup finds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

_NAME: Final = re.compile(r"[^\W\d]\w*(?:-\w+)*")


class Missing:
    """The type of ``MISSING``: a lookup that found nothing, where ``None`` would be a value."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing()


def look_up(value: Any, key: str | int) -> Any:
    """Return a mapping's value or a list's item, or ``MISSING``; never an attribute.

    Where a mapping is needed, a text stands for ``{"result": text}``: so do plain answers of models.
    """
    if value.__class__ is dict or isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        found = fields.get(key, MISSING)
        if found is MISSING and isinstance(key, int):
            # JSON has no numbers as keys: what was 1 before a journal is "1" after it.
            found = fields.get(str(key), MISSING)
        return found
    if isinstance(value, (list, tuple)):
        if isinstance(key, str):
            if not (key.isascii() and key.isdigit() and len(key) <= 9):
                return MISSING
            key = int(key)
        items = cast("list[Any] | tuple[Any, ...]", value)
        return items[key] if -len(items) <= key < len(items) else MISSING
    if key == "result" and isinstance(value, str):
        return value
    return MISSING


@dataclass(frozen=True, slots=True)
class Reference:
    """A dotted path to a value.

    ``$classify.category`` has the root ``classify`` and the path ``("category",)``.
    """

    root: str
    path: tuple[str | int, ...] = ()

    def get(self, scope: Mapping[str, Any], default: Any = None) -> Any:
        """Return the value itself, no copy, no text; *default* where the path leads nowhere."""
        value = scope.get(self.root, MISSING)
        for key in self.path:
            if value is MISSING:
                return default
            value = look_up(value, key)
        return default if value is MISSING else value

    def __str__(self) -> str:
        head = self.root if _NAME.fullmatch(self.root) else f"[{_quote(self.root)}]"
        return "$" + head + "".join(_segment(key) for key in self.path)


def _segment(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _NAME.fullmatch(key) else f"[{_quote(key)}]"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'
