"""The error that says what is wrong with a definition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..vocabulary.causes import UnretriableError

MAX_SHOWN: Final = 50
"""Problems that stand in the text of the error."""


class Problems(ValueError):
    """What a check of pydantic's raises for several problems: each stands by itself in the error."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class DefinitionError(UnretriableError, ValueError):
    """A definition, or a value that has to fit one, is wrong; ``problems`` lists everything that is."""

    def __init__(self, what: str, problems: Iterable[str], example: str = "") -> None:
        self.what = what
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            text = f"{what}: {self.problems[0]}"
        else:
            shown = self.problems[:MAX_SHOWN]
            text = f"{what}:" + "".join(f"\n  - {problem}" for problem in shown)
            if len(self.problems) > len(shown):
                text += f"\n  - and {len(self.problems) - len(shown):,} more"
        super().__init__(f"{text}\nFor example: {example}" if example else text)
