"""A workflow in a workflow, or wherever an agent can stand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from agenticaiframework.actors import (
    IDEMPOTENCY_KEY,
    agents_from_here,
    current_meter,
    nested_context,
)

from ...vocabulary.target import Scope
from ..runner.part import PartTarget
from ..state.cancellation import Cancellation
from ..state.part_names import unit_of
from .launching import (
    CANCEL_GRACE_S,
    attend,
    follow,
    join_turn,
    launch_now,
    make_run,
    refuse_if_draining,
)
from .messages import StartRun

if TYPE_CHECKING:
    from agenticaiframework.actors import Usage

    from ..definition.plan import Plan, StepPlan
    from ..state.live import LiveRun
    from .core import EngineCore
    from .setup import Setup


class NestedWorkflow(PartTarget):
    """A workflow as something that can be asked: each time it is a run of its own.

    Inside a run it is a part of that. A step that names it needs nothing of this class: the engine
    begins the part. What is here is for patterns, teams and handlers, which ask and wait.
    """

    def __init__(self, plan: Plan, core: Callable[[], EngineCore], setup: Setup) -> None:
        self._core = core
        self._setup = setup
        self.plan = plan
        self.name = plan.name

    @property
    def undoable(self) -> bool:
        """Whether something in it, or in its own parts, has a compensation."""
        return _undoable(self, set())

    def targets(self) -> tuple[Any, ...]:
        """Return what its steps ask; raises `UnknownName` for what is found only in a run."""
        return self._setup.bind(self.plan, self._setup.names_of(self.plan))

    async def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the workflow's result for *payload*."""
        inherited = nested_context(self.name, context)
        return await self.ask_within(payload, timeout, Scope(agents_from_here(), inherited))

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return the workflow's result, as a part of the execution around it."""
        async with asyncio.timeout(timeout):
            return await self._run(payload, scope)

    async def _run(self, payload: Any, scope: Scope) -> Any:
        core = self._core()
        context = scope.context or {}
        parent_id = context.get("workflow_id")
        parent = core.roster.get(parent_id) if isinstance(parent_id, str) else None
        if parent is not None and not parent.over:
            plan = parent.run.plan.by_id.get(str(context.get("step")))
            if plan is not None:
                return await _Asked(self, payload, scope, parent, plan).answer(core)
        refuse_if_draining(core, parent_id)
        live = make_run(core, self.plan, payload, context=scope.context, resolver=scope.resolver)
        if core.tracer is not None:
            live.parent_span = core.tracer.find(context.get("span_id"))
        if scope.emit is not None:
            live.attach(cast("Any", scope.emit))
        request = follow(core, live)
        join_turn(core, live, parent_id)
        launch_now(core, StartRun(live))
        return await attend(core, live, request)


class _Asked:
    """One question of a pattern, a team or a handler to a workflow: its part answers it.

    Its id follows from the step and from what the question goes through: the same question of a
    later attempt finds the same part. Owned by the task that asks.
    """

    undo = undoes = stopping = parked = False
    again = True
    value: Any = None
    error: BaseException | None = None
    undone: Any = None

    def __init__(
        self, target: NestedWorkflow, payload: Any, scope: Scope, parent: LiveRun, plan: StepPlan
    ) -> None:
        context = scope.context or {}
        self.target = target
        self.payload = payload
        self.scope: Scope | None = scope
        self.plan = plan
        self.number = int(context.get("attempt", 1))
        item = context.get("item")
        self.item = item if isinstance(item, int) else None
        self.iteration = int(context.get("iteration", 1))
        self.via = "agent"
        found = parent.run.step(plan.index)
        self.generation = found.generation
        if self.item is not None:
            self.generation += found.item(self.item).generation
        self._parent = parent
        self._journal: Any = getattr(context, "journal", None)
        self.meter = current_meter() or parent.meter
        key = str(context.get(IDEMPOTENCY_KEY, ""))
        own = parent.id if parent.run.context is None else parent.run.context.get(IDEMPOTENCY_KEY)
        asked = key.removeprefix(f"{own or parent.id}:").partition("/")[2] or target.name
        undoing = "!undo" if context.get("compensating") else ""
        step = unit_of(plan.id, self.item, self.iteration, "agent")
        self._unit = f"{step}{undoing}/{asked}"
        self.waiting = True
        """Whether it still wants an answer."""
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answer(self, core: EngineCore) -> Any:
        """Return what the part is completed with; raises what it fails with."""
        parent = self._parent
        core.parts.start(parent, self, copy_context(), self._unit)
        try:
            await self._done
        except asyncio.CancelledError:
            # Only what stops the run stops its parts. A run whose coordinator died, or that another
            # engine took, finds them again.
            if not parent.over and parent.ref is not None and parent.ref.is_alive():
                self.stopping = True
                core.parts.stop(parent, self, Cancellation("its caller was cancelled"))
                await asyncio.wait([self._done], timeout=CANCEL_GRACE_S)
            raise
        finally:
            self.waiting = False
        if self.error is not None:
            raise self.error
        return self.value

    def spent_in_part(self, part: str, usage: Usage) -> None:
        """Take note of what *part* has spent in all: the attempt that this is asked in tells it."""
        if self._journal is not None:
            self._journal.spent_in_part(part, usage)

    def finished(self) -> None:
        """Take note that there is an answer."""
        if not self._done.done():
            self._done.set_result(None)


def _undoable(nested: NestedWorkflow, seen: set[int]) -> bool:
    plan = nested.plan
    if plan.compensates or plan.grows:  # what calls code makes is not known before
        return True
    seen.add(id(plan))
    try:
        targets = nested.targets()
    except Exception:
        return True  # what its names stand for is known only where it runs
    return any(
        isinstance(target, NestedWorkflow)
        and id(target.plan) not in seen
        and _undoable(target, seen)
        for target in targets
    )
