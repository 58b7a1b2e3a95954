"""The form of a value that a store gives back, worked out before it is stored.

So the run that got a value and the one that finds it in the journal after a crash see the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import from_json

from ..errors import ValueNotStorable
from .encoding import ValueLimits, encode_form
from .forms import Known, as_iterated

__all__ = ["stored_form"]

_SHORT: Final = 2_048
"""Characters of texts that need no look at their size, and bytes of JSON that are not kept."""

_FEW: Final = 16
"""Entries that are looked at one by one: beyond that the encoder is quicker."""

_DEEP: Final = 3
"""How deep mappings and lists are looked at one by one."""

_SMALL_INT: Final = 1 << 63

_SAME: Final = frozenset({bool, float, type(None)})
"""The classes of what is always its own form."""


def stored_form(
    value: Any, what: Callable[[], str], limits: ValueLimits
) -> tuple[Any, Known | None]:
    """Return *value* as it is read back, mappings and lists made anew; and its JSON, if that is long.

    Raises ValueNotStorable and ValueTooLarge.
    """
    cls = value.__class__
    if cls is dict or cls is list:
        form = _light(value, _DEEP)
        if form is not _HEAVY:
            return form, None
    elif cls is str:
        if len(value) > _SHORT or not value.isascii():
            encode_form(value, what, limits)
        return value, None
    elif cls in _SAME or (cls is int and -_SMALL_INT < value < _SMALL_INT):
        return value, None
    else:
        value = as_iterated(value, what)
    data = encode_form(value, what, limits)
    try:
        form = from_json(data)[0][0][0]
    except ValueError as error:
        try:
            # pydantic_core writes deeper nesting than it reads.
            form = json.loads(data)[0][0][0]
        except (ValueError, RecursionError):
            # For example a number with more digits than are read.
            raise ValueNotStorable(what(), f"it could not be read back ({error})") from error
    if cls is dict and len(form) != len(value):
        raise ValueNotStorable(what(), "two of its keys are the same as texts")
    return form, None if len(data) < _SHORT else (form, data[3:-3])


def _light(value: Any, deep: int) -> Any:
    """Return a copy of a small mapping or list that is its own form, or `_HEAVY` for any other.

    Encoding and decoding say the same, and take three times as long for what most agents return.
    """
    if len(value) > _FEW:
        return _HEAVY
    found: Any
    places: Any
    if value.__class__ is dict:
        for key in value:
            if key.__class__ is not str or not key.isascii() or len(key) > _SHORT:
                return _HEAVY
        found, places = value.copy(), value.items()
    else:
        found, places = value.copy(), enumerate(value)
    for place, item in places:
        cls = item.__class__
        if cls is str:
            if len(item) > _SHORT or not item.isascii():
                return _HEAVY
        elif cls is int:
            if not -_SMALL_INT < item < _SMALL_INT:
                return _HEAVY
        elif cls is dict or cls is list:
            part = _light(item, deep - 1) if deep else _HEAVY
            if part is _HEAVY:
                return _HEAVY
            found[place] = part
        elif cls not in _SAME:
            return _HEAVY
    return found


_HEAVY: Final = object()
