"""What the progress of a run says: one line for each event worth showing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from agenticaiframework.actors import Usage, describe_reason, line_of
from agenticaiframework.patterns import Ended, HandedOff, Retried, Started
from agenticaiframework.patterns.engine import EventKind, WorkflowEvent
from agenticaiframework.supervision import ReportKind, SupervisorReport

from .asked import answer_with, asked_with

Tone = Literal["quiet", "good", "bad", "notice", "said", "thought", "tool"]
"""How much a line matters; the last three are of an answer that comes in parts."""

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its *subject*, what is *said* of it, and how much it matters."""

    subject: str
    said: str
    tone: Tone = "quiet"


def workflow_line(event: WorkflowEvent, agent: str = "") -> Line | None:
    """Return the line for an event of a run, or None for one that needs none.

    *agent* works on the event's step.
    """
    match event.kind:
        case EventKind.WORK:
            return work_line(event.step, event.data)
        case EventKind.STEP_STARTED:
            again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
            return Line(event.step, f"{agent} at work{again}" if agent else f"started{again}")
        case EventKind.STEP_COMPLETED:
            return Line(event.step, "done", "good")
        case EventKind.STEP_ITERATED:
            return Line(event.step, "goes round again")
        case EventKind.STEP_RETRYING:
            return Line(event.step, f"attempt {event.attempt} failed; trying again", "notice")
        case EventKind.STEP_FAILED:
            return Line(event.step, "failed", "bad")
        case EventKind.STEP_SKIPPED:
            return Line(event.step, "skipped")
        case EventKind.STEP_WAITING:
            return Line(event.step, "waits for a signal", "notice")
        case EventKind.QUESTION_ASKED:
            return question_line(event)
        case EventKind.QUESTION_ANSWERED:
            return Line(event.step, f"{event.data['question']} is answered", "notice")
        case EventKind.STEP_SLEEPING:
            return Line(event.step, "waits for its time")
        case EventKind.STEP_CANCELLED:
            return Line(event.step, "cancelled", "notice")
        case EventKind.WORKFLOW_QUEUED:
            return Line("workflow", f"waits in the queue {event.data['queue']}", "notice")
        case EventKind.WORKFLOW_COMPENSATING:
            return Line("workflow", "undoing what was done", "notice")
        case EventKind.WORKFLOW_RECOVERED:
            return Line("workflow", "taken over", "notice")
        case EventKind.WORKFLOW_BLOCKED:
            return Line("workflow", f"is blocked: {event.data['reason']}", "bad")
        case EventKind.COMPENSATION_COMPLETED:
            return Line(event.step, "undone", "notice")
        case EventKind.COMPENSATION_FAILED:
            return Line(event.step, "could not be undone", "bad")
        case _:
            return None


def question_line(event: WorkflowEvent) -> Line:
    """Return the line for a question: what is asked, and the command that answers it."""
    name, data = str(event.data["question"]), event.data.get("data")
    said = asked_with(data)
    how = answer_with(event.workflow_id, name, data)
    return Line(
        event.step, f"asks {name}{': ' if said else ''}{said}; answer with: {how}", "notice"
    )


def work_line(step: str, event: Any) -> Line | None:
    """Return the line for what happens inside a step: agents at work in a pattern or a team."""
    where = " > ".join(filter(None, (step, getattr(event, "work", ""))))
    match event:
        case Started(agent=agent, attempt=attempt):
            again = f" (attempt {attempt})" if attempt > 1 else ""
            return Line(where, f"{agent} at work{again}")
        case Retried(agent=agent, attempt=attempt, error=error):
            said = f"{agent}: attempt {attempt} failed ({describe_error(error)}); trying again"
            return Line(where, said, "notice")
        case HandedOff(source=source, to=to, trigger=trigger):
            return Line(where, f"{source} hands over to {to} ({trigger})")
        case Ended(outcome=outcome):
            kind = type(outcome).__name__.lower()
            return Line(where, kind, "good" if kind == "completed" else "notice")
        case _:
            return None


def supervision_line(report: SupervisorReport) -> Line:
    """Return the line for what a supervisor did."""
    child = str(report.child)
    if report.kind is ReportKind.CHILD_TERMINATED:
        times = f"{report.in_window} of {report.limit} restarts in {report.period_s:g} s so far"
        why = describe_reason(report.reason)
        return Line("supervisor", f"{child} ended: {why} ({times}); {report.next}", "bad")
    what = report.kind.value.replace("_", " ")
    tone: Tone = "notice" if report.kind is ReportKind.STARTED_AFRESH else "bad"
    return Line("supervisor", f"{child}: {what}; {report.next}", tone)


def restart_line(agent: str, incarnation: int) -> Line:
    """Return the line for an agent that has been started again."""
    return Line("supervisor", f"{agent} is back (incarnation {incarnation})", "good")


def describe_error(error: BaseException) -> str:
    """Return what *error* says as one line, shortened."""
    first = line_of(error) or type(error).__name__
    return first if len(first) <= _WIDTH else first[: _WIDTH - 3] + "..."


def spent_line(event: WorkflowEvent) -> Line | None:
    """Return the line that says what a run has spent on models, at its end; None if nothing."""
    data: Any = event.data
    if event.step or not isinstance(data, Mapping) or "usage" not in data:
        return None
    fields = cast("Mapping[str, Any]", data)
    return Line("run", f"spent {Usage.from_dict(fields['usage'])}", "quiet")
