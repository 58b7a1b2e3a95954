"""The runs of an engine: pages of a list, one run, its journal, and its steps as a graph."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast

from agenticaiframework.actors import AgenticError, as_data
from agenticaiframework.patterns import target_name
from agenticaiframework.patterns.engine import (
    NotStored,
    OrchestrationEngine,
    Span,
    StepStatus,
    WorkflowEvent,
    WorkflowFilter,
    WorkflowState,
    WorkflowStatus,
    WorkflowSummary,
)

from .texts import LONG, cut, data_text, text

COUNTED: Final = 100
"""Runs of a state that are counted; more are said to be more."""

UNFINISHED: Final = ("running", "waiting", "pending", "blocked", "compensating", "cancelling")

MOST_LOOKED_AT: Final = 100
"""Runs of a page whose progress is looked at."""

QUIET_S: Final = 0.15
"""A journal that says nothing for so long has been read to its end, for now."""

MOST_BOXES: Final = 150
MOST_SPANS: Final = 200

Row = dict[str, Any]


async def list_runs(
    engine: OrchestrationEngine, where: WorkflowFilter, *, page: str | None = None, limit: int = 50
) -> Row:
    """Return runs for which *where* holds, the newest first; ``next`` is the following page."""
    found = await engine.list_workflows(limit=limit, page=page, **where)
    return {"rows": [_summary(one) for one in found.workflows], "next": found.next}


async def count_runs(engine: OrchestrationEngine, states: tuple[str, ...]) -> dict[str, Row]:
    """Return how many runs are in each state, up to `COUNTED`."""
    counts: dict[str, Row] = {}
    for state in states:
        found = await engine.list_workflows(limit=COUNTED + 1, state=state)
        counts[state] = {"count": min(len(found), COUNTED), "more": len(found) > COUNTED}
        await asyncio.sleep(0)
    return counts


async def look_at_runs(engine: OrchestrationEngine, rows: list[Row]) -> dict[str, Row]:
    """Return the progress and the waits of those of *rows* that have not ended, by their ids."""
    found: dict[str, Row] = {}
    for row in rows[:MOST_LOOKED_AT]:
        if row["state"] not in UNFINISHED:
            continue
        try:
            status = await engine.get_workflow_status(row["id"])
        except AgenticError:  # it was forgotten meanwhile, or its store does not answer
            continue
        waits = [wait["name"] for wait in _waits(status)]
        found[row["id"]] = {"progress": status.progress, "waits": waits}
        if status.queue_reason is not None:
            found[row["id"]]["queue_reason"] = text(status.queue_reason)
        await asyncio.sleep(0)
    return found


def _summary(one: WorkflowSummary) -> Row:
    return {
        "id": text(one.workflow_id, 200),
        "name": text(one.name),
        "state": str(one.state),
        "created_at": one.created_at,
        "finished_at": one.finished_at,
        "error": None if one.last_error is None else text(one.last_error, 240),
        "reason": None if one.reason is None else text(one.reason, 240),
        "persisted": one.persisted,
        "labels": _labels(one.labels),
        "parent": one.parent,
        "owner": None if one.owner is None else text(one.owner),
        "queue": None if one.queue is None else text(one.queue),
        "queue_key": None if one.queue_key is None else text(one.queue_key),
        "priority": one.priority,
    }


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {text(key): text(value) for key, value in list(labels.items())[:20]}


async def look_at_run(engine: OrchestrationEngine, run_id: str, *, payloads: bool) -> Row:
    """Return one run: where it stands, its steps, its waits, its parts. Raises `UnknownWorkflow`."""
    status = await engine.get_workflow_status(run_id, outputs=payloads)
    depends = depends_of(engine, status)
    outputs = status.outputs or {}
    steps = [_step(step, depends.get(name, ()), payloads) for name, step in status.steps.items()]
    for row, name in zip(steps, status.steps, strict=True):
        if payloads and name in outputs:
            row["output"] = data_text(as_data(outputs[name]), LONG)
    return {
        "id": text(status.workflow_id, 200),
        "name": text(status.name),
        "state": str(status.state),
        "finished": status.finished,
        "progress": status.progress,
        "created_at": status.created_at,
        "started_at": status.started_at,
        "finished_at": status.finished_at,
        "duration_s": status.duration_s,
        "error": None if status.last_error is None else text(status.last_error, LONG),
        "reason": None if status.reason is None else text(status.reason, 500),
        "persisted": status.persisted,
        "labels": _labels(status.labels),
        "parent": status.parent,
        "root": status.root,
        "forked_from": status.forked_from,
        "recoveries": status.recoveries,
        "owner": None if status.owner is None else text(status.owner),
        "owner_seen_at": status.owner_seen_at,
        "queue": None if status.queue is None else text(status.queue),
        "queue_key": None if status.queue_key is None else text(status.queue_key),
        "priority": status.priority,
        "queue_place": status.queue_place,
        "queue_reason": None if status.queue_reason is None else text(status.queue_reason),
        "attempts": status.attempts,
        "compensated": [text(one) for one in status.compensated],
        "failed_compensations": [text(one) for one in status.failed_compensations],
        "usage": status.usage.to_dict(),
        "input": data_text(as_data(status.input), LONG) if payloads else None,
        "spans": spans_of(engine, run_id),
        "steps": steps,
        "waits": _waits(status),
        "children": [
            {
                "path": text(path),
                "id": text(child.workflow_id, 200),
                "name": text(child.name),
                "state": str(child.state),
                "progress": child.progress,
            }
            for path, child in list(status.children.items())[:200]
        ],
    }


def _step(step: StepStatus, depends: tuple[str, ...], payloads: bool) -> Row:
    errors = list(step.item_errors.items())[:20] if payloads or step.item_errors else []
    return {
        "id": text(step.id),
        "state": str(step.state),
        "attempts": step.attempts,
        "iterations": step.iterations,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "duration_s": step.duration_s,
        "due_at": step.due_at,
        "error": None if step.error is None else text(step.error, LONG),
        "item_errors": {str(index): text(error, 240) for index, error in errors},
        "waiting_for": None if step.waiting_for is None else text(step.waiting_for),
        "inner": step.inner_count,
        "depends": [text(one) for one in depends],
        "tokens": step.usage.total_tokens,
        "output": None,
    }


def _waits(status: WorkflowStatus) -> list[Row]:
    """Return what the run waits for that can be given from outside: answers, and signals."""
    waits: list[Row] = []
    for question in status.questions:
        if question.answered:
            continue
        data = question.data
        approval = isinstance(data, Mapping) and "tool" in data
        waits.append(
            {
                "kind": "approval" if approval else "question",
                "id": text(question.id, 240),
                "name": text(question.name),
                "step": text(question.step),
                "asked_at": question.asked_at,
                "question": None if data is None else data_text(as_data(data), LONG),
            }
        )
    asked = {question.step for question in status.questions}
    for name, step in status.steps.items():
        if step.waiting_for is not None and name not in asked and step.state == "waiting":
            waits.append(
                {
                    "kind": "signal",
                    "id": text(step.waiting_for, 240),
                    "name": text(step.waiting_for),
                    "step": text(name),
                    "asked_at": step.started_at,
                    "question": None
                    if step.question is None
                    else data_text(as_data(step.question), LONG),
                }
            )
    return waits


# -- the trace -----------------------------------------------------------------------------------


def spans_of(engine: OrchestrationEngine, run_id: str) -> list[Row]:
    """Return the recorded spans of a run, each below the one that it is a part of; none without tracing."""
    spans = engine.trace(run_id)[:MOST_SPANS]
    known = {span.span_id for span in spans}
    below: dict[str | None, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in known else None
        below.setdefault(parent, []).append(span)
    rows: list[Row] = []
    waiting = [(0, span) for span in reversed(below.get(None, []))]
    while waiting:
        depth, span = waiting.pop()
        rows.append(
            {
                "name": text(span.name),
                "kind": text(span.kind),
                "depth": depth,
                "start": span.start,
                "end": span.end,
                "status": text(span.status),
                "error": None if span.error is None else text(span.error, 240),
                "trace_id": span.trace_id,
            }
        )
        waiting += [(depth + 1, one) for one in reversed(below.get(span.span_id, []))]
    return rows


# -- the graph -------------------------------------------------------------------------------------


def depends_of(engine: OrchestrationEngine, status: WorkflowStatus) -> dict[str, tuple[str, ...]]:
    """Return which steps each step waits for: by its definition, or by when the steps ran.

    A run of a definition that is not registered under its name is drawn by the times of its steps.
    """
    try:
        plan = engine.check(status.name).plan
        steps = sorted(plan.steps, key=lambda step: step.index)
    except (AgenticError, ValueError, KeyError):
        steps = []
    ids = [step.id for step in steps]
    if ids and set(ids) == set(status.steps):
        return {step.id: tuple(ids[other] for other in step.depends) for step in steps}
    return _by_time(list(status.steps.values()))


def _by_time(steps: list[StepStatus]) -> dict[str, tuple[str, ...]]:
    """Return for each step the latest ones that had ended when it began.

    >>> _by_time([])
    {}
    """
    depends: dict[str, tuple[str, ...]] = {}
    for index, step in enumerate(steps[:MOST_BOXES]):
        began = step.started_at
        earlier = [
            one
            for one in steps[:index]
            if began is None or (one.ended_at is not None and one.ended_at <= began)
        ]
        if not earlier:
            depends[step.id] = ()
        elif began is None:
            depends[step.id] = (steps[index - 1].id,)
        else:
            last_began = max(one.started_at or 0.0 for one in earlier)
            depends[step.id] = tuple(
                one.id for one in earlier if (one.ended_at or 0.0) >= last_began
            )[-6:]
    return depends


def targets_of(engine: OrchestrationEngine, name: str) -> dict[str, str]:
    """Return what each step of a registered workflow asks, for its box."""
    try:
        plan = engine.check(name).plan
    except (AgenticError, ValueError, KeyError):
        return {}
    found: dict[str, str] = {}
    for step in plan.steps:
        definition = step.definition
        target = definition.target
        if target is not None:
            found[text(step.id)] = text(f"{definition.kind} {target_name(target)}", 40)
        elif definition.wait_for is not None:
            found[text(step.id)] = text(f"waits for {definition.wait_for.signal}", 40)
        elif definition.delay is not None:
            found[text(step.id)] = f"pause {definition.delay:g} s"
    return found


# -- the journal -----------------------------------------------------------------------------------


async def read_journal(
    engine: OrchestrationEngine, run_id: str, *, after: int = 0, limit: int = 200, payloads: bool
) -> Row:
    """Return up to *limit* events of a run behind number *after*: those that there are now."""
    events: list[Row] = []
    more = False
    skip = 0
    try:
        stream = engine.stream(run_id, after=after)
    except NotStored:
        stream, skip = engine.stream(run_id), after
    async with stream:
        while True:
            try:
                async with asyncio.timeout(QUIET_S if events else 2.0):
                    event = await anext(stream)
            except (StopAsyncIteration, TimeoutError):
                break
            except NotStored:
                stream, skip = engine.stream(run_id), after
                continue
            if skip > 0:
                skip -= 1
                continue
            if str(event.kind) == "work":
                continue
            if len(events) >= limit:
                more = True
                break
            events.append(journal_row(event, payloads, after + len(events) + 1))
    return {"rows": events, "more": more, "after": after}


def journal_row(event: WorkflowEvent, payloads: bool, number: int) -> Row:
    """Return one event of a run as a row of its journal."""
    data: Any = event.data
    said = None
    if isinstance(data, Mapping):
        told = cast("Mapping[str, Any]", data)
        for key in ("error", "reason"):
            if told.get(key):
                said = text(told[key], 300)
        if said is None and payloads:
            said = data_text(as_data(data), 300)
    elif data is not None and payloads:
        said = data_text(as_data(data), 300)
    return {
        "number": event.seq or number,
        "kind": str(event.kind),
        "step": cut(text(event.step), 80),
        "attempt": event.attempt,
        "at": event.at,
        "text": said,
    }


def finished(state: str) -> bool:
    """Tell whether a run in *state* has ended."""
    return WorkflowState(state).finished
