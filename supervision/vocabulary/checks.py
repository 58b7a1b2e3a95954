"""Checks of what callers give to the public supervisors; each raises `BadOption`."""

from __future__ import annotations

import inspect
import math
from typing import Any

from agenticaiframework.actors import near_names

from .errors import BadOption
from .kinds import Exhausted


def is_positive_number(value: object) -> bool:
    """Tell whether *value* is a finite number above zero; True and False are not numbers here."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
    )


def check_name(name: Any, where: str, example: str) -> None:
    """Raise `BadOption` unless *name* is a string with something in it."""
    if not isinstance(name, str) or not name.strip():
        raise BadOption(where, f"the name must be a non-empty string, not {name!r}", example)


def check_seconds(where: str, field: str, value: Any) -> None:
    """Raise `BadOption` unless *value* is None (no limit) or a positive number of seconds."""
    if value is not None and not is_positive_number(value):
        problem = f"{field}={value!r} is not a positive number of seconds"
        raise BadOption(where, problem, f"{field}=30")


def check_count(where: str, field: str, value: Any, least: int, example: str) -> None:
    """Raise `BadOption` unless *value* is a whole number of at least *least*."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadOption(where, f"{field}={value!r} is not a whole number", example)
    if value < least:
        below = "is negative" if least == 0 else f"is below {least}"
        raise BadOption(where, f"{field}={value!r} {below}", example)


def check_mailbox(where: str, mailbox: Any) -> None:
    """Raise `BadOption` unless *mailbox* is ``"keep"``, ``"drop"`` or None (not given)."""
    if mailbox not in (None, "keep", "drop"):
        problem = f"mailbox={mailbox!r} is neither 'keep' nor 'drop'"
        raise BadOption(where, problem, "mailbox='keep'")


def check_exhausted(where: str, exhausted: Any) -> None:
    """Raise `BadOption` unless *exhausted* is one of `Exhausted`, or None (not given)."""
    if exhausted is not None and exhausted not in tuple(Exhausted):
        problem = f"exhausted={exhausted!r} is unknown. {near_names(str(exhausted), Exhausted)}"
        raise BadOption(where, problem, "exhausted='cool_down'")


def check_handler(where: str, handler: Any, example: str, arguments: int) -> None:
    """Raise `BadOption` unless *handler* can be called with that many arguments."""
    if not callable(handler):
        raise BadOption(where, f"the handler {handler!r} is not a function", example)
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return  # Some functions written in C have no signature.
    try:
        signature.bind(*range(arguments))
    except TypeError as error:
        raise BadOption(
            where, f"the handler does not take its {arguments} argument(s): {error}", example
        ) from None
