"""What happens in a run, as values: what is written into its journal and what `stream` yields."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple


class EventKind(StrEnum):
    """The kinds of events. Those of a stored run are also the kinds of its journal's records."""

    WORKFLOW_STARTED = "workflow_started"
    WORKFLOW_RESUMED = "workflow_resumed"
    WORKFLOW_REWOUND = "workflow_rewound"
    WORKFLOW_CANCELLING = "workflow_cancelling"
    WORKFLOW_COMPENSATING = "workflow_compensating"
    WORKFLOW_COMPLETED = "workflow_completed"
    WORKFLOW_FAILED = "workflow_failed"
    WORKFLOW_CANCELLED = "workflow_cancelled"
    DEFINITION_CHANGED = "definition_changed"

    STEP_STARTED = "step_started"
    STEP_COMPLETED = "step_completed"
    STEP_ITERATED = "step_iterated"
    ITEM_COMPLETED = "item_completed"
    STEP_RETRYING = "step_retrying"
    STEP_FAILED = "step_failed"
    STEP_SKIPPED = "step_skipped"
    STEP_WAITING = "step_waiting"
    STEP_SLEEPING = "step_sleeping"
    STEP_CANCELLED = "step_cancelled"
    COMPENSATION_STARTED = "compensation_started"
    COMPENSATION_COMPLETED = "compensation_completed"
    COMPENSATION_FAILED = "compensation_failed"

    WORK = "work"
    """Something inside a step: ``data`` is an event of the pattern or team that it runs, or a part
    of an agent's answer. Not journaled."""


KIND_TEXT: Final[Mapping[EventKind, str]] = {kind: kind.value for kind in EventKind}
"""The kinds as plain texts: what encodes them need not look into an enum each time."""

LAST = frozenset(
    {EventKind.WORKFLOW_COMPLETED, EventKind.WORKFLOW_FAILED, EventKind.WORKFLOW_CANCELLED}
)
"""The kinds after which nothing follows, unless the run is resumed."""


class WorkflowEvent(NamedTuple):
    """One thing that happened in a run; ``at`` is in seconds since the epoch."""

    kind: EventKind
    workflow_id: str
    step: str = ""
    attempt: int = 0
    data: Any = None
    at: float = 0.0
    seq: int | None = None
    """Its number in the journal, if it stands there."""
