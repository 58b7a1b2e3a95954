"""Why a run failed, as its journal keeps it: the error is the same wherever, and whenever, it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...vocabulary.target import target_name
from ..errors import WorkflowFailed, WorkflowTimedOut

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from .run import Run


def failure_record(failure: WorkflowFailed) -> dict[str, Any]:
    """Return what a journal keeps of *failure*: all but the exception that caused it."""
    record: dict[str, Any] = {
        "step": failure.step,
        "agent": failure.agent,
        "attempts": failure.attempts,
        "completed": list(failure.completed),
        "reason": failure.reason,
    }
    if failure.instead_of is not None:
        record["instead_of"] = failure.instead_of
    if isinstance(failure, TimeoutError):
        record["timed_out"] = True
    if failure.expected:
        record["expected"] = True
    return record


def recorded_failure(run: Run) -> WorkflowFailed:
    """Return what *run* raises in its callers, if it failed before it was read from the store."""
    record = run.failure or _as_far_as_known(run)
    kind = WorkflowTimedOut if record.get("timed_out") else WorkflowFailed
    failure = kind(
        run.plan.name,
        run.id,
        record["step"],
        record["agent"],
        record["reason"],
        attempts=record["attempts"],
        completed=record["completed"],
        stored=run.persist,
    )
    failure.instead_of = record.get("instead_of")
    failure.expected = record.get("expected", False)
    return failure


def _as_far_as_known(run: Run) -> Mapping[str, Any]:
    """Return why a run failed whose journal does not say it as one: an older engine has written it."""
    name = run.failed_steps[0] if run.failed_steps else ""
    plan = run.plan.by_id[name] if name else None
    found = None if plan is None else run.steps[plan.index]
    return {
        "step": name,
        "agent": "" if plan is None else _agent_name(plan),
        "attempts": 0 if found is None else found.attempts,
        "completed": (),
        "reason": (None if found is None else found.error) or run.last_error or "it failed",
    }


def _agent_name(plan: StepPlan) -> str:
    """Return what works on a step, for people, as far as its definition tells."""
    target = plan.definition.target
    return "" if target is None else target_name(target)
