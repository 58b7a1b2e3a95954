"""The way of every text to a terminal, a pipe or a file: nothing that an agent says is a command there.

Escape sequences can recolour a terminal, set its title, write its clipboard, or make a link that says
one thing and opens another; the marks that turn the direction of writing can make a text read as what
it is not. What is printed here shows such characters as JSON writes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any, cast

from agenticaiframework.actors import printable

from .output import results


def say(text: object = "", *, out: IO[str] | None = None, end: str = "\n") -> None:
    """Print *text* for reading."""
    print(printable(text), file=results() if out is None else out, end=end, flush=True)


def say_json(value: Any) -> None:
    """Print *value* as JSON, whatever it is: what has no form there is written as its text."""
    # What `printable` escapes stands inside JSON's texts alone, where the escape means the same.
    print(printable(json_text(value)), file=results(), flush=True)


def json_text(value: Any, indent: int | None = 2) -> str:
    """Return *value* as JSON, indented unless *indent* is None; infinite numbers and what has no form there as texts."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, indent=indent, default=str)
    except (TypeError, RecursionError):
        return json.dumps(str(value), ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {str(key): _finite(item) for key, item in fields.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in cast("list[Any] | tuple[Any, ...]", value)]
    return value
