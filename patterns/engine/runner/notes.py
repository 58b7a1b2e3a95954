"""What happens in a run: applied to it at once, and noted for the journal and those who follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..state.events import KIND_TEXT, EventKind, WorkflowEvent
from ..state.transitions import apply
from ..store import Record

if TYPE_CHECKING:
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

    def happened(self, kind: EventKind, step: str = "", attempt: int = 0, data: Any = None) -> None:
        """Take note of an event."""
        run = self._run
        if self._stored:
            self.records.append(Record(KIND_TEXT[kind], step, attempt, data))
        if self.followed:
            self.events.append(WorkflowEvent(kind, run.id, step, attempt, data, self.now))
        apply(run, kind, step, attempt, data, self.now)
