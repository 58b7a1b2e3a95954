"""How runs are made, started and waited for: what the public calls and nested workflows share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from agenticaiframework.actors import ActorDied

from ..errors import EngineStopped, WorkflowExists, WorkflowLost
from ..runner.messages import Cancellation
from ..state.run import Run, ending_of
from ..state.status import WorkflowState
from .core import EngineCore
from .messages import CancelRun, SignalRun, Start

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

    from ...vocabulary.target import Scope
    from ..definition.plan import Plan
    from .keeper import Keeper
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
    for nobody, `WorkflowExists` for an id that is taken, `DefinitionError` for a definition that
    cannot be stored.
    """
    if run_id is not None:
        _check_text("workflow_id", run_id)
        there = core.runs.get(run_id)
        # A part is only made when the store has none: one that ended here was never stored.
        if there is not None and not (there.over and parent is not None):
            raise WorkflowExists(run_id)
    plan.check_input(input_data)
    bound = setup.bind(plan)
    run = Run(run_id or new_id(core), plan, input_data, core.now())
    run.bound = bound
    if persist:
        run.persist = True
        _ = plan.text  # what cannot be written down is refused now
    if parent is not None:
        run.parent = parent
    if labels:
        for key, value in labels.items():
            _check_text("the name of a label", key)
            _check_text(f"the label {key!r}", value, empty=True)
        run.labels = {**run.labels, **labels}
    return run


def _check_text(what: str, value: Any, *, empty: bool = False) -> None:
    """Raise ValueError unless *value* is a text with something in it."""
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f"{what} is a{'' if empty else ' non-empty'} text, not {value!r}")


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


def launch(core: EngineCore, message: Start | CancelRun | SignalRun) -> None:
    """Tell the engine's actor something; raises `EngineStopped`."""
    try:
        core.actor_ref.tell(message)
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


async def run_nested(setup: Setup, plan: Plan, payload: Any, scope: Scope) -> Any:
    """Return the result of a workflow that is a step of another, or stands in an agent's place."""
    core = setup.core()
    context = scope.context or {}
    parent_id = context.get("workflow_id")
    parent = core.runs.get(parent_id) if isinstance(parent_id, str) else None
    if parent is not None and parent.persist and core.keeper is not None:
        return await _run_stored_part(setup, core, core.keeper, plan, payload, scope, parent)
    run = _make_part(setup, core, plan, payload, scope, parent, None)
    request = follow(core, run)
    launch(core, Start(run, bypass=parent is not None))
    return await attend(core, run, request)


def _make_part(
    setup: Setup,
    core: EngineCore,
    plan: Plan,
    payload: Any,
    scope: Scope,
    parent: Run | None,
    run_id: str | None,
) -> Run:
    run = make_run(
        setup,
        core,
        plan,
        payload,
        run_id=run_id,
        persist=run_id is not None,
        parent=None if parent is None else parent.id,
    )
    if core.tracer is not None:
        run.parent_span = core.tracer.find((scope.context or {}).get("span_id"))
    if scope.emit is not None:
        # What happens inside is told to who follows the run around it.
        run.listeners = [cast("Any", scope.emit)]
    return run


async def _run_stored_part(
    setup: Setup,
    core: EngineCore,
    keeper: Keeper,
    plan: Plan,
    payload: Any,
    scope: Scope,
    parent: Run,
) -> Any:
    """Return the result of a stored workflow that is a part of the stored run *parent*.

    Its id follows from the attempt. So the same attempt, repeated after a crash, finds the run that
    it had begun: ended, to be gone on with, or in the hands of another engine that is waited for.
    """
    run_id = str((scope.context or {})["idempotency_key"])
    while True:
        run, here = await keeper.pick_up(run_id)
        if run is not None and not here and not run.over:
            await asyncio.sleep(core.config.poll_seconds)
            continue
        try:
            if run is None:
                run = _make_part(setup, core, plan, payload, scope, parent, run_id)
                follow_up = follow(core, run)
                launch(core, Start(run, bypass=True))
            else:
                follow_up = follow(core, run)
            return await follow_up
        except WorkflowExists:
            continue
        except WorkflowLost:
            # Another engine has it now; so it has, or will have, the parent, unless that stays here.
            if not parent.over:
                continue
            raise
        except asyncio.CancelledError:
            # Only who wants the parent stopped wants its parts stopped. A parent whose coordinator
            # died, or that another engine took, finds them again.
            stopped = not parent.over and parent.ref is not None and parent.ref.is_alive()
            if stopped and run is not None:
                await cancel_with_caller(core, run)
            raise
