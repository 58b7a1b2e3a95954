"""What the engine tells about workflows: plain values, read at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from agenticaiframework.actors import (
    NO_USAGE,
    HtmlState,
    Usage,
    as_data,
    fields_of,
    html_table,
    shown,
)


class WorkflowState(StrEnum):
    """Where a workflow stands."""

    PENDING = "pending"
    """Accepted, and waiting for its turn."""
    RUNNING = "running"
    WAITING = "waiting"
    """For a signal or a time; it costs nothing but memory."""
    BLOCKED = "blocked"
    """It cannot go on as things are, for example with the definitions that its engine knows; its
    last error says why. Its time limits still run, and it goes on once it can."""
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
        """Whether the run has ended: nothing happens any more, unless it is resumed."""
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
class Question:
    """What a handler has asked, and waits for."""

    id: str
    """What `answer` knows it by, in the run that was looked at: ``refund/approve``, ``book/pay/approve#2``."""
    name: str
    data: Any = None
    """What it was asked with."""
    asked_at: float | None = None
    """When, in seconds since the epoch."""
    step: str = ""
    """The step that waits for it; of a nested run with its path."""
    item: int | None = None
    answered: bool = False
    """Whether there is an answer, which the step has not taken yet."""

    def to_dict(self) -> dict[str, Any]:
        """Return the question as plain data, for JSON."""
        return fields_of(self)


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
    item_errors: Mapping[int, str] = field(default_factory=dict[int, str])
    """Of a step with ``for_each``: why items have failed that were skipped or have a default, by
    index; the first of them, if they are many."""
    waiting_for: str | None = None
    """The signal's name, or the question's id, while it (or a nested run of it) waits for one."""
    due_at: float | None = None
    """When it goes on by itself, while it waits, sleeps or retries."""
    inner: tuple[str, ...] = ()
    """The inner steps of its handler that the next attempt does not repeat, until the step has ended."""
    inner_count: int = 0
    """How many inner steps have been recorded, over all attempts and items."""
    question: Any = None
    """What code asks with the signal that it waits for, or what the first of its questions was asked with."""
    questions: tuple[Question, ...] = ()
    """What its handlers have asked, and have taken no answer to yet."""
    usage: Usage = NO_USAGE
    """What it has spent on models: all attempts, and what the nested runs have that have ended."""

    @property
    def duration_s(self) -> float | None:
        """Seconds from the first attempt's start to the end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at

    def to_dict(self) -> dict[str, Any]:
        """Return the status as plain data, for JSON."""
        return fields_of(self)


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
    recoveries: int = 0
    """How often it was taken over from an engine that was gone, or went on after it was blocked."""
    compensated: tuple[str, ...] = ()
    """What has been undone: steps, items (``each[0]``), and what was in nested runs (``book/hotel``)."""
    failed_compensations: tuple[str, ...] = ()
    root: str | None = None
    """The outermost run around it, if it is a part of another."""
    owner: str | None = None
    """The engine that has a stored run; it may be gone."""
    owner_seen_at: float | None = None
    """When that gave its last sign of life."""
    children: Mapping[str, WorkflowStatus] = field(default_factory=dict[str, "WorkflowStatus"])
    """The nested runs, and theirs, by their paths: ``book``, ``each[0]``, ``book/hotel``."""
    forked_from: str | None = None
    """The id of the run that it was forked from."""
    outputs: Mapping[str, Any] | None = None
    """What the steps have returned that have ended, by id; None unless it was asked for."""
    usage: Usage = NO_USAGE
    """What it has spent on models, with all beneath it, as its journal tells."""
    input: Any = None
    """What it was started with; None unless the outputs were asked for."""
    queue: str | None = None
    """The queue that it was started in."""
    queue_key: str | None = None
    priority: int = 0
    queue_place: int | None = None
    """How many runs of its queue come before it, while it waits to be taken; 0: it is the next."""
    queue_reason: str | None = None
    """Why it has not been taken yet, in words: no engine serves its queue, its key is full, the rate is used
    up, or what is ahead of it. Limits are told by an engine that serves the queue, since they are its own;
    another one tells how many of the key are under way. At most a second old."""

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a line for each step."""
        rows = [
            (id, HtmlState(step.state), step.attempts, _rounded(step.duration_s), step.error)
            for id, step in self.steps.items()
        ]
        head = ("step", "state", "attempts", "seconds", "error")
        title = f"Workflow {self.name}: {self.state}, {self.progress} %"
        return html_table(title, head, rows, self.last_error or self.workflow_id)

    @property
    def questions(self) -> tuple[Question, ...]:
        """What handlers have asked in it and in its nested runs, and have taken no answer to yet."""
        found = [question for step in self.steps.values() for question in step.questions]
        for path, child in self.children.items():
            for step in child.steps.values():
                for question in step.questions:
                    place = f"{path}/{question.step}"
                    found.append(replace(question, id=f"{path}/{question.id}", step=place))
        return tuple(found)

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

    def to_dict(self) -> dict[str, Any]:
        """Return the status as plain data, for JSON."""
        return {
            **fields_of(self),
            "current_step": self.current_step,
            "finished": self.finished,
            "questions": [question.to_dict() for question in self.questions],
        }


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
    root: str | None = None
    owner: str | None = None
    """The engine that has a stored run; it may be gone."""
    owner_seen_at: float | None = None
    """When that gave its last sign of life."""
    queue: str | None = None
    """The queue that it was started in."""
    queue_key: str | None = None
    priority: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain data, for JSON."""
        return fields_of(self)


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

    def to_dict(self) -> dict[str, Any]:
        """Return the page as plain data, for JSON."""
        return fields_of(self)


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue at one moment: what stands in it, and which engines serve it."""

    name: str
    waiting: int = 0
    """Runs that no engine has taken yet."""
    taken: int = 0
    """Runs that count with its limits: those under way, those that wait for a signal or a time, and those of
    dead engines that have not been taken over."""
    oldest_at: float | None = None
    """When the one was created that has waited longest, in seconds since the epoch."""
    engines: tuple[str, ...] = ()
    """The living engines that serve it. Without one nothing is taken: it waits, and is not lost."""

    def to_dict(self) -> dict[str, Any]:
        """Return the status as plain data, for JSON."""
        return fields_of(self)


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
    """Those that were undone; what was in nested runs by its path: ``book/hotel``."""
    failed_compensations: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        return fields_of(self)


@dataclass(frozen=True, slots=True)
class SignalReport:
    """Where a signal went that was sent and kept."""

    workflow_id: str
    signal: str
    state: WorkflowState
    """Where the run stood when the signal was kept: one that is ``blocked`` takes it once it goes on."""
    reason: str | None = None
    """Why the run is blocked, if it is."""
    number: int = 0
    """Its number in the store; 0 for a run in memory."""
    waits_for: tuple[str, ...] = ()
    """The signals that the run and its parts waited for then, if this engine has it: none of them, where
    the signal came early, or its name is not the one that was meant."""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, the state as text."""
        return fields_of(self)


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """Where an answer went that was given to a question, and is kept."""

    workflow_id: str
    """The run that has asked: the one that was named, or a nested one."""
    question: str
    """The id of the question in that run."""
    state: WorkflowState
    """Where that run stood when the answer was kept."""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, the state as text."""
        return fields_of(self)


@dataclass(frozen=True, slots=True)
class BulkReport:
    """What an operation on many runs did."""

    matched: int = 0
    """How many runs it was for."""
    done: int = 0
    """For how many of them something was done; forgotten parts count, too."""
    unchanged: int = 0
    """How many were left as they are: they had ended already, or must stay."""
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    """For which it failed, and why, by id."""


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What `recover` found, by workflow id."""

    recovered: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Left alone, because their definition has changed: resume them with a choice."""
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Could not go on, and why: what is wrong with it, or that it was taken over too often."""
    blocked: Mapping[str, str] = field(default_factory=dict[str, str])
    """All that cannot go on as things are, and why; each goes on once an engine that can run it
    recovers it."""

    def __len__(self) -> int:
        return len(self.recovered)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        return fields_of(self)


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What `drain` did with the runs of an engine, by workflow id; nested ones count with their roots."""

    engine: str
    finished: int = 0
    """How many came to their end here meanwhile."""
    parked: tuple[str, ...] = ()
    """Stored runs that were given back before their end: another engine goes on with them."""
    cut_off: tuple[str, ...] = ()
    """Those of them that had a step under way at the deadline: it is repeated from its beginning."""
    lost: tuple[str, ...] = ()
    """Runs in memory alone that had not ended by the deadline: they failed."""
    held_on: tuple[str, ...] = ()
    """Runs that the store did not let go in time: they are free once the engine's lease has ended."""
    duration_s: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing has to be repeated, is lost or has to be waited for."""
        return not (self.cut_off or self.lost or self.held_on)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        return {**fields_of(self), "clean": self.clean}


class WorkflowResult(dict[str, Any]):
    """What a workflow returned: step id -> output; a skipped step's is None.

    ``output`` is the output of the last step in definition order (skipped ones left out).
    """

    __slots__ = ("name", "output", "workflow_id")

    def __init__(
        self, outputs: Mapping[str, Any], output: Any, workflow_id: str, name: str
    ) -> None:
        super().__init__(outputs)
        self.output = output
        self.workflow_id = workflow_id
        self.name = name

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a line for each step."""
        rows = [(step, shown(value, 300)) for step, value in self.items()]
        return html_table(f"Workflow {self.name}", ("step", "output"), rows, self.workflow_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the outputs, with whose they are, as plain data, for JSON."""
        data: dict[str, Any] = as_data(
            {
                "workflow_id": self.workflow_id,
                "name": self.name,
                "outputs": dict(self),
                "output": self.output,
            }
        )
        return data

    def __reduce__(self) -> tuple[Any, ...]:
        return WorkflowResult, (dict(self), self.output, self.workflow_id, self.name)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(max(0.0, seconds), 3)
