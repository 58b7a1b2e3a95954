"""How something is to be simulated, checked when it is said."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from math import isnan
from typing import Any

from .errors import SimulationError


class BadSimulationOption(SimulationError, ValueError):
    """How something is to be simulated was said in a way that means nothing."""

    def __init__(self, option: str, given: Any, wanted: str) -> None:
        super().__init__(f"{option}={given!r}: {wanted}")
        self.option = option
        self.given = given


def check_count(option: str, given: Any, example: int = 100) -> None:
    """Raise `BadSimulationOption` unless *given* is a whole number from 1."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        wanted = f"give a whole number from 1, as in {option}={example}"
        raise BadSimulationOption(option, given, wanted)


def check_seed(given: Any) -> None:
    """Raise `BadSimulationOption` unless *given* is a whole number."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise BadSimulationOption("seed", given, "give a whole number, as in seed=7")


def check_limit(given: Any) -> None:
    """Raise `BadSimulationOption` unless *given* is a number of seconds above 0."""
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or isnan(given) or given <= 0:
        wanted = "give virtual seconds, above 0, as in limit_s=86400"
        raise BadSimulationOption("limit_s", given, wanted)


def check_choice(option: str, given: Any, choices: Collection[str]) -> None:
    """Raise `BadSimulationOption` unless *given* is one of *choices*."""
    if given not in choices:
        near = difflib.get_close_matches(str(given), choices, 1)
        hint = f" (perhaps {near[0]!r})" if near else ""
        wanted = f"there are {', '.join(map(repr, choices))}{hint}"
        raise BadSimulationOption(option, given, wanted)


def check_known(given: Collection[str], known: Collection[str]) -> None:
    """Raise `BadSimulationOption` for a name in *given* that is no option."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"perhaps {near[0]}; " if near else ""
            raise BadSimulationOption(
                "options", name, f"there is no such option; {hint}there are {', '.join(known)}"
            )
