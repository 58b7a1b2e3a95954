"""What a failure says, and whether another attempt follows it: functions of what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import AgentFailed, is_expected

from ...vocabulary.target import target_name
from ..errors import WorkflowFailed, WorkflowTimedOut, describe
from ..state.step_run import ENDED

if TYPE_CHECKING:
    from ...definition.policy import Retry
    from ..definition.plan import StepPlan
    from ..state.run import Run


def pause_before_retry(
    retry: Retry | None,
    error: BaseException,
    tries: int,
    chance: Callable[[], float],
    left_s: float | None = None,
) -> float | None:
    """Return how many seconds to wait before the next attempt; None: there is none.

    *tries* attempts have failed, the last one with *error*. The run may go on for *left_s* seconds.
    """
    return None if retry is None else retry.pause_s(error, tries, chance, left_s)


def failure_of(
    run: Run,
    bound: Sequence[Any],
    plan: StepPlan | None,
    error: BaseException,
    attempts: int,
    first: BaseException | str | None = None,
) -> WorkflowFailed:
    """Return what *run* raises in its callers, if it fails because of *error* in a step.

    If that is the error of a fallback, *first* is the error that it stood in for, or what that said.
    """
    kind = WorkflowTimedOut if isinstance(error, TimeoutError) else WorkflowFailed
    failure = kind(
        run.plan.name,
        run.id,
        "" if plan is None else plan.id,
        "" if plan is None else _agent_name(bound, plan),
        cause_of(error),
        attempts=attempts,
        completed=[
            step.id
            for step, found in zip(run.plan.steps, run.steps, strict=True)
            if found is not None and found.state in ENDED
        ],
        stored=run.persist,
        instead_of=None if first is None else error_text(first),
    )
    failure.expected = is_expected(error)
    if isinstance(first, BaseException):
        failure.expected = failure.expected and is_expected(first)
    elif first is not None:
        failure.expected = False
    return failure


def _agent_name(bound: Sequence[Any], plan: StepPlan) -> str:
    """Return what works on a step, for people."""
    target = plan.definition.target
    if target is not None:
        return target_name(target)
    if plan.definition.workflow is not None:
        return target_name(bound[plan.index]) if bound else ""
    return ""


def cause_of(error: BaseException) -> BaseException:
    """Return the handler's own error where an agent only passes it on."""
    if isinstance(error, AgentFailed) and error.__cause__ is not None:
        return error.__cause__
    return error


def error_text(error: BaseException | str) -> str:
    """Return what an attempt's error says, without the agent's name: that is known."""
    return error if isinstance(error, str) else describe(cause_of(error))


def failure_text(error: BaseException | None) -> str:
    """Return what a failed run says about itself in its journal."""
    if isinstance(error, WorkflowFailed):
        where = f"step {error.step!r}: " if error.step else ""
        undos = error.undo_failed.items()
        more = "".join(f"; undoing step {step!r} failed: {why}" for step, why in undos)
        return where + error.reason + more
    return describe(error or "")
