"""Calls that Python refuses before the callee sees them, explained: the near option, and a form that works.

A constructor with twenty options is called wrongly by its name for one of them more often than in any
other way, and Python (before 3.13) says only that it did not expect that. What is right costs one more
call; nothing is looked at before something is wrong.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from .errors import WrongUse, near_names

C = TypeVar("C", bound=Callable[..., Any])


def explained(example: str, *others: str, **instead: str) -> Callable[[C], C]:
    """Return a decorator for methods: a call that does not fit them raises `WrongUse`.

    *example* is a call that works; of it and *others* that one is shown which has what was meant in
    it. *instead* has for options that do not exist, and are tried, what is
    meant: another option's name, or a sentence.
    """

    def decorate(method: C) -> C:
        # Called as a constructor is, so that who looks for the maker of an object passes over it too.
        @functools.wraps(method)
        def __init__(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, *args, **kwargs)
            except TypeError:
                kind: type = self.__class__
                error = wrong_call(kind, method, (self, *args), kwargs, (example, *others), instead)
                if error is None:
                    raise  # the call fits; something within it did not
            raise error

        return cast(C, __init__)

    return decorate


def wrong_call(
    owner: type,
    method: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    examples: tuple[str, ...],
    instead: Mapping[str, str],
) -> WrongUse | None:
    """Return the error of calling *method* with these; None if it can be called so."""
    called = owner.__name__
    if method.__name__ != "__init__":
        called += f".{method.__name__}"
    signature = inspect.signature(method)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        problem = str(error)
    else:
        return None
    options = [p.name for p in list(signature.parameters.values())[1:]]
    unknown = [name for name in kwargs if name not in options]
    if unknown:
        problem = " ".join(_unknown(name, options, instead) for name in unknown)
    else:
        problem = f"{problem}."
    meant = [instead.get(name, name) for name in unknown] or list(kwargs)
    fitting = (one for one in examples for name in meant if f"{name}=" in one)
    return WrongUse(f"{called}(): {problem} For example: {next(fitting, examples[0])}")


def _unknown(name: str, options: list[str], instead: Mapping[str, str]) -> str:
    meant = instead.get(name)
    if meant is None:
        hint = near_names(name, options)
        if not hint.startswith("Did"):
            hint = f"Its options are {', '.join(options)}."
    else:
        hint = f"It is called {meant!r} here." if meant in options else meant
    return f"{name!r} is not an option. {hint}"


def no_attribute(owner: object, name: str, instead: Mapping[str, str]) -> AttributeError:
    """Return the error for an attribute that *owner* does not have: of one that is tried, with *instead*."""
    hint = instead.get(name)
    said = f"{type(owner).__name__!r} object has no attribute {name!r}"
    return AttributeError(said if hint is None else f"{said}. {hint}", name=name, obj=owner)
