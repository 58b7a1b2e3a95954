"""The short way of a step that is asked once, at once, of an agent, in a run that nobody follows.

It changes the run directly, where the long way has an event applied, and it needs no limit and no
span. Both come to the same: the tests run the same workflows on each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from ..definition.shapes import PLAIN
from ..state.events import KIND_TEXT, EventKind
from ..state.step_run import COMPLETED, RUNNING, StepRun
from ..store import Record
from .results import as_output
from .work import Unit, WorkContext

if TYPE_CHECKING:
    from agenticaiframework.actors import Agent

    from ..definition.plan import StepPlan
    from .coordinator import Coordinator

_record: Final[Any] = cast(Any, tuple).__new__
"""Makes a `Record` at half the price of calling it."""

_STEP_STARTED: Final = KIND_TEXT[EventKind.STEP_STARTED]
_STEP_COMPLETED: Final = KIND_TEXT[EventKind.STEP_COMPLETED]


def start_quickly(c: Coordinator, plan: StepPlan, agent: Agent, payload: Any) -> None:
    """Ask the agent of a step: now, or once it is written that the step has started."""
    run = c.run
    found = run.steps[plan.index]
    if found is None:
        found = run.steps[plan.index] = StepRun()
    found.state = RUNNING
    found.attempts = attempt = found.attempts + 1
    if found.started_at is None:
        found.started_at = c._now
    unit = Unit(plan, attempt, payload, agent, c._me)
    unit.quick = True
    c._active += 1
    if c._told:
        c._records.append(_record(Record, (_STEP_STARTED, plan.id, attempt, None)))
        c._outbox.append(unit)
    else:
        ask_quickly(c, unit)


def ask_quickly(c: Coordinator, unit: Unit) -> None:
    """Ask the agent of a step now."""
    core = c._core
    unit.context = WorkContext(c.run, unit)
    c._asked.add(unit)
    timeout_s = unit.plan.timeout_s
    if timeout_s is None:
        attempts = core.attempts
        timeout_s = attempts.precise_timeout_s
        if attempts.swept_timeout_s is not None:
            unit.deadline = c._now + attempts.swept_timeout_s
            if not attempts.sweeping:
                attempts.sweep()
    agent: Any = unit.target
    unit.ask(agent, core.home, timeout_s)


def answered(c: Coordinator, unit: Unit) -> None:
    """The agent of a step has answered: the step has ended, and those behind it may go on."""
    asked = c._asked
    if unit not in asked:
        return  # it was stopped, and answered all the same
    asked.discard(unit)
    unit.forget()
    c._active -= 1
    output = unit.value
    if output.__class__ not in PLAIN:
        output = as_output(output)
    run, plan = c.run, unit.plan
    found = run.steps[plan.index]
    assert found is not None, "it was made when the agent was asked"
    if c._told:
        data = {"output": output}
        c._records.append(_record(Record, (_STEP_COMPLETED, plan.id, unit.attempt, data)))
    found.state = COMPLETED
    found.ended_at = c._now
    if found.error is not None:
        found.error = None
    run.scope[plan.id] = output
    run.finished_steps += 1
    left = run.left
    for index in plan.dependents:
        left[index] -= 1
        if not left[index]:
            c._consider(run.plan.steps[index])
    if not c._active or c._queue or c._outbox or c._timed or c._records:
        c._continue()
