"""What reports look like as plain data."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from enum import Enum
from typing import Any, Final, cast

from .looks import shown, text_of

_PLAIN: Final = (str, int, float, bool, type(None))
_LONGEST: Final = 2_000


def as_data(value: Any) -> Any:
    """Return *value* as data that JSON has words for: what it does not know is told as text.

    Fields of dataclasses and models become entries, enums their values, durations seconds, bytes
    base64, errors one line.

    >>> as_data({"state": date(2026, 1, 2), "error": ValueError("no"), "steps": ("a", "b")})
    {'state': '2026-01-02', 'error': 'ValueError: no', 'steps': ['a', 'b']}
    """
    if isinstance(value, Enum):
        return as_data(value.value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value)
        return {_key(key): as_data(item) for key, item in entries.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_data(item) for item in cast("Iterable[Any]", value)]
    if isinstance(value, BaseException):
        text = text_of(value)
        return f"{type(value).__name__}: {text}" if text else type(value).__name__
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    for name in ("to_dict", "model_dump"):
        if not isinstance(value, type) and callable(made := getattr(value, name, None)):
            return as_data(made())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields_of(value)
    return shown(value, _LONGEST)


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as such data."""
    return {each.name: as_data(getattr(value, each.name)) for each in dataclasses.fields(value)}


def _key(key: Any) -> str:
    found = as_data(key)
    return found if isinstance(found, str) else str(found)
