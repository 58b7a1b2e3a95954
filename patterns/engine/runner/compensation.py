"""Undoing finished steps when their run fails or is cancelled, the latest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..definition.templates import compile_template
from ..state.step_run import COMPLETED

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from ..state.run import Run


class Undoing:
    """Which finished steps of a run are still to be undone. Part of its machine."""

    __slots__ = ("_left", "due_at", "tries")

    def __init__(self, run: Run) -> None:
        undo = sorted(
            (found.ended_at or 0.0, plan.index)
            for plan, found in zip(run.plan.steps, run.steps, strict=True)
            if plan.definition.compensate is not None
            and found is not None
            and found.state is COMPLETED
            and plan.id not in run.undo_failed
        )
        self._left = [index for _, index in undo]
        """The steps by index, the next one last."""
        self.tries = 0
        """How often the compensation that is under way has failed."""
        self.due_at: float | None = None
        """When it is tried again, in seconds since the epoch."""

    def __bool__(self) -> bool:
        return bool(self._left)

    def next(self) -> int:
        """Return the step that is undone next; until it is `done`, it stays the next."""
        return self._left[-1]

    def done(self) -> None:
        """Take note that the step has been undone, or cannot be."""
        self._left.pop()
        self.tries = 0


def undo_input(run: Run, plan: StepPlan) -> Any:
    """Return what the agent gets that undoes a step: by default the step's own output."""
    compensation = plan.definition.compensate
    assert compensation is not None, "only steps that have it are undone"
    output = run.scope.get(plan.id)
    if "input" in compensation.model_fields_set:
        return compile_template(compensation.input).build({**run.scope, "output": output})
    return output
