"""What runs next: the one place where a simulated run has a choice.

A chooser is asked only when two or more candidates could go, so the list of its answers is the
whole schedule of a run, and 0 is always the candidate that has been ready longest.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol


class Chooser(Protocol):
    """Picks which of several ready candidates runs next."""

    def choose(self, candidates: Sequence[object]) -> int:
        """Return the index of the candidate that runs next; there are at least two.

        Candidates are what the asking queue holds: asyncio handles of the loop, or actors.
        The sequence is the queue's own: it must not be kept or changed.
        """
        ...


class RandomChooser:
    """Picks uniformly, from a seed."""

    __slots__ = ("_random",)

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def choose(self, candidates: Sequence[object]) -> int:
        return int(self._random() * len(candidates))
