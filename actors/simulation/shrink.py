"""Makes a failing run small: fewer faults, simpler ones, and an order close to the plain one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import faults as f
from . import model_faults as m
from .fault_model import FaultModel
from .plan import FaultPlan
from .report import Report
from .schedule import Schedule

Run = Callable[[FaultPlan, "Schedule | int"], Report]
"""Makes one run from a plan and an order: a schedule, or the seed of a random one."""

_OTHER_SEEDS = 8
_COUNTS = (
    *("times", "at_message", "at_start", "at_operation", "at_step", "at_request", "at_call"),
    "count",
)
"""Fields of faults that count from 1."""


class Shrinker:
    """Shrinks one failure. `best` is the smallest run that still fails in the same way.

    A run counts as the same failure if it has the same `Report.failure`. At most *budget* runs.
    """

    def __init__(self, run: Run, failing: Report, *, budget: int = 400) -> None:
        self._run = run
        self._failure = failing.failure
        self._seed = failing.seed
        self._left = budget
        self.best = failing
        self.schedule = failing.schedule

    def shrink(self) -> Report:
        """Return the smallest failing run found; `schedule` is its order."""
        self._try(self.best.plan, Schedule())
        changed = True
        while changed and self._left > 0:
            changed = self._drop_faults()
            changed = self._simplify_faults() or changed
        self._straighten()
        return self.best

    def _try(self, plan: FaultPlan, order: Schedule | int) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        report = self._run(plan, order)
        if report.failure != self._failure:
            return False
        self.best = report
        self.schedule = report.schedule
        return True

    def _still_fails(self, plan: FaultPlan) -> bool:
        """Whether some order makes *plan* fail in the same way: a changed plan shifts the order."""
        if self._try(plan, Schedule()):
            return True
        if not self.schedule.choices:
            return False
        if self._try(plan, self.schedule):
            return True
        seeds = [] if self._seed is None else [self._seed]
        return any(self._try(plan, seed) for seed in (*seeds, *range(_OTHER_SEEDS)))

    def _drop_faults(self) -> bool:
        changed = False
        index = len(self.best.plan) - 1
        while index >= 0:
            if index < len(self.best.plan) and self._still_fails(self.best.plan.without(index)):
                changed = True
            index -= 1
        return changed

    def _simplify_faults(self) -> bool:
        changed = False
        for index in range(len(self.best.plan)):
            again = True
            while again and self._left > 0:
                again = False
                for simpler in simpler_faults(self.best.plan.faults[index]):
                    faults = list(self.best.plan.faults)
                    faults[index] = simpler
                    if self._still_fails(FaultPlan(faults=tuple(faults))):
                        changed = again = True
                        break
        return changed

    def _straighten(self) -> None:
        """Undo as many choices as possible: first many at once, then one by one."""
        size = max(len(self.schedule), 1)
        while size >= 1 and self._left > 0:
            kept = sorted(self.schedule.choices.items())
            start = 0
            while start < len(kept) and self._left > 0:
                fewer = kept[:start] + kept[start + size :]
                if self._try(self.best.plan, Schedule(choices=dict(fewer))):
                    kept = sorted(self.schedule.choices.items())
                else:
                    start += size
            size //= 2
        for step, index in sorted(self.schedule.choices.items()):
            if index > 1:
                self._try(
                    self.best.plan, Schedule(choices={**dict(self.schedule.choices), step: 1})
                )


def simpler_faults(fault: FaultModel) -> Iterator[Any]:
    """Yield faults that are simpler than *fault*, the simplest first."""

    def changed(**values: Any) -> Any:
        return type(fault).model_validate({**fault.model_dump(), **values})

    for name in _COUNTS:
        number = getattr(fault, name, None)
        if number is not None:
            for smaller in dict.fromkeys((1, number // 2, number - 1)):
                if 1 <= smaller < number:
                    yield changed(**{name: smaller})
    for name in ("at_time_s", "delay_s", "by_s", "heal_after_s", "retry_after_s"):
        seconds = getattr(fault, name, None)
        if seconds:
            for smaller in (0.0, 1.0, float(round(seconds)), round(seconds, 1)):
                if smaller < seconds:
                    yield changed(**{name: smaller})
    if isinstance(fault, m.CutStream) and fault.after:
        yield changed(after=fault.after - 1)
    if isinstance(fault, m.ServerError) and fault.status != 500:
        yield changed(status=500)
    if isinstance(fault, f.Crash) and fault.after:
        yield changed(after=False)
    if isinstance(fault, f.StopMachine) and fault.at_time_s is not None:
        yield f.StopMachine(at_step=1)
