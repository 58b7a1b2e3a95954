"""How runs are made, started and waited for: what the public calls and nested workflows share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import ActorDied

from ..target import target_name
from .coordinator import Cancellation
from .core import CancelRun, EngineCore, Start
from .errors import EngineStopped, WorkflowCancelled, WorkflowExists, WorkflowFailed
from .run import Run
from .status import WorkflowState

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

    from .plan import Plan
    from .setup import Setup

CANCEL_GRACE_S: Final = 10.0
"""How long a caller that is cancelled waits until its workflow has ended, too."""


def new_id(core: EngineCore) -> str:
    """Return an id for a run: it grows with time, which keeps the store's index compact."""
    return f"wf_{int(core.now() * 1e6):014x}{core.home.random.getrandbits(40):010x}"


def make_run(
    setup: Setup,
    core: EngineCore,
    plan: Plan,
    input_data: Any,
    *,
    run_id: str | None = None,
    persist: bool = False,
    labels: Mapping[str, str] | None = None,
    parent: str | None = None,
) -> Run:
    """Return a run of *plan* that has not begun; raises before anything runs.

    `InputMismatch` for an input that lacks what the steps read, `UnknownName` for a name that stands
    for nobody, `WorkflowExists` for an id that is taken.
    """
    if run_id is not None and run_id in core.runs:
        raise WorkflowExists(run_id)
    plan.check_input(input_data)
    bound = setup.bind(plan)
    run = Run(run_id or new_id(core), plan, input_data, core.now())
    run.bound = bound
    run.persist = persist
    run.parent = parent
    if labels:
        run.labels = {**run.labels, **labels}
    return run


def follow(core: EngineCore, run: Run) -> Request:
    """Return an awaitable for the result of *run*; it raises what the run failed with."""
    request = core.promise()
    if run.over:
        if run.state is WorkflowState.COMPLETED:
            request.reply(run.result)
        else:
            request.fail(run.error or ending_of(run))
    elif run.waiters is None:
        run.waiters = [request]
    else:
        # Who has stopped waiting must not be kept for as long as the run waits.
        run.waiters = [waiter for waiter in run.waiters if waiter.asker_waiting]
        run.waiters.append(request)
    return request


def launch(core: EngineCore, start: Start) -> None:
    """Hand a run to the engine's actor; raises `EngineStopped`."""
    try:
        core.actor_ref.tell(start)
    except ActorDied:
        raise EngineStopped(core.setup.name) from None


async def attend(core: EngineCore, run: Run, request: Request) -> Any:
    """Return the result of a run that lives and ends with its caller.

    When the caller is cancelled, so is the run, and what it does.
    """
    try:
        return await request
    except asyncio.CancelledError:
        await cancel_with_caller(core, run)
        raise


async def cancel_with_caller(core: EngineCore, run: Run) -> None:
    """Cancel a run whose caller was cancelled, and wait a while until it has ended."""
    cancellation = Cancellation("its caller was cancelled", graceful=False, compensate=True)
    done = core.promise()
    cancellation.requests.append(done)
    try:
        core.actor_ref.tell(CancelRun(run.id, cancellation))
        async with asyncio.timeout(CANCEL_GRACE_S):
            await done
    except (ActorDied, TimeoutError, EngineStopped):
        pass


async def run_nested(setup: Setup, plan: Plan, payload: Any, context: Mapping[str, Any]) -> Any:
    """Return the result of a workflow that is a step of another, or stands in an agent's place."""
    core = setup.core()
    parent_id = context.get("workflow_id")
    parent = core.runs.get(parent_id) if isinstance(parent_id, str) else None
    run_id = None
    if parent is not None and parent.persist:
        # The same attempt, repeated after a crash, finds the run that it had begun.
        run_id = str(context["idempotency_key"])
        found = core.runs.get(run_id)
        if found is None and core.keeper is not None:
            found = await core.keeper.pick_up(run_id)
        if found is not None:
            return await attend(core, found, follow(core, found))
    run = make_run(
        setup,
        core,
        plan,
        payload,
        run_id=run_id,
        persist=parent is not None and parent.persist,
        parent=parent.id if parent is not None else None,
    )
    if core.tracer is not None:
        run.parent_span = core.tracer.find(context.get("span_id"))
    request = follow(core, run)
    launch(core, Start(run, bypass=parent is not None))
    return await attend(core, run, request)


def ending_of(run: Run) -> BaseException:
    """Return the error that a run read from the store raises, unless it has been completed."""
    if run.state is WorkflowState.CANCELLED:
        return WorkflowCancelled(run.plan.name, run.id, run.reason or "cancelled")
    step = run.failed_steps[0] if run.failed_steps else ""
    found = run.steps[run.plan.by_id[step].index] if step else None
    agent = ""
    if step:
        target = run.plan.by_id[step].definition.target
        agent = "" if target is None else target_name(target)
    return WorkflowFailed(
        run.plan.name,
        run.id,
        step,
        agent,
        (found.error if found is not None else None) or run.last_error or "it failed",
        attempts=found.attempts if found is not None else 1,
        stored=True,
    )
