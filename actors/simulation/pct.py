"""Probabilistic concurrency testing: few, well placed changes instead of many random ones.

Source: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic
Guarantees of Finding Bugs", ASPLOS 2010. Every runner gets a random priority and the highest one
that is ready runs; at d - 1 random steps the runner's priority drops below all first ones. A bug
that needs d ordering constraints among n runners and k steps is found by one run with probability
at least 1 / (n * k ** (d - 1)), whatever the program; most real bugs have d of 1 to 3.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Sequence

from .candidates import CallbackLane, key_of, owner_of

_PATIENCE = 1_000
"""Choices in a row for one runner, after which it is taken to spin and is put last.

The guarantee assumes that runners block when they cannot go on; code that polls does not.
"""


class PctChooser:
    """Picks by random priorities with *depth* - 1 change points among *steps* choices.

    *steps* should be about the number of choices that a run makes: `Report.choices` of an earlier
    run. *depth* is the number of ordering constraints to hit by design.
    """

    __slots__ = (
        "_change_at",
        "_floor",
        "_last",
        "_of_steps",
        "_priorities",
        "_random",
        "_row",
        "_step",
    )

    def __init__(self, seed: int, *, depth: int = 3, steps: int = 1_000) -> None:
        if depth < 1 or steps < 1:
            raise ValueError(
                "depth and steps count from 1, as in PctChooser(seed=1, depth=3, steps=1000)"
            )
        self._random = random.Random(seed)
        points = min(depth - 1, steps)
        #: Step -> the low priority that it gives, all below those of new runners (over 1).
        places = self._random.sample(range(1, steps + 1), points)
        self._change_at = {step: (rank + 1) / (depth + 1) for rank, step in enumerate(places)}
        self._priorities: dict[tuple[str, int], float] = {}
        #: Of single steps, by identity: a step that ran without being chosen leaves its entry
        #: behind, and its identity may be another's then, which the reference tells.
        self._of_steps: dict[int, tuple[float, weakref.ref[object]]] = {}
        self._step = 0
        self._floor = 0.0
        self._last: tuple[str, int] | None = None
        self._row = 0

    def choose(self, candidates: Sequence[object]) -> int:
        self._step += 1
        best = -1
        best_priority = float("-inf")
        best_key = ("", 0)
        for index, candidate in enumerate(candidates):
            key = key_of(owner_of(candidate))
            single = key[0] == "step" and not isinstance(candidate, CallbackLane)
            priority = self._priority_of_step(candidate) if single else self._priority(key)
            if priority > best_priority:
                best, best_priority, best_key = index, priority, key
        low = self._change_at.get(self._step)
        if best_key[0] == "step" and not isinstance(candidates[best], CallbackLane):
            self._last = None  # what spins comes again: a runner, or callbacks that call themselves
        elif best_key == self._last:
            self._row += 1
            if self._row > _PATIENCE:
                self._floor -= 1.0
                low = self._floor
                self._row = 0
        else:
            self._last, self._row = best_key, 0
        if low is not None and best_key in self._priorities:
            self._priorities[best_key] = low
        return best

    def _priority(self, key: tuple[str, int]) -> float:
        priority = self._priorities.get(key)
        if priority is None:
            priority = self._priorities[key] = 1.0 + self._random.random()
        return priority

    def _priority_of_step(self, candidate: object) -> float:
        entry = self._of_steps.get(id(candidate))
        if entry is None or entry[1]() is not candidate:
            entry = (1.0 + self._random.random(), weakref.ref(candidate))
            self._of_steps[id(candidate)] = entry
        return entry[0]


def chance_of_finding(runners: int, steps: int, depth: int) -> float:
    """Return the least probability that one run finds a bug of *depth* (the paper's theorem)."""
    return 1.0 / (runners * float(steps) ** (depth - 1))
