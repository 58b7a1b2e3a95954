"""The error that says what is wrong with a definition."""

from __future__ import annotations

from collections.abc import Iterable

from ..vocabulary.causes import UnretriableError


class DefinitionError(UnretriableError, ValueError):
    """A definition, or a value that has to fit one, is wrong; ``problems`` lists everything that is."""

    def __init__(self, what: str, problems: Iterable[str], example: str = "") -> None:
        self.what = what
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            text = f"{what}: {self.problems[0]}"
        else:
            text = f"{what}:" + "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{text}\nFor example: {example}" if example else text)
