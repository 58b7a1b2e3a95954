"""One attempt at one piece of a step, and the actor that carries it out.

A worker belongs to one coordinator and is linked to it: when the coordinator ends, for whatever
reason, its workers end, and with them the agents' work for this run. To stop one piece of work its
worker is told to exit, which cancels its await; the kernel abandons and fences what does not obey.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    __slots__ = (
        "attempt",
        "context",
        "coordinator",
        "error",
        "item",
        "iteration",
        "payload",
        "plan",
        "request",
        "scope",
        "span",
        "stopping",
        "target",
        "timeout_s",
        "undo",
        "value",
        "via",
        "worker",
    )

    def __init__(
        self,
        plan: StepPlan,
        attempt: int,
        payload: Any,
        target: Askable,
        timeout_s: float | None,
        coordinator: ActorRef[Any],
    ) -> None:
        self.plan = plan
        self.attempt = attempt
        self.payload = payload
        self.target = target
        self.timeout_s = timeout_s
        self.coordinator = coordinator
        self.item: int | None = None
        self.iteration = 1
        self.via = "agent"
        self.undo = False
        self.value: Any = UNSET
        self.error: BaseException | None = None
        self.worker: ActorRef[Any] | None = None
        """Who carries it out, unless it is an agent: those are asked directly."""
        self.request: AgentRequest | None = None
        self.stopping = False
        """Whether its worker has been told to end."""
        self.span: Any = None
        self.context: Mapping[str, Any] | None = None
        self.scope: Scope | None = None
        """For whom runs others: what it hands down to them."""

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return self.value is not UNSET

    # An agent's answer needs no actor that waits for it: the request tells this unit, and this unit
    # tells the coordinator.

    def ask(self, agent: Agent, system: ActorSystem) -> None:
        """Ask *agent*; the coordinator is told when the answer is there."""
        self.request = agent.request(
            self.payload, self.timeout_s, context=self.context, system=system
        )
        self.request.notify(self)

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


def work_context(run: Run, unit: Unit) -> dict[str, Any]:
    """Return what the handlers of this attempt find in `agent_context`."""
    context: dict[str, Any] = {
        "workflow_id": run.id,
        "workflow": run.plan.name,
        "step": unit.plan.id,
        "attempt": unit.attempt,
        "idempotency_key": idempotency_key(run, unit),
    }
    if unit.item is not None:
        context["item"] = unit.item
    if unit.iteration != 1:
        context["iteration"] = unit.iteration
    if unit.undo:
        context["compensating"] = True
    return context


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
