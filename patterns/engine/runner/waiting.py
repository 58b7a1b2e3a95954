"""What a run waits for: signals from outside, and times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ...expressions.errors import ExpressionError
from ..state.step_run import BUSY

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from ..state.run import Run
    from ..store import Signal

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


def matching_signal(run: Run, plan: StepPlan, signals: Iterable[Signal]) -> Signal | None:
    """Return the first of *signals* that a waiting step takes."""
    wait = plan.definition.wait_for
    assert wait is not None, "only such steps wait"
    for signal in signals:
        if signal.name != wait.signal:
            continue
        if plan.when is None:
            return signal
        try:
            if plan.when.test({**run.scope, "output": signal.payload}):
                return signal
        except ExpressionError:
            continue
    return None


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
