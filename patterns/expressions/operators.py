"""What the operators of expressions do, as closures over their operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any, TypeAlias, cast

from .errors import ExpressionTypeError

Evaluate: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""Gives the value of a part of an expression over a scope."""


def _equal(text: str, position: int, left: Any, right: Any) -> bool:
    if _unlike(left, right):
        return False
    try:
        return bool(left == right)
    except Exception as error:
        raise ExpressionTypeError(
            text, position, f"{_kind(left)} cannot be compared with {_kind(right)}"
        ) from error


def _unlike(left: Any, right: Any) -> bool:
    """Tell whether one is true or false and the other a number: to Python true is the number 1."""
    if isinstance(left, bool) is isinstance(right, bool):
        return False
    return isinstance(left, Number) and isinstance(right, Number)


def _ordered(text: str, position: int, op: str, left: Any, right: Any) -> bool:
    # A missing field is neither before nor after anything, as in SQL: the rule does not hold.
    if left is None or right is None:
        return False
    try:
        if op == "<":
            return bool(left < right)
        if op == "<=":
            return bool(left <= right)
        if op == ">":
            return bool(left > right)
        return bool(left >= right)
    except Exception as error:
        raise ExpressionTypeError(
            text,
            position,
            f"{_kind(left)} cannot be put in order with {_kind(right)}",
            "Compare values of one type, or use '=='.",
        ) from error


def _contains(text: str, position: int, item: Any, container: Any) -> bool:
    if container is None:
        return False
    # Only plain containers: an iterator would be used up, an object's __contains__ may do anything.
    if isinstance(container, str):
        if item is None:
            return False
        if isinstance(item, str):
            return item in container
    elif isinstance(container, (Mapping, list, tuple, set, frozenset)):
        try:
            if isinstance(container, (list, tuple)):
                return any(
                    item == each and not _unlike(item, each)
                    for each in cast("list[Any]", container)
                )
            return item in container
        except Exception as error:
            raise ExpressionTypeError(
                text, position, f"{_kind(item)} cannot be searched in {_kind(container)}"
            ) from error
    raise ExpressionTypeError(
        text,
        position,
        f"{_kind(item)} cannot be searched in {_kind(container)}",
        "The right side of 'in' is a list, a text or a mapping.",
    )


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    names: dict[Any, str] = {
        bool: "true/false",
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
    }
    return names.get(
        type(value), "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"
    )


def compare(text: str, first: Evaluate, rest: tuple[tuple[str, int, Evaluate], ...]) -> Evaluate:
    """Return a comparison, chained as in Python: ``0 < x <= 1`` is ``0 < x and x <= 1``."""

    def check(op: str, position: int, left: Any, right: Any) -> bool:
        if op == "==":
            return _equal(text, position, left, right)
        if op == "!=":
            return not _equal(text, position, left, right)
        if op == "in":
            return _contains(text, position, left, right)
        if op == "not in":
            return not _contains(text, position, left, right)
        return _ordered(text, position, op, left, right)

    def evaluate(scope: Mapping[str, Any]) -> bool:
        left = first(scope)
        for op, position, operand in rest:
            right = operand(scope)
            if not check(op, position, left, right):
                return False
            left = right
        return True

    return evaluate


def truth(text: str, value: Any) -> bool:
    try:
        return bool(value)
    except Exception as error:
        raise ExpressionTypeError(
            text, 0, f"{_kind(value)} is neither true nor false", "Compare it with something."
        ) from error


def until(text: str, decisive: bool, operands: tuple[Evaluate, ...]) -> Evaluate:
    """Return ``or`` (*decisive* is true) or ``and``: the first decisive operand, else the last."""

    def evaluate(scope: Mapping[str, Any]) -> Any:
        value: Any = None
        for operand in operands:
            value = operand(scope)
            if truth(text, value) is decisive:
                break
        return value

    return evaluate


def constant(value: Any) -> Evaluate:
    # A list is made anew each time: the caller may keep what it gets, and expressions are shared.
    if isinstance(value, list):
        items = tuple(constant(item) for item in cast("list[Any]", value))
        return lambda scope: [item(scope) for item in items]
    return lambda scope: value
