"""How runs are made, started and waited for: what the public calls and nested workflows share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import (
    ActorDied,
    CallingSelf,
    current_meter,
    nested_context,
    read_usage_limits,
    tracing_in_use,
)

from ...vocabulary.errors import NestedTooDeep
from ..errors import EngineDraining, EngineStopped, WorkflowExists
from ..state.cancellation import Cancellation
from ..state.live import LiveRun
from ..state.part_names import MARK
from ..state.run import Run
from ..store import LONGEST_NAME
from .engine_host import EngineHost
from .messages import CancelRun, DrainEngine, SignalRun, StartRun
from .origin import origin_of
from .otel import current_context

if TYPE_CHECKING:
    from contextvars import Context

    from agenticaiframework.actors import ActorRef, Request, WorkLimits

    from ...vocabulary.target import Resolver
    from ..definition.plan import Plan
    from .tracing import Tracer

TURN_ADVICE: Final = (
    "A run that a handler starts and waits for takes no turn of its own if it is started with "
    "`await engine.execute(...)`; else raise EngineConfig(max_concurrent_workflows=...), or let a step "
    "of the workflow name the other one."
)
"""What to do where runs that have their turn wait for one that has none."""

CANCEL_GRACE_S: Final = 10.0
"""How long a caller that is cancelled waits until its workflow has ended, too."""


class LaunchHost(EngineHost, Protocol):
    """The engine's actor, as what makes and starts runs knows it."""

    @property
    def actor_ref(self) -> ActorRef[Any]:
        """Its address."""
        ...

    @property
    def stored_form(self) -> Callable[[Any, Callable[[], str]], Any]:
        """What returns the form that the store keeps of a value; raises what it cannot keep."""
        ...

    @property
    def arriving(self) -> MutableMapping[Any, None]:
        """What it was told and has not handled."""
        ...

    @property
    def tracer(self) -> Tracer | None:
        """What makes spans, if runs are traced."""
        ...

    def now(self) -> float:
        """Return the seconds since the epoch."""
        ...

    def ahead_of_run(self, live: LiveRun) -> list[LiveRun]:
        """Return the runs that all must get on before *live* can end."""
        ...


def new_id(core: LaunchHost, now: float) -> str:
    """Return an id for a run: it grows with time, which keeps the store's index compact."""
    return f"wf_{int(now * 1e6):014x}{core.home.random.getrandbits(40):010x}"


def is_there(live: LiveRun | None) -> bool:
    """Tell whether an id is taken; of one that is being stored, the engine's actor says so once it is.

    One that the store has refused is known here, and free: what is told to exist would be nowhere else.
    """
    return live is not None and not live.being_stored and not live.never_stored


def make_run(
    core: LaunchHost,
    plan: Plan,
    input_data: Any,
    *,
    run_id: str | None = None,
    persist: bool = False,
    labels: Mapping[str, str] | None = None,
    part_of: Run | None = None,
    caller: Context | None = None,
    context: Mapping[str, Any] | None = None,
    resolver: Resolver | None = None,
    usage_limits: Any = None,
    elsewhere: bool = False,
) -> LiveRun:
    """Return a run of *plan* that has not begun; raises before anything runs.

    Names that are not bound are looked up by *resolver*, or else from here.

    With *part_of* it is a part of that run, under an id that follows from there.

    `InputMismatch` for an input that lacks what the steps read, `UnknownName` for a name that stands
    for nothing, `WorkflowExists` for an id that is taken, `DefinitionError` for a definition that
    cannot be stored, `ValueNotStorable` for a *context* that cannot be. *caller* is a copy of the
    context variables of the place that starts it, if that is not this one. Of one that begins *elsewhere*
    no name need stand for anything here.
    """
    if run_id is not None and part_of is None:
        _check_text("workflow_id", run_id)
        if MARK in run_id:
            raise ValueError(
                f"workflow_id {run_id!r} has a {MARK!r}, which marks the ids of nested runs; "
                f"choose another, for example {run_id.replace(MARK, '-')!r}"
            )
        if is_there(core.roster.get(run_id)):
            raise WorkflowExists(run_id)
    input_data = plan.take_input(input_data)
    keep = core.stored_form if persist else None
    if keep is not None:
        # From here on as it will be read back, so that a restart changes nothing.
        input_data = keep(input_data, lambda: f"the input of workflow {plan.name!r}")
    plan.check_input(input_data)
    names = core.setup.names_of(plan, resolver)
    bound = () if elsewhere else core.setup.bind(plan, names)
    now = core.now()
    run = Run(run_id or new_id(core, now), plan, input_data, now)
    if persist:
        run.persist = True
        _ = plan.text  # what cannot be written down is refused now
    if part_of is not None:
        run.parent = part_of.id
        run.root = part_of.root or part_of.id
    if labels:
        _check_labels(labels)
        run.labels = {**run.labels, **labels}
    live = LiveRun(run)
    live.bound, live.resolve = bound, names
    run.usage_limits = _limits(core, plan, usage_limits, part_of)
    if part_of is None:
        live.spends_in = current_meter() if caller is None else caller.run(current_meter)
    if caller is None:
        live.variables = copy_context()
        handed = nested_context(plan.name, context)
    else:
        live.variables = caller
        handed = caller.run(nested_context, plan.name, context)
    if handed is not None or tracing_in_use():
        run.context = origin_of(live.variables, plan.name, handed, context, keep)
    if core.tracer is not None and part_of is None:
        live.outside = live.variables.run(current_context)
    return live


def _limits(core: LaunchHost, plan: Plan, given: Any, part_of: Run | None) -> WorkLimits | None:
    """Return what a run of *plan* may spend on models: *given*, or else what the plan says or the engine.

    A part has its own limits alone beside those of the runs around it.
    """
    if given is not None:
        return read_usage_limits(f"workflow {plan.name!r}", given)
    own: WorkLimits | None = plan.definition.usage_limits
    general: WorkLimits | None = core.setup.config.usage_limits
    return own if own is not None or part_of is not None else general


def _check_labels(labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        _check_text("the name of a label", key)
        _check_text(f"the label {key!r}", value, empty=True)


def _check_text(what: str, value: Any, *, empty: bool = False) -> None:
    """Raise ValueError unless *value* is a text with something in it, and not too long for an index."""
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f"{what} is a{'' if empty else ' non-empty'} text, not {value!r}")
    if len(value) > LONGEST_NAME:
        raise ValueError(
            f"{what} has {len(value):,} characters; at most {LONGEST_NAME:,}: choose a shorter text, "
            "and keep the long one in the input"
        )


def follow(core: LaunchHost, live: LiveRun) -> Request:
    """Return an awaitable for the result of a run; it raises what the run failed with."""
    request = core.actor_ref.promise(partial(core.ahead_of_run, live), TURN_ADVICE)
    live.follow(request)
    return request


def launch(core: LaunchHost, message: StartRun | CancelRun | SignalRun | DrainEngine) -> None:
    """Tell the engine's actor something; raises `EngineStopped`."""
    if message.__class__ is not SignalRun:
        core.arriving[message] = None
    try:
        core.actor_ref.tell(message)
    except ActorDied:
        raise EngineStopped(core.setup.name) from None


def launch_now(core: LaunchHost, message: StartRun) -> None:
    """Have a run begin inside its caller's turn, if that can be; raises `EngineStopped`.

    For a caller that waits for the run's end. One that only starts runs must let the engine have its
    turn between two of them, or it would start more than may run and wait.
    """
    core.arriving[message] = None
    if not core.actor_ref.handle_now(message):
        launch(core, message)


def join_turn(core: LaunchHost, live: LiveRun, around_id: Any) -> None:
    """Let a run that a handler waits for have the turn of the handler's run, which it holds up."""
    around = core.roster.get(around_id) if isinstance(around_id, str) else None
    if around is not None and not around.over:
        live.turn = around.turn or around.id
        live.depth = around.depth + 1
        limit = core.setup.config.max_nested_workflows
        if live.depth > limit:
            raise NestedTooDeep((around.run.plan.name,) * limit + (live.run.plan.name,))


def refuse_if_draining(core: LaunchHost, around_id: Any = None) -> None:
    """Raise `EngineDraining` for new work while the engine is drained.

    What a handler of the run *around_id* starts is not new: its step is under way, and may need it.
    """
    if core.setup.draining:
        around = core.roster.get(around_id) if isinstance(around_id, str) else None
        if around is None or around.over:
            raise EngineDraining(core.setup.name)


async def start(core: LaunchHost, message: StartRun) -> None:
    """Have a run taken in, and return once it is (and is stored, if it is to be)."""
    accepted = message.accepted = core.actor_ref.promise()
    launch(core, message)
    await accepted


async def attend(core: LaunchHost, live: LiveRun, request: Request) -> Any:
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


async def cancel_with_caller(core: LaunchHost, live: LiveRun) -> None:
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
