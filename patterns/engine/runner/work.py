"""One attempt at one piece of a step, and the actor that carries it out.

A worker belongs to one coordinator and is linked to it: when the coordinator ends, for whatever
reason, its workers end, and with them the agents' work for this run. To stop one piece of work its
worker is told to exit, which cancels its await; the kernel abandons and fences what does not obey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import (
    SHUTDOWN,
    Actor,
    ActorDied,
    HandlerCancelled,
    RequestTimeout,
    enter_agent_context,
)

from ...execution.function import FunctionTarget
from ..host.directory import Coroutine

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from agenticaiframework.actors import ActorRef, ActorSystem, Agent, AgentRequest, Request

    from ...vocabulary.target import Askable, Scope
    from ..definition.plan import StepPlan
    from ..state.run import Run

UNSET: Final[Any] = object()


class Unit:
    """One attempt: who is asked what, and what came of it. Owned by its coordinator."""

    # Class attributes as defaults: one is made for each attempt, and most are never touched.
    timeout_s: float | None = None
    """The step's own time limit."""
    item: int | None = None
    iteration = 1
    via = "agent"
    undo = False
    quick = False
    """Whether its step takes the short way."""
    value: Any = UNSET
    error: BaseException | None = None
    worker: ActorRef[Any] | None = None
    """Who carries it out, unless it is an agent: those are asked directly."""
    request: AgentRequest | None = None
    deadline: float | None = None
    """When the engine's default time limit ends it, by the loop's clock."""
    timer: TimerHandle | None = None
    """Ends it, where its time limit is the step's own."""
    stopping = False
    """Whether its worker has been told to end."""
    span: Any = None
    context: Mapping[str, Any] | None = None
    adopted: set[ActorRef[Any]] | None = None
    """Actors that work for it, and end with it."""
    scope: Scope | None = None
    """For whom runs others: what it hands down to them."""

    def __init__(
        self,
        plan: StepPlan,
        attempt: int,
        payload: Any,
        target: Askable,
        coordinator: ActorRef[Any],
    ) -> None:
        self.plan = plan
        self.attempt = attempt
        self.payload = payload
        self.target = target
        self.coordinator = coordinator

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it stands in the page's order: by it sets of attempts are gone through."""
        return self.plan.index, -1 if self.item is None else self.item, self.attempt

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return self.value is not UNSET

    # An agent's answer needs no actor that waits for it: the request tells this unit, and this unit
    # tells the coordinator.

    def ask(self, agent: Agent, system: ActorSystem, timeout_s: float | None) -> None:
        """Ask *agent*; the coordinator is told when the answer is there."""
        self.request = request = agent.request(
            self.payload, timeout_s, context=self.context, system=system
        )
        request.notify(self)

    def _reply_ready(self, request: Request, /) -> None:
        try:
            self.value = request.result()
        except Exception as error:
            self.error = error
        except BaseException as error:  # a handler that was cancelled from elsewhere
            self.error = HandlerCancelled(self.target.name)
            self.error.__cause__ = error
        self.finished()

    # It owns what a pattern or a team starts for it.

    def adopt(self, ref: ActorRef[Any]) -> None:
        """Let *ref* end with this attempt, in whatever way it ends."""
        if self.adopted is None:
            self.adopted = set()
        self.adopted.add(ref)

    def disown(self, ref: ActorRef[Any]) -> None:
        """Forget *ref*, which has ended."""
        if self.adopted is not None:
            self.adopted.discard(ref)

    def expire(self, timeout_s: float) -> None:
        """End this attempt because its time is over."""
        if self.request is not None:
            self.request.expire(timeout_s)
            return
        try:
            self.coordinator.tell(Expired(self, timeout_s))
        except ActorDied:
            pass

    def finished(self) -> None:
        """Tell the coordinator that this attempt has ended."""
        if self.quick and self.error is None:
            actor = self.coordinator._actor
            if actor is not None and actor.handle_now(self):
                return
        try:
            self.coordinator.tell(self)
        except ActorDied:
            # It ended meanwhile, and takes its work with it.
            pass

    def forget(self) -> None:
        """Let go of what knows this attempt, now that it has ended.

        Each would keep the other, and with them the whole run, until the garbage collector comes.
        """
        self.request = self.context = self.scope = None

    def __repr__(self) -> str:
        item = "" if self.item is None else f"[{self.item}]"
        return f"<Unit {self.plan.id}{item}, attempt {self.attempt}>"


class Expired:
    """Told to a coordinator: the time of an attempt is over, and its worker has not come back."""

    __slots__ = ("timeout_s", "unit")

    def __init__(self, unit: Unit, timeout_s: float) -> None:
        self.unit = unit
        self.timeout_s = timeout_s


def idempotency_key(run: Run, unit: Unit) -> str:
    """Return what names this attempt: the same again if a crash makes it run again.

    ``run:step:attempt``, with the item and the iteration where there are several.
    """
    item = "" if unit.item is None else f"[{unit.item}]"
    iteration = "" if unit.iteration == 1 else f"#{unit.iteration}"
    undo = "!undo" if unit.undo else ""
    return f"{run.id}:{unit.plan.id}{item}{iteration}{undo}:{unit.attempt}"


class WorkContext(Mapping[str, Any]):
    """What the handlers of an attempt find in `agent_context`, worked out when it is looked at.

    ``workflow_id``, ``workflow``, ``step``, ``attempt``, ``idempotency_key``; where they apply
    ``item``, ``iteration``, ``compensating``, and of a traced run ``trace_id``, ``span_id`` and
    ``traceparent``.
    """

    __slots__ = ("_all", "_run", "_unit", "added")

    def __init__(self, run: Run, unit: Unit) -> None:
        self._run = run
        self._unit = unit
        self._all: dict[str, Any] | None = None
        self.added: dict[str, Any] | None = None

    def _fields(self) -> dict[str, Any]:
        fields = self._all
        if fields is None:
            unit = self._unit
            fields = {
                "workflow_id": self._run.id,
                "workflow": self._run.plan.name,
                "step": unit.plan.id,
                "attempt": unit.attempt,
                "idempotency_key": idempotency_key(self._run, unit),
            }
            if unit.item is not None:
                fields["item"] = unit.item
            if unit.iteration != 1:
                fields["iteration"] = unit.iteration
            if unit.undo:
                fields["compensating"] = True
            span = unit.span
            if span is not None:
                fields["trace_id"] = span.trace_id
                fields["span_id"] = span.span_id
                fields["traceparent"] = span.traceparent
            if self.added is not None:
                fields |= self.added
            self._all = fields
        return fields

    def __getitem__(self, key: str) -> Any:
        return self._fields()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    def __repr__(self) -> str:
        return repr(self._fields())

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self._fields(),)


class WorkTimeout(TimeoutError):
    """A function did not return in time. It has been stopped."""

    def __init__(self, name: str, timeout_s: float) -> None:
        super().__init__(f"{name!r} did not return within {timeout_s:g} s")
        self.timeout_s = timeout_s


class Worker(Actor):
    """Asks, and tells its coordinator what came of it; one attempt after another."""

    unit: Unit | None = None
    """What it works on, or worked on last."""

    async def on_receive(self, message: Unit) -> None:
        unit = self.unit = message
        scope = unit.scope
        target: Any = unit.target
        try:
            if target.__class__ is Coroutine:
                enter_agent_context(unit.context)
                unit.value = await target.function(unit.payload)
                unit.finished()
                return
            within = getattr(target, "ask_within", None)
            if within is not None and scope is not None:
                unit.value = await within(unit.payload, unit.timeout_s, scope)
            else:
                unit.value = await target.ask(unit.payload, unit.timeout_s, context=unit.context)
        except RequestTimeout as error:
            unit.error = error
            if isinstance(target, FunctionTarget) and unit.timeout_s is not None:
                # It was asked through an actor that nobody knows of.
                unit.error = WorkTimeout(target.name, unit.timeout_s)
        except Exception as error:
            unit.error = error
        unit.finished()

    def on_stop(self) -> None:
        # A handler that is killed hears nothing, so whom it had asked would go on for nobody.
        adopted = None if self.unit is None else self.unit.adopted
        for ref in adopted or ():
            ref.exit(SHUTDOWN)
