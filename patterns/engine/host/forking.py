"""Forks: new runs that begin with outcomes of another one, and go another way from a step on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import IDEMPOTENCY_KEY, near_names

from ..definition.shapes import plain
from ..runner.inner import as_stored
from ..runner.opening import Opening, StepEvent
from ..state.events import EventKind
from ..state.status import StepState
from ..state.step_run import COMPLETED, ENDED
from .enqueueing import QueuePlace, enqueue
from .launching import make_run, refuse_if_draining, start
from .messages import StartRun
from .origin import TRACEPARENT

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from ..state.run import Run
    from ..store import JournalEntry
    from .control import RunControl
    from .cores import Cores

INPUT: Final = "input"
"""What stands in ``edit`` for the input of the run."""

CALL: Final = "call"
"""In the data of the first event of a step of a workflow written as code: how it was called."""

_OF_THAT_RUN: Final = frozenset(
    {
        EventKind.WORKFLOW_QUEUED,
        EventKind.WORKFLOW_STARTED,
        EventKind.WORKFLOW_FORKED,
        EventKind.WORKFLOW_RECOVERED,
        EventKind.WORKFLOW_BLOCKED,
    }
)
"""What a run says of itself alone. That it had failed and was resumed belongs to how it came to a step."""


async def fork_run(
    cores: Cores,
    control: RunControl,
    source_id: str,
    at: str,
    edit: Mapping[str, Any],
    new_id: str | None,
    labels: Mapping[str, str] | None,
) -> str:
    """Start a run with the outcomes of *source_id* that do not depend on the step *at*; return its id."""
    core = cores.here()
    refuse_if_draining(core)
    source = (await control.find(source_id)).run
    if at not in source.plan.by_id:
        raise ValueError(
            f"workflow {source.plan.name!r} has no step {at!r}. {near_names(at, source.plan.by_id)}"
        )
    stored = source.persist
    values = {
        key: as_stored(f"edit[{key!r}]", value) if stored else plain(value)
        for key, value in edit.items()
    }
    outcomes = values.copy()
    has_input = INPUT in outcomes
    input_data = outcomes.pop(INPUT) if has_input else source.input
    if not source.plan.grows:
        events = _independent(source, at)
    elif stored:
        keeper = await cores.ready(core)
        events = _before(await keeper.store.read_journal(source.id), at)
    else:
        events = _called_before(source, at)
    events = _edited(source, events, at, outcomes)
    kept = sorted({event.step for kind, event in events if kind in _OUTCOMES})
    about = {"from": source.id, "at": at, "kept": kept, "edited": sorted(values)}
    opening: Opening = ((EventKind.WORKFLOW_FORKED, about), *events)
    queue = source.queue
    live = make_run(
        core,
        source.plan,
        input_data,
        run_id=new_id,
        persist=stored,
        labels={**source.labels, **(labels or {})},
        context=_context_of(source),
        elsewhere=queue is not None and queue not in core.setup.served,
    )
    if queue is not None:
        place = QueuePlace(queue, source.queue_key, source.priority)
        await enqueue(core, await cores.ready(core), live, place, opening)
        return live.id
    await start(core, StartRun(live, opening=opening))
    return live.id


_OUTCOMES: Final = frozenset({EventKind.STEP_COMPLETED, EventKind.STEP_SKIPPED})

Events = list[tuple[EventKind, StepEvent]]


def _before(entries: Iterable[JournalEntry], at: str) -> Events:
    """Return everything that happened before the step *at*: code goes through it in this order again."""
    events: Events = []
    for entry in entries:
        if entry.step == at:
            break
        if entry.kind not in _OF_THAT_RUN:
            event = StepEvent(entry.step, entry.attempt, entry.data)
            events.append((EventKind(entry.kind), event))
    return events


def _called_before(source: Run, at: str) -> Events:
    """Return the calls of code in memory before the step *at*, and what came of them, in that order."""
    plans: Any = source.plan.steps[: source.plan.by_id[at].index]
    events: Events = [
        (EventKind.STEP_STARTED, StepEvent(plan.id, 1, {CALL: plan.call})) for plan in plans
    ]
    for index in source.outcomes or ():
        if not 0 <= index < len(plans):
            continue
        plan, found = plans[index], source.step(index)
        if found.state in ENDED:
            events.append(_outcome(source, plan))
        elif found.state is StepState.FAILED:
            data = {"error": found.error, "kind": found.error_kind, "timed_out": found.timed_out}
            events.append((EventKind.STEP_FAILED, StepEvent(plan.id, found.attempts, data)))
    return events


def _independent(source: Run, at: str) -> Events:
    """Return the outcomes of the steps that have ended and do not depend on *at*."""
    again = {at, *source.plan.after(at)}
    return [
        _outcome(source, plan)
        for plan in source.plan.steps
        if plan.id not in again
        and (found := source.steps[plan.index]) is not None
        and found.state in ENDED
    ]


def _outcome(source: Run, plan: StepPlan) -> tuple[EventKind, StepEvent]:
    found = source.step(plan.index)
    completed = found.state is COMPLETED
    data: dict[str, Any] = {"output": source.scope[plan.id]} if completed else {}
    if found.error is not None:
        data["error"] = found.error
    kind = EventKind.STEP_COMPLETED if completed else EventKind.STEP_SKIPPED
    return kind, StepEvent(plan.id, found.attempts, data or None)


def _edited(source: Run, events: Events, at: str, outputs: Mapping[str, Any]) -> Events:
    """Return *events* with other *outputs*, by step; raises ValueError for steps that are not kept."""
    kept = {event.step for kind, event in events if kind in _OUTCOMES}
    for step, output in outputs.items():
        if step not in kept:
            plan = source.plan.by_id.get(step)
            if plan is None:
                why = f"workflow {source.plan.name!r} has no such step. {near_names(step, kept)}"
            elif step == at or step in source.plan.after(at):
                why = f"it runs again, because the fork begins at {at!r}"
            else:
                why = "it has no outcome in that run, so it runs in the fork"
            raise ValueError(f"edit[{step!r}]: {why}")
        model = source.plan.by_id[step].output_model
        problem = None if model is None else model.problem(output)
        if problem is not None:
            raise ValueError(f"edit[{step!r}] is not as declared: {problem}")
    return [
        (EventKind.STEP_COMPLETED, _with_output(event, outputs[event.step]))
        if kind in _OUTCOMES and event.step in outputs
        else (kind, event)
        for kind, event in events
    ]


def _with_output(event: StepEvent, output: Any) -> StepEvent:
    """Return the outcome of *event*'s step, with another output. How it was called stays."""
    data: dict[str, Any] = {"output": output}
    before: Mapping[str, Any] = event.data or {}
    if CALL in before:
        data[CALL] = before[CALL]
    return event._replace(data=data)


def _context_of(source: Run) -> Mapping[str, Any] | None:
    """Return the context that *source* was started with, apart from what names that one run."""
    own = (IDEMPOTENCY_KEY, TRACEPARENT)
    return {k: v for k, v in (source.context or {}).items() if k not in own} or None
