"""Copies of a stored run's values for handlers, which may change what they are given."""

from __future__ import annotations

from marshal import dumps, loads
from typing import Any, Final

CONTAINERS: Final = frozenset({dict, list})
"""The classes of what a handler can change."""


def own_copy(value: Any) -> Any:
    """Return a copy of *value*, which is as a store gives it back.

    A handler that changed the run's own value would change it for the steps behind it, and only as
    long as the run stays in this process.
    """
    cls = value.__class__
    if cls is dict:
        if CONTAINERS.isdisjoint(map(type, value.values())):
            return value.copy()
    elif cls is not list:
        return value
    elif CONTAINERS.isdisjoint(map(type, value)):
        return value.copy()
    # The format of compiled code knows exactly what JSON has, and is twice as fast as copying large
    # values here. Nothing is kept in it.
    return loads(dumps(value))
