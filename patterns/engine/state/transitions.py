"""What each event changes in a run: the one place that says so.

A live run applies events as they happen, recovery applies those of the journal, whether the run is
stored, followed or simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import Usage, read_usage_limits

from .events import EventKind
from .inner import InnerOutcomes
from .run import CANCEL
from .status import StepState, WorkflowState
from .step_run import BUSY, COMPLETED, MAX_ITEM_ERRORS, PENDING, RUNNING, StepRun

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from .run import Run

_GETTING_ON: Final = frozenset(
    {
        EventKind.STEP_COMPLETED,
        EventKind.STEP_ITERATED,
        EventKind.ITEM_COMPLETED,
        EventKind.COMPENSATION_COMPLETED,
        EventKind.COMPENSATION_FAILED,
        EventKind.INNER_COMPLETED,
        EventKind.QUESTION_ANSWERED,
    }
)
"""The events after which takeovers are counted anew."""

NO_DATA: Final[Mapping[str, Any]] = {}


def apply(run: Run, kind: str, step_id: str, attempt: int, data: Any, at: float) -> None:
    """Change *run* by what happened at *at*; events of steps that no longer exist only say that it got on."""
    change = _RUN_CHANGES.get(kind)
    if change is not None:
        change(run, data or NO_DATA, at)
        return
    plan = run.plan.by_id.get(step_id)
    if run.plan.grows and data is not None and "call" in data:
        plan = _called(run, step_id, data["call"])
    if plan is not None:
        found = run.step(plan.index)
        if data is not None and "usage" in data:
            spent(run, found, data)
        STEP_CHANGES[kind](run, plan, found, attempt, data or NO_DATA, at)
    elif kind in _GETTING_ON:
        run.takeovers = 0


def spent(run: Run, found: StepRun, data: Mapping[str, Any]) -> None:
    """Take what an event says that its step has spent so far, in all, and its parts."""
    usage = Usage.from_dict(data["usage"])
    run.usage += usage - found.usage
    found.usage = usage
    parts = data.get("parts_usage")
    if parts:
        told = {part: Usage.from_dict(one) for part, one in parts.items()}
        run.parts_usage = {**run.parts_usage, **told}


def _called(run: Run, step_id: str, call: Mapping[str, Any]) -> StepPlan:
    """Return the step of a call that is made now; its first event says what it is."""
    plan = run.grow(step_id, call)
    if run.state is not WorkflowState.RUNNING:
        run.step(plan.index).after_end = True
    return plan


# -- steps -----------------------------------------------------------------------------------------


def _started(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = RUNNING
    if found.started_at is None:
        found.started_at = at
    if found.due_at is not None:
        found.due_at = None
    if found.asks:
        found.asks = False
    if not data:
        found.attempts = attempt
        found.via = "agent"
        return
    via = data.get("via", "agent")
    index = data.get("item")
    part = data.get("part", False)
    timeout_s = data.get("timeout_s") if part else None
    due_at = None if timeout_s is None else at + timeout_s
    if part:
        found.part = True
    if index is None:
        found.attempts = attempt
        found.via = via
        found.due_at = due_at
    else:
        found.attempts = max(found.attempts, attempt)
        item = found.item(index)
        item.attempts = attempt
        item.running = True
        item.asks = False
        item.due_at = due_at
        item.via = via
        item.part = part


def _completed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    if run.takeovers:
        run.takeovers = 0
    if found.started_at is None:
        found.started_at = at
    error = data.get("error")
    # What an attempt before has failed with is over, unless something stands in for a step that has
    # failed for good: a default, which comes with the error, or a fallback.
    if error is not None or found.via == "agent":
        found.error = error
    count = data.get("items")
    if count is None:
        output = data.get("output")
    else:
        items = found.items or {}
        output = [items[index].output for index in range(count)]
        errors = {
            index: item.error or "" for index in range(count) if (item := items[index]).failed
        }
        if errors:
            found.item_errors = dict(islice(errors.items(), MAX_ITEM_ERRORS))
            found.error = _error_of_items(errors)
    run.settle(plan, found, COMPLETED, output, at)


def _error_of_items(errors: Mapping[int, Any]) -> str:
    first = min(errors)
    others = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return f"item {first}: {errors[first]}{others}"


def _iterated(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    run.takeovers = 0
    found.state = RUNNING
    found.iteration = data["iteration"] + 1
    found.previous = data.get("output")
    found.due_at = None
    found.tries = 0
    found.via = "agent"
    found.inner = None


def _item_completed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    run.takeovers = 0
    item = found.item(data["item"])
    item.done = True
    item.running = False
    item.due_at = None
    item.output = data.get("output")
    error = data.get("error")
    if error is not None:
        item.failed, item.error = True, error
    item.stood_in = "error" in data
    item.ended_at = at
    item.inner = None


def _inner_completed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    index = data.get("item")
    holder = found if index is None else found.item(index)
    if holder.inner is None:
        holder.inner = InnerOutcomes()
    holder.inner.add(data)
    run.takeovers = 0
    found.inner_count += 1


def _inner_failed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    """Nothing: the next attempt calls it again."""


def _asked(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    index = data.get("item")
    holder = found if index is None else found.item(index)
    if holder.inner is None:
        holder.inner = InnerOutcomes()
    holder.inner.ask(data, at)


def _answered(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    run.takeovers = 0
    run.answered = {**run.answered, data["question"]: data.get("signal", 0)}
    index = data.get("item")
    holder = found if index is None else found.item(index)
    if holder.inner is None:
        holder.inner = InnerOutcomes()
    may_go_on = holder.inner.answer(data)
    if not (holder.asks and may_go_on):
        return
    # The attempt is about to be under way again.
    holder.asks = False
    if index is None:
        found.state = RUNNING
    else:
        found.item(index).running = True


def _parked(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    index = data.get("item")
    if index is None:
        found.asks = True
        found.state = StepState.WAITING
        found.due_at = None
    else:
        item = found.item(index)
        item.asks = True
        item.running = False
        item.due_at = None


def _retrying(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.error = run.last_error = data.get("error")
    due_at = at + data.get("delay_s", 0.0)
    via = data.get("via", "agent")
    index = data.get("item")
    if index is None:
        found.state = StepState.RETRYING
        found.tries += 1
        found.due_at = due_at
        found.via = via
    else:
        item = found.item(index)
        item.tries += 1
        item.running = False
        item.error = found.error
        item.due_at = due_at
        item.via = via
    _begin_anew(found, data)


def _begin_anew(found: StepRun, data: Mapping[str, Any]) -> None:
    """Throw away what the part has come to, where its own end was refused."""
    if data.get("anew"):
        index = data.get("item")
        unit = found if index is None else found.item(index)
        unit.generation += 1


def _failed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = StepState.FAILED
    found.ended_at = at
    found.due_at = None
    found.error = run.last_error = data.get("error")
    index = data.get("item")
    if index is not None:
        found.item(index).running = False
    if run.outcomes is not None:
        # Whether the run fails with it, its code decides.
        found.error_kind = data.get("kind", "")
        found.timed_out = data.get("timed_out", False)
        found.behind = len(run.steps)
        run.outcomes.append(plan.index)
    else:
        if plan.id not in run.failed_steps:
            run.failed_steps = (*run.failed_steps, plan.id)
        if run.failure is None:
            run.failure = data.get("failure")
    _begin_anew(found, data)
    _undone_inside(run, plan, data)


def _skipped(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.error = data.get("error")
    run.settle(plan, found, StepState.SKIPPED, None, at)


def _waiting(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = StepState.WAITING
    found.started_at = at
    timeout_s = data.get("timeout_s")
    found.due_at = None if timeout_s is None else at + timeout_s


def _sleeping(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = StepState.SLEEPING
    found.started_at = at
    found.due_at = at + data["delay_s"]


def _cancelled(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.state = StepState.CANCELLED
    found.ended_at = at
    found.due_at = None
    found.asks = False
    for item in (found.items or {}).values():
        item.asks = False
    _undone_inside(run, plan, data)


def _undoing(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    found.attempts = max(found.attempts, attempt)


def _undone(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    run.takeovers = 0
    found.inner = None
    _undone_inside(run, plan, data)
    index = data.get("item")
    unit = found if index is None else found.item(index)
    unit.own_undone = unit.own_undone or not data.get("part")
    if data.get("whole", True):
        unit.own_undone = False
        if index is None:
            if found.state is COMPLETED:
                found.state = StepState.COMPENSATED
            found.iteration = 1
            found.previous = None
        else:
            item = found.item(index)
            item.done = False
            item.output = item.ended_at = None
        run.compensated = _with(run.compensated, [_unit_name(plan, data)])
    if index is not None and data.get("last") and found.state is COMPLETED:
        found.state = StepState.COMPENSATED
        run.compensated = _with(run.compensated, [plan.id])


def _undo_failed(
    run: Run, plan: StepPlan, found: StepRun, attempt: int, data: Mapping[str, Any], at: float
) -> None:
    run.takeovers = 0
    found.inner = None
    error = found.undo_error = data.get("error")
    # Beside what has happened before, which is why it was to be undone.
    found.error = error if found.error is None else f"{found.error}; undoing it failed: {error}"
    if run.state is not WorkflowState.COMPENSATING:  # else its end tells both
        told = f"undoing step {plan.id!r} failed: {error}"
        run.last_error = told if run.last_error is None else f"{run.last_error}; {told}"
    _undone_inside(run, plan, data)
    if not data.get("undo_failed"):
        run.undo_failed = _with(run.undo_failed, [_unit_name(plan, data)])


def _unit_name(plan: StepPlan, data: Mapping[str, Any]) -> str:
    """Return what is said of a step, or of one of its items, that was undone."""
    index = data.get("item")
    return plan.id if index is None else f"{plan.id}[{index}]"


def _undone_inside(run: Run, plan: StepPlan, data: Mapping[str, Any]) -> None:
    """Name what has been undone in a part, by its path from here."""
    unit = _unit_name(plan, data)
    if compensated := data.get("compensated"):
        run.compensated = _with(run.compensated, [f"{unit}/{name}" for name in compensated])
    if failed := data.get("undo_failed"):
        run.undo_failed = _with(run.undo_failed, [f"{unit}/{name}" for name in failed])


def _with(names: tuple[str, ...], more: list[str]) -> tuple[str, ...]:
    return (*names, *(name for name in more if name not in names))


# -- the run ---------------------------------------------------------------------------------------


_RUN_RUNNING: Final = WorkflowState.RUNNING
_RUN_COMPLETED: Final = WorkflowState.COMPLETED


def _run_started(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = _RUN_RUNNING
    if run.started_at is None:
        run.started_at = at
    if "span" in data:
        run.span = data["span"]
    if "serving" in data:
        _serve(run, data)
    if "usage_limits" in data:
        run.usage_limits = read_usage_limits("a run", data["usage_limits"])


def _run_queued(run: Run, data: Mapping[str, Any], at: float) -> None:
    """Know what it may spend, which says its first event otherwise; its place is in its row."""
    if "usage_limits" in data:
        run.usage_limits = read_usage_limits("a run", data["usage_limits"])


def _serve(run: Run, data: Mapping[str, Any]) -> None:
    """Let a part work for the attempt that it goes on for, perhaps with another input."""
    generation, number = data["serving"]
    run.serving = generation, number
    if "input" in data:
        run.input = run.scope["input"] = data["input"]


def _run_resumed(run: Run, data: Mapping[str, Any], at: float) -> None:
    """Make everything that failed, was stopped or was undone run again."""
    if "serving" in data:
        _serve(run, data)
    run.state = WorkflowState.RUNNING
    run.span = data.get("span")
    run.finished_at = None
    run.resumed_at = at
    run.blocked = None
    run.takeovers = 0
    if run.outcomes is not None:
        run.reopen_code()
    run.failed_steps = ()
    run.failure = None
    run.last_error = run.reason = None
    if run.cancel_options is not None:
        run.cancel_options = None
    run.compensated = run.undo_failed = ()
    again = {StepState.FAILED, StepState.CANCELLED, StepState.COMPENSATED}
    for plan, found in zip(run.plan.steps, run.steps, strict=True):
        if found is None or found.state not in again:
            continue
        if run.outcomes is not None and plan.index in run.outcomes:
            continue  # its code knows of the failure, and did not fail with it
        if found.state is StepState.COMPENSATED:
            run.scope.pop(plan.id, None)
            found.round += 1
        found.undo_error = None
        found.state = PENDING
        found.ended_at = found.due_at = None
        found.tries = 0
        found.via = "agent"
        found.asks = False
        for item in (found.items or {}).values():
            item.running = item.asks = False
            item.tries = 0
            item.due_at = None
            item.via = "agent"
    run.recount()


def _run_rewound(run: Run, data: Mapping[str, Any], at: float) -> None:
    if run.outcomes is not None:
        # A part is rewound as a whole, and names no step.
        run.rewind_code(run.plan.by_id[data["step"]].index if "step" in data else 0)
    steps = set(data["steps"])
    run.rewind(steps)
    run.kept -= steps
    _run_resumed(run, data, at)


def _run_cancelling(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = WorkflowState.CANCELLING
    run.blocked = None
    run.reason = data.get("reason")
    options = {key: value for key, value in data.items() if key != "reason"}
    if options:
        run.cancel_options = options
    if run.outcomes is not None:
        run.outcomes.append(CANCEL)


def _run_compensating(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = WorkflowState.COMPENSATING
    run.blocked = None
    run.last_error = data.get("error", run.last_error)
    run.failure = data.get("failure", run.failure)
    if "undo" in data:
        # A part that was completed is undone with the run around it, and ends as cancelled.
        run.finished_at = None
        run.reason = data["undo"]
    if run.outcomes is not None and data.get("cancels"):
        run.outcomes.append(CANCEL)


def _run_completed(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = _RUN_COMPLETED
    run.finished_at = at
    if data:
        run.output = data.get("output")


def _run_failed(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = WorkflowState.FAILED
    run.blocked = None
    run.finished_at = at
    run.last_error = data.get("error", run.last_error)
    run.failure = data.get("failure", run.failure)
    if run.outcomes is not None:
        run.failed_steps = tuple(data.get("steps", ()))


def _run_cancelled(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.state = WorkflowState.CANCELLED
    run.blocked = None
    run.finished_at = at
    run.reason = data.get("reason", run.reason)


def _definition_changed(run: Run, data: Mapping[str, Any], at: float) -> None:
    """Let what was under way as something of another kind begin anew; the plan is the new one already."""
    for step_id in data.get("anew", ()):
        plan = run.plan.by_id.get(step_id)
        found = None if plan is None else run.steps[plan.index]
        if plan is not None and found is not None and found.state in BUSY:
            fresh = run.steps[plan.index] = StepRun()
            fresh.attempts, fresh.usage = found.attempts, found.usage


def _recovered(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.blocked = None
    run.recoveries += 1
    run.takeovers = data.get("count", 0)


def _blocked(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.blocked = data.get("reason", "it cannot go on")


def _interrupted(run: Run, data: Mapping[str, Any], at: float) -> None:
    """What survived until its engine was stopped in good order has not ended its process."""
    run.takeovers = 0


def _run_forked(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.forked_from = data["from"]
    run.kept = frozenset(data["kept"])


def _state_set(run: Run, data: Mapping[str, Any], at: float) -> None:
    run.shown = data.get("state")
    run.shows += 1


STEP_CHANGES: Final[Mapping[str, Callable[..., None]]] = {
    EventKind.STEP_STARTED: _started,
    EventKind.STEP_COMPLETED: _completed,
    EventKind.STEP_ITERATED: _iterated,
    EventKind.ITEM_COMPLETED: _item_completed,
    EventKind.INNER_COMPLETED: _inner_completed,
    EventKind.INNER_FAILED: _inner_failed,
    EventKind.QUESTION_ASKED: _asked,
    EventKind.QUESTION_ANSWERED: _answered,
    EventKind.STEP_PARKED: _parked,
    EventKind.STEP_RETRYING: _retrying,
    EventKind.STEP_FAILED: _failed,
    EventKind.STEP_SKIPPED: _skipped,
    EventKind.STEP_WAITING: _waiting,
    EventKind.STEP_SLEEPING: _sleeping,
    EventKind.STEP_CANCELLED: _cancelled,
    EventKind.COMPENSATION_STARTED: _undoing,
    EventKind.COMPENSATION_COMPLETED: _undone,
    EventKind.COMPENSATION_FAILED: _undo_failed,
}
"""By the kind of an event: what it changes in a run and in the step that it is about."""

_RUN_CHANGES: Final[Mapping[str, Callable[..., None]]] = {
    EventKind.WORKFLOW_STARTED: _run_started,
    EventKind.WORKFLOW_RESUMED: _run_resumed,
    EventKind.WORKFLOW_REWOUND: _run_rewound,
    EventKind.WORKFLOW_CANCELLING: _run_cancelling,
    EventKind.WORKFLOW_COMPENSATING: _run_compensating,
    EventKind.WORKFLOW_COMPLETED: _run_completed,
    EventKind.WORKFLOW_FAILED: _run_failed,
    EventKind.WORKFLOW_CANCELLED: _run_cancelled,
    EventKind.DEFINITION_CHANGED: _definition_changed,
    EventKind.WORKFLOW_RECOVERED: _recovered,
    EventKind.WORKFLOW_BLOCKED: _blocked,
    EventKind.WORKFLOW_INTERRUPTED: _interrupted,
    EventKind.WORKFLOW_FORKED: _run_forked,
    EventKind.WORKFLOW_QUEUED: _run_queued,
    EventKind.STATE_SET: _state_set,
}

KNOWN_KINDS: Final = frozenset({*map(str, STEP_CHANGES), *map(str, _RUN_CHANGES)})
"""The kinds of events that a journal may hold."""
