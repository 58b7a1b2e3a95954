"""Short texts for values that are the same in every run, on every Python and hash seed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import BaseModel

from agenticaiframework.actors.kernel.carried import Carried

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PLAIN = frozenset({int, float, bool, type(None), bytes})


def kind_of(message: object) -> str:
    """Return what *message* is, at the price of a look at its class."""
    cls = message.__class__
    if cls is Carried:
        message = cast("Carried", message).message
        cls = message.__class__
    if cls is str:
        return repr(message) if len(cast("str", message)) <= 40 else "str"
    if cls in _PLAIN:
        return repr(message)
    return cls.__name__


def describe(value: object, *, limit: int = 60, names: Callable[[object], str | None]) -> str:
    """Return *value* in at most about *limit* characters, without addresses.

    *names* gives the label of an actor's ref, and None for anything else.
    """
    text = _describe(value, names, 4)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _describe(value: Any, names: Callable[[object], str | None], depth: int) -> str:
    cls = value.__class__
    if cls is str or cls in _PLAIN:
        return repr(value)
    name = names(value)
    if name is not None:
        return name
    if depth == 0:
        return "..."
    if isinstance(value, BaseException):
        return _ADDRESS.sub("", f"{cls.__name__}({', '.join(map(repr, value.args))})")
    if isinstance(value, Mapping):
        mapping = cast("dict[Any, Any]", value)
        pairs = (
            f"{_describe(key, names, depth - 1)}: {_describe(item, names, depth - 1)}"
            for key, item in mapping.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        items = [_describe(item, names, depth - 1) for item in cast("list[Any]", value)]
        inner = ", ".join(items)
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(items) == 1 else f"({inner})"
    if isinstance(value, set | frozenset):
        # Sorted by text: a set's own order depends on PYTHONHASHSEED.
        items = sorted(_describe(item, names, depth - 1) for item in cast("set[Any]", value))
        return "{" + ", ".join(items) + "}"
    if cls is Carried:
        return _describe(value.message, names, depth)
    if cls.__name__ == "Work" and hasattr(value, "payload"):
        return _describe(value.payload, names, depth)  # an agent's envelope
    fields: dict[str, Any] | None = None
    if isinstance(value, BaseModel):
        fields = dict(value)
    elif dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value) if f.repr}
    if fields is not None:
        inner = ", ".join(f"{k}={_describe(v, names, depth - 1)}" for k, v in fields.items())
        return f"{cls.__name__}({inner})"
    return str(cls.__name__)
