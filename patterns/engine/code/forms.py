"""The form in which code sees what was recorded: the same in the life that recorded it and in a later one."""

from __future__ import annotations

import sys
from typing import Any, Final

from ..store.grouped.encoding import ValueLimits
from ..store.grouped.stored_form import stored_form as form_in_store

_LIMITS: Final = ValueLimits(max_value_bytes=sys.maxsize)
"""How large a value may be is the store's to say, where there is one."""


def stored_form(value: Any) -> Any:
    """Return what *value* reads as when it comes back from a store; a new object each time.

    Raises ValueNotStorable, which is a TypeError, for what has no such form.

    >>> stored_form({"at": (1, 2.5), "who": {"ann"}})
    {'at': [1, 2.5], 'who': ['ann']}
    """
    return form_in_store(value, _what, _LIMITS)[0]


def _what() -> str:
    return "what the code of a workflow was given, has returned or shows"
