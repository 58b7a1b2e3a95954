"""Undoing finished steps when their run fails or is cancelled, the latest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import describe
from ..state.events import EventKind
from ..state.step_run import COMPLETED
from .failing import error_text, pause_before_retry
from .messages import UNDO
from .work import Unit

if TYPE_CHECKING:
    from .coordinator import Coordinator


def begin_undo(c: Coordinator) -> None:
    """Work out which finished steps are to be undone, the latest first."""
    run = c.run
    undo: list[tuple[float, int]] = []
    for plan, found in zip(run.plan.steps, run.steps, strict=True):
        if (
            plan.definition.compensate is not None
            and found is not None
            and found.state is COMPLETED
            and plan.id not in run.undo_failed
        ):
            undo.append((found.ended_at or 0.0, plan.index))
    undo.sort()
    c._undo = [index for _, index in undo]


def undo_next(c: Coordinator) -> None:
    run = c.run
    while c._undo:
        index = c._undo.pop()
        plan = run.plan.steps[index]
        attempt = run.step(index).attempts + 1
        try:
            scope = {**run.scope, "output": run.scope.get(plan.id)}
            payload = c._core.compensation_input(plan, scope)
            target = c._core.resolve_compensation(plan)
        except Exception as error:
            data = {"error": describe(error)}
            c._happened(EventKind.COMPENSATION_FAILED, plan.id, attempt, data)
            continue
        unit = Unit(plan, attempt, payload, target, c._me)
        unit.undo = True
        c._happened(EventKind.COMPENSATION_STARTED, plan.id, attempt)
        c._active += 1
        c._outbox.append(unit)
        return


def undo_failed(c: Coordinator, unit: Unit, error: BaseException) -> None:
    plan = unit.plan
    found = c.run.step(plan.index)
    compensation = plan.definition.compensate
    assert compensation is not None, "it was under way"
    found.tries += 1
    delay_s = pause_before_retry(c, compensation.retry, error, found.tries)
    if delay_s is not None and c._undo is not None:
        c._undo.append(plan.index)
        c._active += 1  # the pause counts as work, so that the run does not end in it
        c.send_after(delay_s, UNDO)
        return
    data = {"error": error_text(error)}
    c._happened(EventKind.COMPENSATION_FAILED, plan.id, unit.attempt, data)
    undo_next(c)
