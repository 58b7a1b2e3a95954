"""What the engine tells about workflows: plain values, read at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class WorkflowState(StrEnum):
    """Where a workflow stands."""

    PENDING = "pending"
    """Accepted, and waiting for its turn."""
    RUNNING = "running"
    WAITING = "waiting"
    """For a signal or a time; it costs nothing but memory."""
    CANCELLING = "cancelling"
    COMPENSATING = "compensating"
    """It has failed, and what it did is being undone."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """Its engine is gone, or lost it; a stored one goes on with `recover` or `resume_workflow`."""

    @property
    def finished(self) -> bool:
        """Whether the run has ended; only a call such as `retry_from` makes it go on."""
        return self in _FINISHED


_FINISHED = frozenset({WorkflowState.COMPLETED, WorkflowState.FAILED, WorkflowState.CANCELLED})


class StepState(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    """Between two attempts."""
    WAITING = "waiting"
    """For a signal."""
    SLEEPING = "sleeping"
    """For a time."""
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    COMPENSATED = "compensated"
    """Completed, and undone since."""


@dataclass(frozen=True, slots=True)
class StepStatus:
    """One step of a run. Times are seconds since the epoch."""

    id: str
    state: StepState
    attempts: int = 0
    iterations: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    error: str | None = None
    waiting_for: str | None = None
    """The signal's name, while it waits for one."""
    due_at: float | None = None
    """When it goes on by itself, while it waits, sleeps or retries."""

    @property
    def duration_s(self) -> float | None:
        """Seconds from the first attempt's start to the end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


@dataclass(frozen=True, slots=True)
class WorkflowStatus:
    """A run at one moment. Times are seconds since the epoch."""

    workflow_id: str
    name: str
    state: WorkflowState
    current_steps: tuple[str, ...] = ()
    """The steps under way; of a failed run, those that failed."""
    progress: int = 0
    """Per cent of the steps that have ended."""
    steps: Mapping[str, StepStatus] = field(default_factory=dict[str, StepStatus])
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    last_error: str | None = None
    reason: str | None = None
    """Why it was cancelled."""
    persisted: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    parent: str | None = None

    @property
    def current_step(self) -> str | None:
        """The first of the steps under way; of a failed run, the one that failed."""
        return self.current_steps[0] if self.current_steps else None

    @property
    def finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state.finished

    @property
    def duration_s(self) -> float | None:
        """Seconds from its start to its end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at

    @property
    def attempts(self) -> int:
        """How many attempts all steps have taken together."""
        return sum(step.attempts for step in self.steps.values())


@dataclass(frozen=True, slots=True)
class WorkflowSummary:
    """A run in a list."""

    workflow_id: str
    name: str
    state: WorkflowState
    created_at: float | None = None
    finished_at: float | None = None
    last_error: str | None = None
    reason: str | None = None
    persisted: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowPage:
    """Some workflows, the newest first."""

    workflows: tuple[WorkflowSummary, ...]
    next: str | None = None
    """What to pass as ``page`` for the following ones; None at the end."""

    def __iter__(self) -> Any:
        return iter(self.workflows)

    def __len__(self) -> int:
        return len(self.workflows)

    def __getitem__(self, index: int) -> WorkflowSummary:
        return self.workflows[index]


@dataclass(frozen=True, slots=True)
class CancelReport:
    """What a cancellation did."""

    workflow_id: str
    state: WorkflowState
    reason: str
    already_finished: bool = False
    """Whether there was nothing left to cancel; ``state`` says how it had ended."""
    stopped_steps: tuple[str, ...] = ()
    """The steps that were under way, or waiting, and were stopped."""
    compensated_steps: tuple[str, ...] = ()
    failed_compensations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What `recover` found, by workflow id."""

    recovered: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Left alone, because their definition has changed: resume them with a choice."""
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Could not go on, and why."""

    def __len__(self) -> int:
        return len(self.recovered)


class WorkflowResult(dict[str, Any]):
    """What a workflow returned: step id -> output; a skipped step's is None.

    ``output`` is the output of the step that ended last on the page (skipped ones left out).
    """

    __slots__ = ("name", "output", "workflow_id")

    def __init__(
        self, outputs: Mapping[str, Any], output: Any, workflow_id: str, name: str
    ) -> None:
        super().__init__(outputs)
        self.output = output
        self.workflow_id = workflow_id
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return WorkflowResult, (dict(self), self.output, self.workflow_id, self.name)
