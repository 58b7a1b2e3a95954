"""What happens in a run: applied to it at once, and noted for the journal and those who follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..state.events import KIND_TEXT, EventKind, WorkflowEvent
from ..state.transitions import NO_DATA, STEP_CHANGES, apply
from ..store import Record

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from ..state.run import Run


class Notes:
    """What has happened in one run since it was last written and told. Part of its machine."""

    __slots__ = ("_run", "_stored", "events", "followed", "now", "records")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._stored = run.persist
        self.followed = False
        """Whether something outside follows the run."""
        self.now = 0.0
        """When that happened which is being decided about, in seconds since the epoch."""
        self.records: list[Record] = []
        self.events: list[WorkflowEvent] = []

    def happened(self, kind: EventKind, data: Any = None) -> None:
        """Take note of what happened to the run as a whole."""
        run, now = self._run, self.now
        if self._stored:
            self.records.append(Record(KIND_TEXT[kind], "", 0, data))
        if self.followed:
            self.events.append(WorkflowEvent(kind, run.id, "", 0, data, now))
        apply(run, kind, "", 0, data, now)

    def step(self, kind: EventKind, plan: StepPlan, attempt: int, data: Any = None) -> None:
        """Take note of what happened to a step."""
        run, now = self._run, self.now
        if self._stored:
            self.records.append(Record(KIND_TEXT[kind], plan.id, attempt, data))
        if self.followed:
            self.events.append(WorkflowEvent(kind, run.id, plan.id, attempt, data, now))
        found = run.steps[plan.index] or run.step(plan.index)
        STEP_CHANGES[kind](run, plan, found, attempt, data or NO_DATA, now)
