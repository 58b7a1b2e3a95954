"""Undoing what a run has done when it fails or is cancelled, the latest first.

What is undone are finished steps, finished items of steps with ``for_each``, and parts that were
completed: a part undoes its own finished steps, in its own order, when its turn comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..definition.templates import compile_template
from ..state.step_run import COMPLETED

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from ..state.run import Run
    from ..state.step_run import Item, StepRun
    from .attempt import StepAttempt

Undoable = Callable[["StepPlan", str], bool]
"""Tells whether the workflow that works on a step (as its agent, or its fallback) can undo anything."""


class Undo(NamedTuple):
    """One thing that is to be undone."""

    step: int
    """Its index."""
    item: int | None = None
    part: bool = False
    """Whether a part undoes what it did; else the step's own compensation does."""
    iteration: int = 1
    """The round of a loop that the part belongs to."""
    via: str = "agent"


class Undoing:
    """What of a run is still to be undone. Part of its machine."""

    __slots__ = ("_failed", "_left", "_left_of", "before", "due_at", "tries")

    def __init__(self, run: Run, undoable: Undoable) -> None:
        undo = sorted(_to_undo(run, undoable), key=lambda one: one[0])
        self._left = [one for _, one in undo]
        """What is to be undone, the next one last."""
        self._left_of: Counter[Any] = Counter()
        """How much is left of each step, and of each item."""
        for one in self._left:
            self._left_of[one.step] += 1
            self._left_of[one.step, one.item] += 1
        self._failed: set[Any] = set()
        """Steps and items that could not be undone entirely."""
        self.tries = 0
        """How often the compensation that is under way has failed."""
        self.before: StepAttempt | None = None
        """The attempt at the next one that has failed: the event of its end tells what all have spent."""
        self.due_at: float | None = None
        """When it is tried again, in seconds since the epoch."""

    def __bool__(self) -> bool:
        return bool(self._left)

    def next(self) -> Undo:
        """Return what is undone next; until it is `done`, it stays the next."""
        return self._left[-1]

    def done(self, *, failed: bool = False) -> dict[str, Any]:
        """Take note that the next one has been undone, or cannot be; return what its record says."""
        one = self._left.pop()
        self.tries = 0
        self.before = None
        unit = (one.step, one.item)
        self._left_of[one.step] -= 1
        self._left_of[unit] -= 1
        if failed:
            self._failed |= {one.step, unit}
        data: dict[str, Any] = {}
        if one.item is not None:
            data["item"] = one.item
            if not self._left_of[one.step] and one.step not in self._failed:
                data["last"] = True
        if one.part:
            data["part"] = True
        if self._left_of[unit] or unit in self._failed:
            data["whole"] = False
        return data


def _to_undo(run: Run, undoable: Undoable) -> Iterator[tuple[tuple[float, int, int, int], Undo]]:
    """Return what is to be undone, each with its place in the order in which it was done."""
    for plan, found in zip(run.plan.steps, run.steps, strict=True):
        if found is not None and plan.id not in run.kept:
            if plan.for_each is None:
                yield from _of_step(run, plan, found, undoable)
            else:
                for index, item in (found.items or {}).items():
                    if item.done and not item.stood_in:
                        yield from _of_item(run, plan, index, item, undoable)


def _of_step(
    run: Run, plan: StepPlan, found: StepRun, undoable: Undoable
) -> Iterator[tuple[tuple[float, int, int, int], Undo]]:
    at, index = found.ended_at or 0.0, plan.index
    completed = found.state is COMPLETED
    own = completed and plan.definition.compensate is not None and not found.own_undone
    if own and plan.id not in run.undo_failed:
        yield (at, index, -1, plan.max_iterations + 1), Undo(index)
    if found.part and undoable(plan, found.via):
        rounds = found.iteration if completed else found.iteration - 1
        for iteration in range(1, rounds + 1):
            undo = Undo(index, None, True, iteration, found.via)
            yield (at, index, -1, iteration), undo


def _of_item(
    run: Run, plan: StepPlan, index: int, item: Item, undoable: Undoable
) -> Iterator[tuple[tuple[float, int, int, int], Undo]]:
    at = item.ended_at or 0.0
    own = plan.definition.compensate is not None and not item.own_undone
    if own and f"{plan.id}[{index}]" not in run.undo_failed:
        yield (at, plan.index, index, 2), Undo(plan.index, index)
    if item.part and undoable(plan, item.via):
        yield (at, plan.index, index, 1), Undo(plan.index, index, True, 1, item.via)


def undo_input(run: Run, plan: StepPlan, item: int | None) -> Any:
    """Return what the agent gets that undoes a step, or an item of one: by default its own output."""
    compensation = plan.definition.compensate
    assert compensation is not None, "only steps that have it are undone"
    scope = run.scope
    output = scope.get(plan.id)
    if item is not None:
        output = run.step(plan.index).item(item).output
    if "input" not in compensation.model_fields_set:
        return output
    around = {**scope, "output": output}
    if item is not None:
        assert plan.for_each is not None, "only such steps have items"
        around |= {"item": plan.for_each.build(scope)[item], "index": item}
    return compile_template(compensation.input).build(around)
