"""The JSON forms of values that pydantic's encoder does not know, and of those that are read only once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice
from pathlib import PurePath
from typing import Any, Final, TypeAlias, cast

from ..errors import ValueNotStorable

__all__ = ["MAX_ITEMS", "Known", "as_iterated", "form_of"]

Known: TypeAlias = tuple[Any, bytes]
"""The form of a value with its JSON, so that it need not be encoded again to be written."""

MAX_ITEMS: Final = 1_000_000
"""Values that are taken from an iterator: one without an end must not stop its engine."""

_AS_TEXT: Final = (IPv4Address, IPv4Network, IPv6Address, IPv6Network, PurePath)


def form_of(value: Any) -> Any:
    """Return what stands for *value* in a store; raises TypeError for what nothing can stand for.

    Arrays and scalars in the manner of NumPy become lists and numbers, mappings that are not
    dictionaries become dictionaries, other collections lists.
    """
    if not isinstance(value, type):
        if hasattr(value, "dtype") and callable(tolist := getattr(value, "tolist", None)):
            return tolist()
        if isinstance(value, Mapping):
            return dict(cast("Mapping[Any, Any]", value))
        if isinstance(value, memoryview):
            return value.tobytes()
        if isinstance(value, _AS_TEXT):
            return str(value)
        if isinstance(value, Collection):
            return list(cast("Collection[Any]", value))
    raise TypeError(f"{type(value).__name__} objects have no JSON form")


def as_iterated(value: Any, what: Callable[[], str]) -> Any:
    """Return the list of what an iterator yields; anything else as it is.

    Raises ValueNotStorable for more than `MAX_ITEMS`.
    """
    if not isinstance(value, Iterator):
        return value
    items: list[Any] = []
    try:
        items += islice(cast("Iterator[Any]", value), MAX_ITEMS + 1)
    except Exception as error:
        raise ValueNotStorable(what(), f"it ended with {type(error).__name__}: {error}") from error
    if len(items) > MAX_ITEMS:
        raise ValueNotStorable(what(), f"it yields more than {MAX_ITEMS:,} values")
    return items
