"""The status of a run together with that of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agenticaiframework.actors import NO_USAGE

from .part_names import path_of, place_of
from .status import StepState, WorkflowState

if TYPE_CHECKING:
    from .live import LiveRun
    from .status import StepStatus, WorkflowStatus

_UNDER_WAY: Final = frozenset({WorkflowState.RUNNING, WorkflowState.WAITING})


def parts_within(live: LiveRun) -> dict[str, LiveRun]:
    """Return the parts of *live* that are in memory, and their own, by id."""
    found: dict[str, LiveRun] = {}
    for part in (live.parts or {}).values():
        found[part.id] = part
        found |= parts_within(part)
    return found


def status_with_parts(live: LiveRun, parts: Mapping[str, LiveRun]) -> WorkflowStatus:
    """Return the status of *live* with that of its *parts* (by id), which its steps wait for."""
    return _status(live, _by_parent(parts.values()))


def _by_parent(parts: Iterable[LiveRun]) -> dict[str, list[LiveRun]]:
    found: dict[str, list[LiveRun]] = {}
    for part in parts:
        found.setdefault(part.run.parent or "", []).append(part)
    return found


def _status(live: LiveRun, by_parent: Mapping[str, list[LiveRun]]) -> WorkflowStatus:
    status, run = live.status(), live.run
    if not by_parent.get(live.id):
        return status
    order = {name: index for index, name in enumerate(run.plan.names)}

    def place(part: LiveRun) -> tuple[int, int, str]:
        step, item = place_of(part.id, live.id)
        return order.get(step, len(order)), item, part.id

    children: dict[str, WorkflowStatus] = {}
    steps = dict(status.steps)
    usage = status.usage
    for part in sorted(by_parent[live.id], key=place):
        path, inner = path_of(part.id, live.id), _status(part, by_parent)
        children[path] = inner
        children |= {f"{path}/{below}": child for below, child in inner.children.items()}
        step, _ = place_of(part.id, live.id)
        if step in steps and inner.state is WorkflowState.WAITING:
            steps[step] = _waiting(steps[step], inner)
        if step in steps and (held_up := _held_up(inner)) is not None:
            steps[step] = _waiting_for_blocked(steps[step], held_up)
        # What its own journal tells of itself may be more than that of the run around it does yet.
        more = inner.usage - run.parts_usage.get(part.id, NO_USAGE)
        if more != NO_USAGE:
            usage += more
            if step in steps:
                steps[step] = replace(steps[step], usage=steps[step].usage + more)
    error = status.last_error
    if status.state in _UNDER_WAY:
        for path, child in children.items():
            if child.state is WorkflowState.BLOCKED:
                error = f"the nested run {path!r} is blocked: {child.last_error}"
                break
    return replace(status, steps=steps, children=children, usage=usage, last_error=error)


def _held_up(part: WorkflowStatus) -> str | None:
    """Return why a part does not go on, if it, or a part of it, is blocked."""
    if part.state is WorkflowState.BLOCKED:
        return f"its run is blocked: {part.last_error}"
    within = any(child.state is WorkflowState.BLOCKED for child in part.children.values())
    return part.last_error if within and part.state in _UNDER_WAY else None


def _waiting_for_blocked(step: StepStatus, reason: str) -> StepStatus:
    """Return the status of a step whose part does not go on."""
    if step.state is StepState.RUNNING:
        return replace(step, state=StepState.WAITING, error=reason)
    return step


def _waiting(step: StepStatus, inner: WorkflowStatus) -> StepStatus:
    """Return the status of a step with what its part waits for; the first of several parts counts."""
    if step.state is not StepState.RUNNING and step.waiting_for is not None:
        return step
    for below in inner.steps.values():
        if below.waiting_for is not None:
            return replace(step, state=below.state, waiting_for=below.waiting_for)
    if step.state is StepState.RUNNING:
        for below in inner.steps.values():
            if below.due_at is not None:
                due = below.due_at if step.due_at is None else min(step.due_at, below.due_at)
                return replace(step, state=below.state, due_at=due)
    return step
