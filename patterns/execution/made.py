"""Patterns that a program makes bind the names in them; those read from data do not."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import wrong_call

_TRIED: Final = {
    "description": "A pattern has a name alone.",
    "input": "It is given to the call: `await pattern.execute(input)`.",
    "pipeline": "steps",
    "tasks": "steps",
}
"""Options of constructors elsewhere."""

_OVER: Final = ("steps", "branches", "agents", "workers", "experts", "members", "children")
"""The fields in which kinds of patterns have what they ask."""


class Made(ABCMeta):
    """The class of pattern classes: calling one makes a pattern and binds its names.

    After its whole constructor, because a kind of pattern may need what that sets to say what it asks.
    `from_dict` does not call the class, and binds nothing: a definition that was loaded is the same for
    all who execute it.
    """

    if not TYPE_CHECKING:  # or checkers would lose the parameters of the constructors

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                pattern = super().__call__(*args, **kwargs)
            except TypeError:
                error = cls._wrong_call(args, kwargs)
                if error is None:
                    raise  # the call fits; something within it did not
                raise error from None
            pattern._bound.bind(pattern.targets())
            return pattern

        def _wrong_call(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception | None:
            options = inspect.signature(cls.__init__).parameters
            own = next((option for option in _OVER if option in options), None)
            instead = {option: own for option in _OVER if own is not None and option != own}
            example = f"{cls.__name__}(name='p', {own or '...'}={'[...]' if own else '...'})"
            return wrong_call(cls, cls.__init__, (cls, *args), kwargs, example, _TRIED | instead)

        @property
        def __signature__(cls) -> inspect.Signature:
            """The constructor's parameters, which this class's `__call__` hides from `inspect`."""
            signature = inspect.signature(cls.__init__)
            return signature.replace(parameters=list(signature.parameters.values())[1:])
