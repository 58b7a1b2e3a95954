"""How runs are made, started and waited for: what the public calls and nested workflows share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from agenticaiframework.actors import ActorDied, CallingSelf, nested_context

from ..errors import EngineStopped, WorkflowExists, WorkflowLost
from ..state.cancellation import Cancellation
from ..state.live import LiveRun
from ..state.run import Run
from .messages import CancelRun, SignalRun, StartRun
from .origin import origin_of
from .otel import current_context, in_use

if TYPE_CHECKING:
    from contextvars import Context

    from agenticaiframework.actors import Request

    from ...vocabulary.target import Resolver, Scope
    from ..definition.plan import Plan
    from .core import EngineCore
    from .keeper import StoreKeeper

TURN_ADVICE: Final = (
    "A run that a handler starts and waits for takes no turn of its own if it is started with "
    "`await engine.execute(...)`; else raise EngineConfig(max_concurrent_workflows=...), or let a step "
    "of the workflow name the other one."
)
"""What to do where runs that have their turn wait for one that has none."""

CANCEL_GRACE_S: Final = 10.0
"""How long a caller that is cancelled waits until its workflow has ended, too."""


def new_id(core: EngineCore, now: float) -> str:
    """Return an id for a run: it grows with time, which keeps the store's index compact."""
    return f"wf_{int(now * 1e6):014x}{core.home.random.getrandbits(40):010x}"


def make_run(
    core: EngineCore,
    plan: Plan,
    input_data: Any,
    *,
    run_id: str | None = None,
    persist: bool = False,
    labels: Mapping[str, str] | None = None,
    parent: str | None = None,
    caller: Context | None = None,
    context: Mapping[str, Any] | None = None,
    resolver: Resolver | None = None,
) -> LiveRun:
    """Return a run of *plan* that has not begun; raises before anything runs.

    Names that are not bound are looked up by *resolver*, or else from here.

    `InputMismatch` for an input that lacks what the steps read, `UnknownName` for a name that stands
    for nothing, `WorkflowExists` for an id that is taken, `DefinitionError` for a definition that
    cannot be stored, `ValueNotStorable` for a *context* that cannot be. *caller* is a copy of the
    context variables of the place that starts it, if that is not this one.
    """
    if run_id is not None:
        _check_text("workflow_id", run_id)
        there = core.roster.get(run_id)
        # A part is only made when the store has none: one that ended here was never stored.
        if there is not None and not (there.over and parent is not None):
            raise WorkflowExists(run_id)
    plan.check_input(input_data)
    names = core.setup.names_of(plan, resolver)
    bound = core.setup.bind(plan, names)
    now = core.now()
    run = Run(run_id or new_id(core, now), plan, input_data, now)
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
    live = LiveRun(run)
    live.bound, live.resolve = bound, names
    if caller is None:
        live.variables = copy_context()
        handed = nested_context(plan.name, context)
    else:
        live.variables = caller
        handed = caller.run(nested_context, plan.name, context)
    if handed is not None or in_use():
        run.context = origin_of(live.variables, plan.name, handed, context, persist)
    if core.tracer is not None and parent is None:
        live.outside = live.variables.run(current_context)
    return live


def _check_text(what: str, value: Any, *, empty: bool = False) -> None:
    """Raise ValueError unless *value* is a text with something in it."""
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f"{what} is a{'' if empty else ' non-empty'} text, not {value!r}")


def follow(core: EngineCore, live: LiveRun) -> Request:
    """Return an awaitable for the result of a run; it raises what the run failed with."""
    request = core.actor_ref.promise(partial(core.ahead_of_run, live), TURN_ADVICE)
    live.follow(request)
    return request


def launch(core: EngineCore, message: StartRun | CancelRun | SignalRun) -> None:
    """Tell the engine's actor something; raises `EngineStopped`."""
    try:
        core.actor_ref.tell(message)
    except ActorDied:
        raise EngineStopped(core.setup.name) from None


def launch_now(core: EngineCore, message: StartRun) -> None:
    """Have a run begin inside its caller's turn, if that can be; raises `EngineStopped`.

    For a caller that waits for the run's end. One that only starts runs must let the engine have its
    turn between two of them, or it would start more than may run and wait.
    """
    if not core.actor_ref.handle_now(message):
        launch(core, message)


async def start(core: EngineCore, message: StartRun) -> None:
    """Have a run taken in, and return once it is (and is stored, if it is to be)."""
    accepted = message.accepted = core.actor_ref.promise()
    launch(core, message)
    await accepted


async def attend(core: EngineCore, live: LiveRun, request: Request) -> Any:
    """Return the result of a run that lives and ends with its caller.

    When the caller is cancelled, so is the run, and what it does.
    """
    try:
        return await request
    except CallingSelf:
        if not live.over and request.done():
            launch(core, CancelRun(live.id, Cancellation("its caller could not wait for it")))
        raise
    except asyncio.CancelledError:
        await cancel_with_caller(core, live)
        raise


async def cancel_with_caller(core: EngineCore, live: LiveRun) -> None:
    """Cancel a run whose caller was cancelled, and wait a while until it has ended."""
    cancellation = Cancellation("its caller was cancelled")
    done = core.actor_ref.promise()
    cancellation.requests.append(done)
    try:
        launch(core, CancelRun(live.id, cancellation))
        async with asyncio.timeout(CANCEL_GRACE_S):
            await done
    except (ActorDied, TimeoutError, EngineStopped):
        pass


async def run_nested(core: EngineCore, plan: Plan, payload: Any, scope: Scope) -> Any:
    """Return the result of a workflow that is a step of another, or stands in an agent's place."""
    context = scope.context or {}
    parent_id = context.get("workflow_id")
    parent = core.roster.get(parent_id) if isinstance(parent_id, str) else None
    keeper = core.gate.keeper
    if parent is not None and parent.run.persist and keeper is not None:
        return await _run_stored_part(core, keeper, plan, payload, scope, parent)
    live = _make_part(core, plan, payload, scope, parent, None)
    request = follow(core, live)
    launch_now(core, StartRun(live, part=parent is not None))
    return await attend(core, live, request)


def _make_part(
    core: EngineCore,
    plan: Plan,
    payload: Any,
    scope: Scope,
    parent: LiveRun | None,
    run_id: str | None,
) -> LiveRun:
    live = make_run(
        core,
        plan,
        payload,
        run_id=run_id,
        persist=run_id is not None,
        parent=None if parent is None else parent.id,
        context=scope.context,
        resolver=scope.resolver,
    )
    if core.tracer is not None:
        live.parent_span = core.tracer.find((scope.context or {}).get("span_id"))
    if scope.emit is not None:
        # What happens inside is told to the listeners of the run around it.
        live.attach(cast("Any", scope.emit))
    return live


async def _run_stored_part(
    core: EngineCore,
    keeper: StoreKeeper,
    plan: Plan,
    payload: Any,
    scope: Scope,
    parent: LiveRun,
) -> Any:
    """Return the result of a stored workflow that is a part of the stored run *parent*.

    Its id follows from the attempt. So the same attempt, repeated after a crash, finds the run that
    it had begun: ended, to be gone on with, or in the hands of another engine that is waited for.
    """
    run_id = str((scope.context or {})["idempotency_key"])
    while True:
        live, here = await keeper.recovery.pick_up(run_id)
        if live is not None and not here and not live.over:
            await asyncio.sleep(core.setup.config.poll_seconds)
            continue
        try:
            if live is None:
                live = _make_part(core, plan, payload, scope, parent, run_id)
                follow_up = follow(core, live)
                launch_now(core, StartRun(live, part=True))
            else:
                follow_up = follow(core, live)
            return await follow_up
        except WorkflowExists:
            continue
        except WorkflowLost:
            # Another engine has it now; so it has, or will have, the parent, unless that stays here.
            if not parent.over:
                continue
            raise
        except asyncio.CancelledError:
            # Only what stops the parent stops its parts. A parent whose coordinator died, or that
            # another engine took, finds them again.
            stopped = not parent.over and parent.ref is not None and parent.ref.is_alive()
            if stopped and live is not None:
                await cancel_with_caller(core, live)
            raise
