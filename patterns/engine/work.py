"""One attempt at one piece of a step, and the actor that carries it out.

A worker belongs to one coordinator and is linked to it: when the coordinator ends, for whatever
reason, its workers end, and with them the agents' work for this run. To stop one piece of work its
worker is told to exit, which cancels its await; the kernel abandons and fences what does not obey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import Actor, ActorDied, HandlerCancelled

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, ActorSystem, Agent, AgentRequest, Request

    from ..target import Askable, Scope
    from .plan import StepPlan
    from .run import Run

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
    value: Any = UNSET
    error: BaseException | None = None
    worker: ActorRef[Any] | None = None
    """Who carries it out, unless it is an agent: those are asked directly."""
    request: AgentRequest | None = None
    deadline: float | None = None
    """When the engine's own time limit ends it, by the loop's clock."""
    stopping = False
    """Whether its worker has been told to end."""
    span: Any = None
    context: Mapping[str, Any] | None = None
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

    def finished(self) -> None:
        """Tell the coordinator that this attempt has ended."""
        try:
            self.coordinator.tell(self)
        except ActorDied:
            # It ended meanwhile, and takes its work with it.
            pass

    def __repr__(self) -> str:
        item = "" if self.item is None else f"[{self.item}]"
        return f"<Unit {self.plan.id}{item}, attempt {self.attempt}>"


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


class Worker(Actor):
    """Asks, and tells its coordinator what came of it; one attempt after another."""

    __slots__ = ()

    async def on_receive(self, message: Unit) -> None:
        unit = message
        scope = unit.scope
        target: Any = unit.target
        try:
            within = getattr(target, "ask_within", None)
            if within is not None and scope is not None:
                unit.value = await within(unit.payload, unit.timeout_s, scope)
            else:
                unit.value = await target.ask(unit.payload, unit.timeout_s, context=unit.context)
        except Exception as error:
            unit.error = error
        unit.finished()
