"""What came of attempts: answers, errors, workers that ended, time that ran out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import ActorDied, HandlerCancelled

from ...expressions.errors import ExpressionError
from ...vocabulary.target import target_name
from ...vocabulary.values import Emit, Handoff
from ..definition.shapes import plain
from ..errors import OutputMismatch
from ..state.events import EventKind
from .compensation import undo_failed, undo_next
from .failing import attempt_failed, work_stopped
from .items import item_done
from .looping import is_done
from .work import Expired, Unit, WorkTimeout

if TYPE_CHECKING:
    from agenticaiframework.actors import Exit

    from .coordinator import Coordinator


def worked(c: Coordinator, unit: Unit) -> None:
    if (unit.error is not None or unit.scope is not None) and _system_ends(c):
        return
    worker = unit.worker
    if worker is None:
        if unit not in c._asked:
            return  # it was stopped, and answered all the same
        c._asked.discard(unit)
    else:
        workers = c._workers
        if workers is None or workers.get(worker) is not unit:
            return
        del workers[worker]
        c._asked.discard(unit)
        if unit.timer is not None:
            unit.timer.cancel()
        if c._free is None:
            c._free = []
        c._free.append(worker)
    c._active -= 1
    c._core.attempts.ended(c.run, unit)
    unit.forget()
    if unit.error is None:
        _succeeded(c, unit)
    elif unit.undo:
        undo_failed(c, unit, unit.error)
    else:
        attempt_failed(c, unit.plan, unit, unit.error)


def worker_ended(c: Coordinator, exit: Exit) -> None:
    ref = exit.ref
    if ref is None:
        return
    unit = None if c._workers is None else c._workers.pop(ref, None)
    if unit is None:
        if c._free is not None and ref in c._free:
            c._free.remove(ref)
        return
    if _system_ends(c):
        return
    c._active -= 1
    c._asked.discard(unit)
    if unit.timer is not None:
        unit.timer.cancel()
    if isinstance(exit.reason, HandlerCancelled):
        unit.error = HandlerCancelled(target_name(unit.target))
    else:
        unit.error = ActorDied(ref, exit.reason)
    c._core.attempts.ended(c.run, unit)
    if unit.stopping:
        work_stopped(c, unit)
    elif unit.undo:
        undo_failed(c, unit, unit.error)
    else:
        attempt_failed(c, unit.plan, unit, unit.error)


def expired(c: Coordinator, message: Expired) -> None:
    """A function did not come back in time: leave it behind, and its worker with it."""
    unit, worker = message.unit, message.unit.worker
    if worker is None or c._workers is None or c._workers.get(worker) is not unit:
        return
    del c._workers[worker]
    c._asked.discard(unit)
    c._active -= 1
    worker.exit("shutdown")
    unit.error = WorkTimeout(unit.target.name, message.timeout_s)
    c._core.attempts.ended(c.run, unit)
    if unit.undo:
        undo_failed(c, unit, unit.error)
    else:
        attempt_failed(c, unit.plan, unit, unit.error)


def _system_ends(c: Coordinator) -> bool:
    """Tell whether what an attempt says of its failure may be said of the end of the whole system.

    Agents that end before the engine fail what they were asked, and a pattern may make an answer of
    that. Such an attempt counts as cut off: the run goes on with it elsewhere. Nothing is noted of
    it, so that its step stays under way until the engine interrupts the run.
    """
    return not c._core.home.running


def _succeeded(c: Coordinator, unit: Unit) -> None:
    plan = unit.plan
    if unit.undo:
        c._happened(EventKind.COMPENSATION_COMPLETED, plan.id, unit.attempt)
        undo_next(c)
        return
    output = as_output(unit.value)
    if plan.checked:
        if plan.output_key is not None and not isinstance(output, Mapping):
            output = {plan.output_key: output}
        if plan.output_model is not None:
            problem = plan.output_model.problem(output)
            if problem is not None:
                attempt_failed(c, plan, unit, OutputMismatch(plan.id, problem))
                return
    if unit.item is not None:
        item_done(c, unit, {"output": output})
    elif plan.iterates and not c._closing:
        _iterated(c, unit, output)
    else:
        c._completed(plan, unit.attempt, output)


def _iterated(c: Coordinator, unit: Unit, output: Any) -> None:
    """Go round again, or end the step, as its ``until`` or its output says."""
    plan = unit.plan
    try:
        done = is_done(plan, output, unit.iteration, c.run.scope)
    except ExpressionError as error:
        attempt_failed(c, plan, unit, error)
        return
    if done:
        c._completed(plan, unit.attempt, output)
        return
    data = {"iteration": unit.iteration, "output": output}
    c._happened(EventKind.STEP_ITERATED, plan.id, unit.attempt, data)
    c._guarded(plan, c._work, plan, False)


def as_output(value: Any) -> Any:
    """Return what a step has made of what was answered.

    Outside a team or a choreography there is nobody to hand on to: what counts is the data.
    """
    return plain(value.data if value.__class__ in (Handoff, Emit) else value)
