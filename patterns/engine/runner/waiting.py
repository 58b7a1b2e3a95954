"""What comes from outside to a run that waits: signals, and the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ...expressions.errors import ExpressionError
from ..definition.shapes import plain
from ..errors import OutputMismatch
from ..state.run import Run
from ..state.status import StepState
from ..state.step_run import BUSY, StepRun
from .failing import attempt_failed, failure_of, let_run_fail, stop_work
from .items import tick_items

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from .coordinator import Coordinator

CLOCK_SLACK_S: Final = 1e-6
"""Timers may fire a hair before the moment that a sum of floats stands for."""


class TimeLimit(TimeoutError):
    """A workflow took longer than its ``timeout_seconds``."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the workflow took longer than its timeout_seconds ({timeout_s:g})")


class SignalTimeout(TimeoutError):
    """A signal that a step waits for did not come in time."""

    def __init__(self, signal: str, timeout_s: float | None) -> None:
        within = "in time" if timeout_s is None else f"within {timeout_s:g} s"
        super().__init__(
            f"the signal {signal!r} did not come {within}, and wait_for has no default"
        )


def take_signals(c: Coordinator) -> None:
    """Give signals to the steps that wait for them, in the order in which they came."""
    run = c.run
    run.unseen_signals = False
    if not run.signals or c._closing:
        return
    for plan, found in zip(run.plan.steps, run.steps, strict=True):
        if found is None or found.state is not StepState.WAITING:
            continue
        wait = plan.definition.wait_for
        assert wait is not None, "only such steps wait"
        for signal in run.signals:
            if signal.name != wait.signal:
                continue
            if plan.when is not None:
                try:
                    if not plan.when.test({**run.scope, "output": signal.payload}):
                        continue
                except ExpressionError:
                    continue
            run.signals.remove(signal)
            if run.persist:
                c._used_signals = (*c._used_signals, signal.number)
            signalled(c, plan, signal.payload)
            break


def signalled(c: Coordinator, plan: StepPlan, payload: Any) -> None:
    output = plain(payload)
    if plan.output_key is not None and not isinstance(output, Mapping):
        output = {plan.output_key: output}
    if plan.output_model is not None:
        problem = plan.output_model.problem(output)
        if problem is not None:
            attempt_failed(c, plan, None, OutputMismatch(plan.id, problem))
            return
    c._completed(plan, 0, output)


def tick(c: Coordinator) -> None:
    run = c.run
    if out_of_time(c):
        return
    for plan, found in zip(run.plan.steps, run.steps, strict=True):
        if found is not None and found.state in BUSY:
            tick_step(c, plan, found)


def out_of_time(c: Coordinator) -> bool:
    """Let the run fail if its time is over; return whether it is."""
    run = c.run
    limit_at = run.limit_at
    if limit_at is None or c._closing or c._now + CLOCK_SLACK_S < limit_at:
        return False
    let_run_fail(c, failure_of(c, None, TimeLimit(run.plan.timeout_s or 0.0), 0))
    stop_work(c)
    return True


def tick_step(c: Coordinator, plan: StepPlan, found: StepRun) -> None:
    """Go on with a step whose time has come."""
    if c._closing:
        return
    now = c._now + CLOCK_SLACK_S
    if found.items:
        tick_items(c, plan, found, now)
    if found.due_at is None or found.due_at > now:
        return
    found.due_at = None
    if found.state is not StepState.WAITING:
        c._guarded(plan, c._work, plan, False)
        return
    wait = plan.definition.wait_for
    assert wait is not None, "only such steps wait"
    if wait.has_default:
        signalled(c, plan, wait.default)
    else:
        attempt_failed(c, plan, None, SignalTimeout(wait.signal, wait.timeout_seconds))


def next_due(run: Run) -> float | None:
    """Return when *run* goes on by itself, in seconds since the epoch; None: never."""
    times: list[float] = []
    for found in run.steps:
        if found is None or found.state not in BUSY:
            continue
        if found.due_at is not None:
            times.append(found.due_at)
        if found.items:
            times += [item.due_at for item in found.items.values() if item.due_at is not None]
    limit_at = run.limit_at
    if limit_at is not None and not run.state.finished:
        times.append(limit_at)
    return min(times) if times else None
