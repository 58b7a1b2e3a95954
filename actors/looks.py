"""Looks at values of users that cannot fail, whatever their own methods do.

The machine shows reasons and messages in its records and errors. An exception whose ``__str__``
raises, a proxy that cannot be read here, or a ``__getattr__`` that fails must not get further than
to the line that shows it.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any, TypeGuard, TypeVar, overload

T = TypeVar("T")


def shown(value: Any, limit: int | None = None) -> str:
    """Return ``repr(value)``, cut to *limit* characters, or a text that says which error that raised."""
    try:
        text = repr(value)
    except BaseException as error:
        text = _cannot_be_shown(value, error)
    return text if limit is None or len(text) <= limit else text[: limit - 3] + "..."


def text_of(value: Any) -> str:
    """Return ``str(value)``, or a text that says which error that raised."""
    try:
        return str(value)
    except BaseException as error:
        return _cannot_be_shown(value, error)


def attribute_of(value: Any, name: str, default: Any = None) -> Any:
    """Return the attribute, or *default* where there is none or reading it raises."""
    try:
        return getattr(value, name, default)
    except Exception:
        return default


def _cannot_be_shown(value: Any, error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        raise error
    return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


@overload
def is_a(value: Any, kind: type[T], /) -> TypeGuard[T]: ...
@overload
def is_a(value: Any, *kinds: type[Any]) -> bool: ...
def is_a(value: Any, *kinds: type[Any]) -> bool:
    """Tell whether *value* is of one of *kinds*, by its type and not by what it says of itself.

    `isinstance` reads ``__class__``, which a proxy may refuse.
    """
    return issubclass(type(value), kinds)


def traceback_of(error: BaseException) -> str:
    """Return *error* with its traceback as text, as far as it can be shown."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        frames = "".join(traceback.format_tb(frames_of(error)))
        return f"Traceback (most recent call last):\n{frames}{text_of(error)}\n"


def frames_of(error: BaseException) -> TracebackType | None:
    """Return the ``__traceback__`` of *error*, whatever its class makes of attributes."""
    frames: TracebackType | None = object.__getattribute__(error, "__traceback__")
    return frames


def cause_of(error: BaseException) -> BaseException | None:
    """Return the ``__cause__`` of *error*, whatever its class makes of attributes."""
    cause: BaseException | None = object.__getattribute__(error, "__cause__")
    return cause
