"""The types of what calls on a run return, and what makes values of them from their stored forms."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Final, TypeVar, Union, cast, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from pydantic import PydanticUserError, TypeAdapter

from agenticaiframework.actors import shown

_AS_IT_IS: Final = (None, type(None), Any, object, str, int, bool, float, dict, list)


class Annotations:
    """The types that the functions of one workflow's steps are annotated to return. Belongs to its plan.

    Not to the module: a type can lead back to its function, and both would then be kept for ever.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, TypeAdapter[Any] | None] = WeakKeyDictionary()

    def of(self, function: Callable[..., Any]) -> TypeAdapter[Any] | None:
        """Return what makes values of the type that *function* returns; None: they stay as they are."""
        function = getattr(
            function, "__func__", function
        )  # a bound method is a new object each time
        try:
            return self._known[function]
        except KeyError:
            found = self._known[function] = _annotated(function)
            return found
        except TypeError:  # it can be no key
            return _annotated(function)


def _annotated(function: Callable[..., Any]) -> TypeAdapter[Any] | None:
    try:
        hint = get_type_hints(function).get("return")
    except (NameError, TypeError):
        return None  # it is not a plain function, or its annotations stand for nothing here
    if hint in _AS_IT_IS or isinstance(hint, TypeVar):
        return None
    try:
        return TypeAdapter(hint)
    except (PydanticUserError, NameError):
        return None  # no value of it can be made from a stored form


def answers_of(target: Any) -> TypeAdapter[Any] | None:
    """Return what makes values of the type that *target* answers with, an agent with a model.

    None for one that asks its model for no type.
    """
    spec = getattr(target, "model_spec", None)
    output = getattr(spec, "output_type", None)
    if isinstance(output, (list, tuple)):
        kinds: tuple[Any, ...] = tuple(cast("list[Any]", output))
        if not kinds or not all(map(_is_type, kinds)):
            return None
        output = Union[kinds]  # noqa: UP007
    elif not _is_type(output) or output in _AS_IT_IS:
        return None
    return _adapter(output)


def _is_type(output: Any) -> bool:
    """Tell whether *output* is a type: not a function of what the model says, nor a mark round one."""
    is_one = isinstance(output, type) or get_origin(output) is not None
    return is_one and isinstance(output, Hashable)


def read_returns(returns: Any) -> TypeAdapter[Any] | None:
    """Return what makes values of the type *returns*; None if that is None.

    Raises TypeError for a type that no value can be made of.
    """
    if returns is None:
        return None
    try:
        return _adapter(returns) if isinstance(returns, Hashable) else TypeAdapter(returns)
    except (PydanticUserError, NameError):
        raise TypeError(
            f"returns={shown(returns, 80)}: no value of it can be made from a stored form. Give a "
            "pydantic model, a dataclass, a TypedDict, or a type made of these: returns=list[Report]"
        ) from None


@lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


__all__ = ["Annotations", "answers_of", "read_returns"]
