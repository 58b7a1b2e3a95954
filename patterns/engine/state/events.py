"""What happens in a run, as values: what is written into its journal and what `stream` yields."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from agenticaiframework.actors import as_data, is_a

from ...vocabulary.events import Chunk


class EventKind(StrEnum):
    """The kinds of events. Those of a stored run are also the kinds of its journal's records."""

    WORKFLOW_QUEUED = "workflow_queued"
    """It waits in a queue until an engine takes it; ``data`` holds the queue, its key and its priority."""
    WORKFLOW_STARTED = "workflow_started"
    """The run has begun; ``data`` holds its input."""
    WORKFLOW_RESUMED = "workflow_resumed"
    """It goes on after a failure or a cut, because it was told to."""
    WORKFLOW_REWOUND = "workflow_rewound"
    """`retry_from` has put it back to an earlier step."""
    WORKFLOW_CANCELLING = "workflow_cancelling"
    """It is to be cancelled; ``data`` holds how, and the reason."""
    WORKFLOW_COMPENSATING = "workflow_compensating"
    """What it did is being undone."""
    WORKFLOW_COMPLETED = "workflow_completed"
    """It has ended well."""
    WORKFLOW_FAILED = "workflow_failed"
    """It has ended with an error."""
    WORKFLOW_CANCELLED = "workflow_cancelled"
    """It has ended because it was cancelled."""
    DEFINITION_CHANGED = "definition_changed"
    """It goes on with another definition than it began with."""
    WORKFLOW_RECOVERED = "workflow_recovered"
    """An engine has taken it over; ``data`` holds how often that happened without progress."""
    WORKFLOW_BLOCKED = "workflow_blocked"
    """It cannot go on; ``data`` holds the reason."""
    WORKFLOW_INTERRUPTED = "workflow_interrupted"
    """It does not go on for now: its store does not answer (``data`` holds the reason; told to listeners
    alone, like the ``workflow_recovered`` that follows), or its engine was stopped in good order."""
    WORKFLOW_FORKED = "workflow_forked"
    """It begins with outcomes of another run; ``data`` says of which, where, and what was edited."""
    STATE_SET = "state_set"
    """What the run wants known has changed; ``data`` holds the ``state``."""

    STEP_STARTED = "step_started"
    """An attempt at a step has begun."""
    STEP_COMPLETED = "step_completed"
    """A step has ended well; ``data`` holds its output."""
    STEP_ITERATED = "step_iterated"
    """A round of a step with ``until`` has ended, and another one follows."""
    ITEM_COMPLETED = "item_completed"
    """One item of a step with ``for_each`` has ended well."""
    STEP_RETRYING = "step_retrying"
    """An attempt has failed, and another one follows."""
    STEP_FAILED = "step_failed"
    """A step has failed for good; ``data`` holds the error, and as ``failure`` what the run fails with."""
    STEP_SKIPPED = "step_skipped"
    """A step is left out: its condition is false, or ``on_error`` says so."""
    STEP_WAITING = "step_waiting"
    """A step waits for a signal."""
    STEP_SLEEPING = "step_sleeping"
    """A step lets time pass."""
    STEP_CANCELLED = "step_cancelled"
    """A step was stopped, because its run is being cancelled or has failed."""
    INNER_COMPLETED = "inner_completed"
    """An inner step of an attempt's handler has returned; ``data`` holds its name, place and output."""
    INNER_FAILED = "inner_failed"
    """One has raised, and is called again by the next attempt; ``data`` holds the error."""
    QUESTION_ASKED = "question_asked"
    """An attempt's handler has asked something; ``data`` holds the question's id, name and data."""
    QUESTION_ANSWERED = "question_answered"
    """It has been answered; ``data`` holds its id, and the answer as ``output``."""
    STEP_PARKED = "step_parked"
    """An attempt has been let go of, because its handler waits for answers and for nothing else."""
    COMPENSATION_STARTED = "compensation_started"
    """A step is being undone."""
    COMPENSATION_COMPLETED = "compensation_completed"
    """A step has been undone."""
    COMPENSATION_FAILED = "compensation_failed"
    """A step could not be undone; ``data`` holds the error."""

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

    @property
    def text(self) -> str:
        """The text that it adds to an answer which is streamed; empty for all other events."""
        data = self.data
        return data.text if is_a(data, Chunk) else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain data, for JSON."""
        data: dict[str, Any] = as_data(self._asdict())
        return data
