"""What a run waits for: signals from outside, and times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ...expressions.errors import ExpressionError
from ..state.part_names import path_of, plain_path
from ..state.step_run import BUSY

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from ..state.run import Run
    from ..state.step_run import StepRun
    from ..store import Signal

ANSWER: Final = "answer:"
"""What the name of a signal begins with that answers a question; the question's id follows."""

CLOCK_SLACK_S: Final = 1e-6
"""Timers may fire a hair before the moment that a sum of floats stands for."""


class TimeLimit(TimeoutError):
    """A workflow took longer than its ``timeout_seconds``; perhaps it was *blocked* meanwhile."""

    def __init__(self, timeout_s: float, blocked: str | None = None) -> None:
        why = "" if blocked is None else f", blocked at the end: {blocked}"
        super().__init__(f"the workflow took longer than its timeout_seconds ({timeout_s:g}){why}")


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
        if signal.name != wait.signal and not _addressed(run, plan, wait.signal, signal):
            continue
        if plan.when is None:
            return signal
        try:
            if plan.when.test({**run.scope, "output": signal.payload}):
                return signal
        except ExpressionError:
            continue
    return None


def answered_by(found: StepRun, signal: Signal) -> bool:
    """Tell whether *signal* answers a question of a step."""
    return signal.name.startswith(ANSWER) and any(
        question.id == signal.name[len(ANSWER) :] for _, question in found.open_questions()
    )


def _addressed(run: Run, plan: StepPlan, name: str, signal: Signal) -> bool:
    """Tell whether *signal* is sent to just this step, or to the part that it stands in.

    The name is then a path from the run that it was sent to: ``book/approved`` for the part that the
    step ``book`` is, ``book/answer/approved`` for the step ``answer`` in that.
    """
    if not signal.name.endswith(f"/{name}"):
        return False
    where = signal.name[: -len(name) - 1]
    path = path_of(run.id, signal.run_id) if run.id != signal.run_id else ""
    here = f"{path}/{plan.id}" if path else plan.id
    return where in (path, here, plain_path(path), plain_path(here))


def next_due(run: Run) -> float | None:
    """Return when *run* goes on by itself, in seconds since the epoch; None: never."""
    times: list[float] = []
    for index, found in enumerate(run.steps):
        if found is None or found.state not in BUSY or run.held(index):
            continue
        if found.due_at is not None:
            times.append(found.due_at)
        if found.items:
            times += [item.due_at for item in found.items.values() if item.due_at is not None]
    limit_at = run.limit_at
    if limit_at is not None and not run.state.finished:
        times.append(limit_at)
    return min(times) if times else None
