"""The order of one run as data: recorded, replayed, and made smaller.

A chooser answers 0 for "the one that has been ready longest". So the plain order takes no data,
and a schedule is where a run left it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from .choosers import Chooser


class Schedule(BaseModel):
    """Which choices of a run were not the plain one: number of the choice -> index chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choices: Mapping[int, int] = {}

    @classmethod
    def of(cls, decisions: Sequence[int]) -> Schedule:
        """Return the schedule of a recorded list of answers."""
        return cls(choices={step: index for step, index in enumerate(decisions) if index})

    def code(self) -> str:
        """Return the Python expression that makes this schedule."""
        return f"Schedule(choices={dict(self.choices)!r})" if self.choices else "Schedule()"

    def __len__(self) -> int:
        return len(self.choices)


class RecordingChooser:
    """Asks another chooser, and keeps its answers in `decisions`."""

    __slots__ = ("_choose", "decisions")

    def __init__(self, inner: Chooser) -> None:
        self._choose = inner.choose
        self.decisions: list[int] = []

    def choose(self, candidates: Sequence[object]) -> int:
        index = self._choose(candidates)
        self.decisions.append(index)
        return index


class ReplayChooser:
    """Chooses as a schedule says, and what has been ready longest everywhere else.

    A schedule made for other code still runs: an index that is too large means the last candidate.
    """

    __slots__ = ("_choices", "_step")

    def __init__(self, schedule: Schedule) -> None:
        self._choices = dict(schedule.choices)
        self._step = 0

    def choose(self, candidates: Sequence[object]) -> int:
        index = self._choices.get(self._step, 0)
        self._step += 1
        return min(index, len(candidates) - 1)
