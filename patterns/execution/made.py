"""Patterns that a program makes bind the names in them; those read from data do not."""

from __future__ import annotations

from abc import ABCMeta
from typing import TYPE_CHECKING, Any


class Made(ABCMeta):
    """The class of pattern classes: calling one makes a pattern and binds its names.

    After its whole constructor, because a kind of pattern may need what that sets to say whom it asks.
    `from_dict` does not call the class, and binds nothing: a definition that was loaded is the same for
    all who execute it.
    """

    if not TYPE_CHECKING:  # or checkers would lose the parameters of the constructors

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            pattern = super().__call__(*args, **kwargs)
            pattern._bound.bind(pattern.targets())
            return pattern
