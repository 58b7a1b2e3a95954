"""What failures and cancellations mean for a run: another attempt, something instead, or the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import AgentFailed

from ...definition.policy import Retry
from ..definition.shapes import plain
from ..errors import WorkflowFailed, WorkflowTimedOut, describe
from ..state.events import EventKind
from ..state.status import WorkflowState
from ..state.step_run import BUSY, ENDED
from .items import item_done

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from .coordinator import Coordinator
    from .messages import Cancellation
    from .work import Unit


def attempt_failed(c: Coordinator, plan: StepPlan, unit: Unit | None, error: BaseException) -> None:
    """Decide what a failed attempt means: another one, something in its place, or the end."""
    found = c.run.step(plan.index)
    attempt = found.attempts if unit is None else unit.attempt
    item = None if unit is None else unit.item
    data: dict[str, Any] = {"error": error_text(error)}
    if item is not None:
        data["item"] = item
    if unit is not None and not c._closing and unit.via == "agent":
        tries = 1 + (found.tries if item is None else (found.items or {})[item].tries)
        delay_s = pause_before_retry(c, plan.definition.retry, error, tries)
        if delay_s is None and plan.fallback is not None:
            delay_s = 0.0
            data["via"] = "fallback"
        if delay_s is not None:
            data["delay_s"] = delay_s
            c._happened(EventKind.STEP_RETRYING, plan.id, attempt, data)
            c._timed = True
            c._go_on(plan, found)
            return
    default = plan.default
    if default is not None or plan.dispensable:
        data["output"] = None if default is None else plain(default.default)
        if unit is not None and item is not None:
            item_done(c, unit, data)
        elif default is not None:
            data["via"] = "default"
            c._ended(EventKind.STEP_COMPLETED, plan, attempt, data)
        else:
            del data["output"]
            c._ended(EventKind.STEP_SKIPPED, plan, attempt, data)
        return
    c._happened(EventKind.STEP_FAILED, plan.id, attempt, data)
    let_run_fail(c, failure_of(c, plan, error, attempt))


def pause_before_retry(
    c: Coordinator, retry: Retry | None, error: BaseException, tries: int
) -> float | None:
    """Return how long to wait before the next attempt; None: there is none."""
    if retry is None or not retry.allows(error, tries):
        return None
    chance = c.system.random.random() if retry.jitter else 0.0
    return retry.delay_s(error, tries, chance)


def failure_of(
    c: Coordinator, plan: StepPlan | None, error: BaseException, attempts: int
) -> WorkflowFailed:
    run = c.run
    kind = WorkflowTimedOut if isinstance(error, TimeoutError) else WorkflowFailed
    agent = "" if plan is None else c._core.agent_name(run, plan)
    return kind(
        run.plan.name,
        run.id,
        "" if plan is None else plan.id,
        agent,
        cause_of(error),
        attempts=attempts,
        completed=[
            step.id
            for step, found in zip(run.plan.steps, run.steps, strict=True)
            if found is not None and found.state in ENDED
        ],
        stored=run.persist,
    )


def let_run_fail(c: Coordinator, error: BaseException | None) -> None:
    """Let the run fail once what is under way has ended; the first failure is the one told."""
    run = c.run
    if run.failure is None:
        run.failure = error or WorkflowFailed(
            run.plan.name, run.id, ", ".join(run.failed_steps), "", run.last_error or "",
            stored=run.persist,
        )  # fmt: skip
    c._closing = True
    c._queue.clear()
    if run.plan.definition.on_failure == "cancel":
        stop_work(c)


def stop_work(c: Coordinator) -> None:
    """Stop all attempts that are under way, and start none of those that were about to."""
    for worker, unit in (c._workers or {}).items():
        if not unit.stopping and not unit.undo:
            unit.stopping = True
            worker.exit("shutdown")
    # In the order of the page, whatever the sets say: the same run tells the same story.
    stopped = [
        unit
        for unit in sorted(c._asked, key=lambda unit: unit.place)
        if unit.request is not None and not unit.undo
    ]
    for unit in stopped:
        c._asked.discard(unit)
        if unit.request is not None:
            unit.request.abandon()
    held, c._held = c._held or (), None
    for unit in (*stopped, *sorted(held, key=lambda unit: unit.place)):
        c._core.attempts.ended(c.run, unit)
    unsent = [unit for unit in c._outbox if not unit.undo]
    c._outbox = [unit for unit in c._outbox if unit.undo]
    for unit in sorted((*stopped, *held, *unsent), key=lambda unit: unit.place):
        c._active -= 1
        work_stopped(c, unit)


def work_stopped(c: Coordinator, unit: Unit) -> None:
    """Note that an attempt was stopped before it had ended."""
    if not unit.undo and c.run.step(unit.plan.index).state in BUSY:
        c._happened(EventKind.STEP_CANCELLED, unit.plan.id, unit.attempt)


def cancel(c: Coordinator) -> None:
    run = c.run
    cancellation: Cancellation = run.cancel
    c._cancelling = cancellation
    c._closing = True
    c._stopped = tuple(
        plan.id
        for plan, found in zip(run.plan.steps, run.steps, strict=True)
        if found is not None and found.state in BUSY
    )
    if c._undo is None:
        if run.state is not WorkflowState.CANCELLING:
            data = {"reason": cancellation.reason}
            c._happened(EventKind.WORKFLOW_CANCELLING, data=data)
        c._queue.clear()
        if not cancellation.graceful:
            stop_work(c)


def cause_of(error: BaseException) -> BaseException:
    """Return the handler's own error where an agent only passes it on."""
    if isinstance(error, AgentFailed) and error.__cause__ is not None:
        return error.__cause__
    return error


def error_text(error: BaseException) -> str:
    """Return what an attempt's error says, without who was asked: that is known."""
    return describe(cause_of(error))


def failure_text(error: BaseException | None) -> str:
    """Return what a failed run says about itself in its journal."""
    if isinstance(error, WorkflowFailed):
        where = f"step {error.step!r}: " if error.step else ""
        return where + error.reason
    return describe(error or "")
