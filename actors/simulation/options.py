"""How something is to be simulated, checked where it is said."""

from __future__ import annotations

from collections.abc import Collection
from math import isnan
from typing import Any, NoReturn

from agenticaiframework.actors.errors import near_names

from .errors import BadSimulation


def _refuse(option: str, given: Any, wanted: str) -> NoReturn:
    raise BadSimulation(f"{option}={given!r}: {wanted}")


def check_count(option: str, given: Any, example: int = 100) -> None:
    """Raise `BadSimulation` unless *given* is a whole number from 1."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        _refuse(option, given, f"give a whole number from 1, as in {option}={example}")


def check_seed(given: Any) -> None:
    """Raise `BadSimulation` unless *given* is a whole number."""
    if isinstance(given, bool) or not isinstance(given, int):
        _refuse("seed", given, "give a whole number, as in seed=7")


def check_limit(given: Any) -> None:
    """Raise `BadSimulation` unless *given* is a number of seconds above 0."""
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or isnan(given) or given <= 0:
        _refuse("limit_s", given, "give virtual seconds, above 0, as in limit_s=86400")


def check_choice(option: str, given: Any, choices: Collection[str]) -> None:
    """Raise `BadSimulation` unless *given* is one of *choices*."""
    if given not in choices:
        _refuse(option, given, near_names(str(given), choices))


def check_known(given: Collection[str], known: Collection[str]) -> None:
    """Raise `BadSimulation` for a name in *given* that is not an option."""
    for name in given:
        if name not in known:
            raise BadSimulation(f"There is no option {name!r}. {near_names(name, known)}")
