"""Calls as tasks of A2A: what is kept of them, and how they are told."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from a2a.helpers import new_data_part, new_text_message, new_text_part
from a2a.types import Artifact, Message, Part, Role, Task, TaskState, TaskStatus

from agenticaiframework.patterns.engine import WorkflowState, WorkflowStatus

from .calls import Call
from .failures import Failure, FailureKind
from .waits import wait_of

ANSWER: Final = "answer"
"""The id of the artifact that is the answer of a task."""

_STATES: Final = {
    FailureKind.BAD_INPUT: TaskState.TASK_STATE_REJECTED,
    FailureKind.CANCELLED: TaskState.TASK_STATE_CANCELED,
}

_RUN_STATES: Final = {
    WorkflowState.PENDING: TaskState.TASK_STATE_SUBMITTED,
    WorkflowState.COMPLETED: TaskState.TASK_STATE_COMPLETED,
    WorkflowState.FAILED: TaskState.TASK_STATE_FAILED,
    WorkflowState.CANCELLED: TaskState.TASK_STATE_CANCELED,
}


@dataclass(slots=True)
class Work:
    """A task whose call is, or was, made in this process."""

    task_id: str
    context_id: str
    who: str
    call: Call
    message: Message | None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def status(self) -> TaskStatus:
        """Return where it stands."""
        call = self.call
        if not call.done.is_set():
            return TaskStatus(state=TaskState.TASK_STATE_WORKING, timestamp=self.at)
        if call.failure is None:
            return TaskStatus(state=TaskState.TASK_STATE_COMPLETED, timestamp=self.at)
        return failed(call.failure, self.task_id, self.context_id, self.at)

    def task(self) -> Task:
        """Return it as the protocol has it, with its answer."""
        call = self.call
        answered = call.done.is_set() and call.failure is None
        return Task(
            id=self.task_id,
            context_id=self.context_id,
            status=self.status(),
            artifacts=[artifact_of(call.answer)] if answered else [],
            history=[] if self.message is None else [self.message],
        )


class Works:
    """The tasks of one app: those under way, and the latest that have ended. Owned by its loop."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._works: OrderedDict[str, Work] = OrderedDict()

    def add(self, work: Work) -> None:
        """Keep *work*."""
        self._works[work.task_id] = work
        ended = [each for each in self._works.values() if each.call.done.is_set()]
        for each in ended[: max(0, len(ended) - self._kept)]:
            del self._works[each.task_id]

    def find(self, task_id: str, who: str) -> Work | None:
        """Return the task of that id, if *who* has asked for it."""
        found = self._works.get(task_id)
        return found if found is not None and found.who == who else None

    def of(self, who: str) -> Iterator[Work]:
        """Yield the tasks that *who* has asked for, the newest first."""
        return (each for each in reversed(self._works.values()) if each.who == who)


def failed(failure: Failure, task_id: str, context_id: str, at: datetime | None) -> TaskStatus:
    """Return the status of a task that has ended without an answer: which, and why."""
    state = _STATES.get(failure.kind, TaskState.TASK_STATE_FAILED)
    return TaskStatus(state=state, message=said(failure.message, task_id, context_id), timestamp=at)


def said(text: str, task_id: str, context_id: str) -> Message:
    """Return *text* as a message of the agent."""
    return new_text_message(text, context_id=context_id, task_id=task_id, role=Role.ROLE_AGENT)


def artifact_of(answer: Any) -> Artifact:
    """Return an answer as an artifact: a text, or data."""
    return Artifact(artifact_id=ANSWER, name=ANSWER, parts=[part_of(answer)])


def part_of(answer: Any) -> Part:
    """Return an answer, or a part of its text."""
    return new_text_part(answer) if isinstance(answer, str) else new_data_part(answer)


def task_of_run(status: WorkflowStatus, context_id: str, output: Any) -> Task:
    """Return a run as a task; *output* is its output as data, if it has completed."""
    state = _RUN_STATES.get(status.state, TaskState.TASK_STATE_WORKING)
    why = status.reason or status.last_error
    message = None
    wait = None if status.finished else wait_of(status)
    if wait is not None:
        state = TaskState.TASK_STATE_INPUT_REQUIRED
        message = said(wait.said, status.workflow_id, context_id)
    if status.finished and state != TaskState.TASK_STATE_COMPLETED and why:
        message = said(why, status.workflow_id, context_id)
    at = status.finished_at or status.started_at or status.created_at
    done = state == TaskState.TASK_STATE_COMPLETED
    return Task(
        id=status.workflow_id,
        context_id=context_id,
        status=TaskStatus(
            state=state,
            message=message,
            timestamp=None if at is None else datetime.fromtimestamp(at, UTC),
        ),
        artifacts=[artifact_of(output)] if done else [],
    )
