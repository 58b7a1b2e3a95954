"""Values of users as texts that can be shown: cut, without secrets, and without commands."""

from __future__ import annotations

import json
from typing import Any

from agenticaiframework.actors import describe_reason, message_of, printable, shown

SHORT = 120
LONG = 4_000


def text(value: Any, limit: int = SHORT) -> str:
    """Return what *value* says, for reading, in at most *limit* characters.

    >>> text("a\\x1b[2Jb")
    'a\\\\u001b[2Jb'
    """
    return cut(printable(message_of(value)), limit)


def form(value: Any, limit: int = SHORT) -> str:
    """Return the ``repr`` of *value*, as `text` returns texts."""
    return text(shown(value, limit), limit)


def reason_text(reason: Any, limit: int = SHORT) -> str:
    """Return why an actor ended, as `text` returns texts."""
    return text(describe_reason(reason), limit)


def data_text(value: Any, limit: int = LONG) -> str:
    """Return plain data as JSON, over several lines, as `text` returns texts.

    >>> data_text({"b": 1})
    '{"b": 1}'
    """
    try:
        said = json.dumps(value, ensure_ascii=False, default=shown)
        if len(said) > SHORT:
            said = json.dumps(value, ensure_ascii=False, default=shown, indent=2)
    except (TypeError, ValueError, RecursionError):
        return form(value, limit)
    return text(said, limit)


def cut(said: str, limit: int) -> str:
    """Return *said*, or its beginning and an ellipsis, in at most *limit* characters."""
    return said if len(said) <= limit else said[: limit - 1] + "…"
