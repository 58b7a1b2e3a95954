"""The signal or the answer that a run waits for, and how it is given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import as_data

if TYPE_CHECKING:
    from agenticaiframework.patterns.engine import OrchestrationEngine, StepStatus, WorkflowStatus


@dataclass(frozen=True, slots=True)
class Wait:
    """A signal, or an answer, without which a run does not go on."""

    run_id: str
    """The run that waits: the one that was looked at, or one within it."""
    step: str
    name: str
    """The signal's name, or the question's id."""
    is_question: bool
    iteration: int
    said: str
    """What is asked, as a text."""

    async def answer(self, engine: OrchestrationEngine, value: Any) -> None:
        """Let the run go on with *value*. Raises `WorkflowEnded`, `AlreadyAnswered`, `TooManySignals`."""
        if self.is_question:
            await engine.answer(self.run_id, self.name, value)
        else:
            await engine.signal_workflow(self.run_id, self.name, value)


def wait_of(status: WorkflowStatus) -> Wait | None:
    """Return the first thing that a run, or one within it, waits for and has not been told.

    None for a run that has ended.
    """
    if status.finished:
        return None
    for run in (status, *status.children.values()):
        if run.finished:
            continue
        for step in run.steps.values():
            found = _wait_at(run.workflow_id, step)
            if found is not None:
                return found
    return None


def _wait_at(run_id: str, step: StepStatus) -> Wait | None:
    for question in step.questions:
        # One of a run within has a path in its id, and is found there.
        if not question.answered and question.step in ("", step.id):
            said = _said(question.data) or f"{step.id} asks {question.name}."
            return Wait(run_id, step.id, question.id, True, step.iterations, said)
    if step.state == "waiting" and step.waiting_for is not None and not step.questions:
        said = _said(step.question) or f"{step.id} waits for {step.waiting_for!r}."
        return Wait(run_id, step.id, step.waiting_for, False, step.iterations, said)
    return None


def _said(question: Any) -> str:
    if question is None or isinstance(question, str):
        return question or ""
    return json.dumps(as_data(question), ensure_ascii=False)


__all__ = ["Wait", "wait_of"]
