"""Answers to the questions of handlers: which question is meant, and whether it has an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ..errors import AlreadyAnswered, UnknownQuestion, UnknownWorkflow, WorkflowEnded
from ..runner.waiting import ANSWER
from ..state.events import EventKind
from ..state.status import AnswerReport

if TYPE_CHECKING:
    from ..state.status import Question, WorkflowStatus
    from ..state.stream import WorkflowStream
    from .control import RunControl


ASKING: Final = frozenset({EventKind.QUESTION_ASKED, EventKind.STEP_PARKED})
"""The events after which there may be a question."""
NESTED_S: Final = 0.5
"""How often nested runs are looked at for their questions."""


class Asked(NamedTuple):
    """A question, in the run that has asked it."""

    run_id: str
    path: str
    """The path of that run from the one that was looked at, with a stroke behind it; or nothing."""
    question: Question

    @property
    def id(self) -> str:
        """What it is called in the run that was looked at."""
        return f"{self.path}{self.question.id}"


def questions_in(status: WorkflowStatus) -> list[Asked]:
    """Return the open questions of a run and of its nested ones."""
    runs = {"": status, **{f"{path}/": child for path, child in status.children.items()}}
    return [
        Asked(run.workflow_id, path, question)
        for path, run in runs.items()
        for step in run.steps.values()
        for question in step.questions
    ]


def find_question(status: WorkflowStatus, wanted: str) -> Asked:
    """Return the one open question that *wanted* names: by its id, the end of it, or its call.

    Raises `UnknownQuestion` for none, and for one of several.
    """
    asked = questions_in(status)
    for one in asked:
        if one.id == wanted:
            return one
    found = [one for one in asked if _is_named(one, wanted)]
    if len(found) == 1:
        return found[0]
    raise UnknownQuestion(
        status.workflow_id, wanted, [one.id for one in found or asked], several=len(found) > 1
    )


def _is_named(asked: Asked, wanted: str) -> bool:
    call = _fields(asked.question).get("call_id")
    name = asked.question.name
    return wanted in (name, call) or asked.id.endswith(f"/{wanted}")


def _fields(question: Question) -> dict[str, Any]:
    data = question.data
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


async def answer_question(
    control: RunControl, run_id: str, wanted: str, value: Any, *, approval: bool = False
) -> AnswerReport:
    """Keep the answer to an open question, until its handler takes it.

    *approval*: only the question whether a tool may be called is meant.
    """
    status = await control.status(run_id, outputs=False)
    try:
        asked = find_question(status, wanted)
    except UnknownQuestion:
        await _refuse_answered(control, status, wanted)
        if status.state.finished:
            raise WorkflowEnded(run_id, str(status.state)) from None
        raise
    if approval and "tool" not in _fields(asked.question):
        raise ValueError(
            f"the question {asked.id!r} of run {run_id!r} is not about a tool's call: "
            f"await engine.answer({run_id!r}, {asked.id!r}, value)"
        )
    name = f"{ANSWER}{asked.question.id}"
    if await control.is_pending(asked.run_id, name):
        raise AlreadyAnswered(run_id, asked.id)
    report = await control.signal(asked.run_id, name, value, late=False)
    if await _was_second(control, asked, report.number):
        raise AlreadyAnswered(run_id, asked.id)
    return AnswerReport(asked.run_id, asked.question.id, report.state)


async def first_question(control: RunControl, run_id: str, events: WorkflowStream) -> Question:
    """Return the first question that has no answer, when there is one. *events* are those of the run.

    Raises `WorkflowEnded`.
    """
    goes_on = True
    while True:
        status = await control.status(run_id, outputs=False)
        for question in status.questions:
            if not question.answered:
                return question
        if status.finished or not goes_on:
            raise WorkflowEnded(run_id, str(status.state))
        goes_on = await _something_may_be_asked(events)


async def _something_may_be_asked(events: WorkflowStream) -> bool:
    """Wait until the run has asked something, or a nested one may have; return whether it goes on."""
    try:
        async with asyncio.timeout(NESTED_S):
            async for event in events:
                if event.kind in ASKING:
                    return True
            return False
    except TimeoutError:
        return True  # its own events tell nothing of the nested runs


async def _was_second(control: RunControl, asked: Asked, number: int) -> bool:
    """Tell whether another answer was kept before the one with *number*, which is not taken then."""
    if not number:
        return False
    pending = await control.pending(asked.run_id, f"{ANSWER}{asked.question.id}")
    if pending and pending[0] < number:
        return True
    return (await control.answered(asked.run_id)).get(asked.question.id, number) != number


async def _refuse_answered(control: RunControl, status: WorkflowStatus, wanted: str) -> None:
    """Raise `AlreadyAnswered` if *wanted* names a question that has an answer."""
    for path, run in {"": status, **{f"{p}/": c for p, c in status.children.items()}}.items():
        try:
            answered = await control.answered(run.workflow_id)
        except UnknownWorkflow:
            continue
        for one in answered:
            full = f"{path}{one}"
            if wanted == full or full.endswith((f"/{wanted}", f":{wanted}")):
                raise AlreadyAnswered(status.workflow_id, full)


__all__ = ["Asked", "answer_question", "find_question", "first_question", "questions_in"]
