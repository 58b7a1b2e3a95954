"""What happens in a run: applied to it at once, and noted for the journal and the listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import NO_USAGE

from ..state.events import KIND_TEXT, EventKind, WorkflowEvent
from ..state.status import WorkflowState
from ..state.transitions import NO_DATA, STEP_CHANGES, apply, spent
from ..store import Record

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from ..state.run import Run


_ENDS: Final = frozenset(
    {
        EventKind.STEP_COMPLETED,
        EventKind.STEP_FAILED,
        EventKind.STEP_SKIPPED,
        EventKind.STEP_CANCELLED,
    }
)
"""The events that say what a step has spent, also where that is known already."""


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

    def told(self, kind: EventKind, step: str, attempt: int, data: Any) -> None:
        """Take note of what another journal tells of a step."""
        run, now = self._run, self.now
        if self._stored:
            self.records.append(Record(KIND_TEXT[kind], step, attempt, data))
        if self.followed:
            self.events.append(WorkflowEvent(kind, run.id, step, attempt, data, now))
        apply(run, kind, step, attempt, data, now)

    def step(self, kind: EventKind, plan: StepPlan, attempt: int, data: Any = None) -> None:
        """Take note of what happened to a step."""
        run, now = self._run, self.now
        if plan.call is not None and run.steps[plan.index] is None:
            data = {**(data or NO_DATA), "call": plan.call}
            if run.state is not WorkflowState.RUNNING:
                run.step(plan.index).after_end = True
        found = run.steps[plan.index] or run.step(plan.index)
        if found.usage is not NO_USAGE and kind in _ENDS and (data is None or "usage" not in data):
            data = {**(data or NO_DATA), "usage": found.usage.to_record()}
        if self._stored:
            self.records.append(Record(KIND_TEXT[kind], plan.id, attempt, data))
        if self.followed:
            self.events.append(WorkflowEvent(kind, run.id, plan.id, attempt, data, now))
        if data is not None and "usage" in data:
            spent(run, found, data)
        STEP_CHANGES[kind](run, plan, found, attempt, data or NO_DATA, now)
