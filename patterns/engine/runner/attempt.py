"""One attempt at one piece of a step: what is asked, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import IDEMPOTENCY_KEY, ActorDied, HandlerCancelled, QueueTimeout

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from agenticaiframework.actors import ActorRef, Request, StepRequest

    from ...vocabulary.target import Askable, Scope
    from ..definition.plan import StepPlan
    from ..state.run import Run

UNSET: Final[Any] = object()


OWN_KEYS: Final = frozenset(
    {
        *("workflow_id", "workflow", "step", "attempt", "item", "iteration", "compensating"),
        *("trace_id", "span_id"),
    }
)
"""What the engine says of a step in its handler's context, and never takes over from another's."""


class StepAttempt:
    """One attempt. The machine decides about it; the coordinator carries it out."""

    # Class attributes as defaults: one is made for each attempt, and most are never touched.

    # The machine's:
    item: int | None = None
    iteration = 1
    via = "agent"
    undo = False
    stopping = False
    """Whether it has been told to end."""

    # The coordinator's:
    value: Any = UNSET
    error: BaseException | None = None
    coordinator: ActorRef[Any] | None = None
    """Is told when it has ended."""
    worker: ActorRef[Any] | None = None
    """Carries it out, unless that is an agent: agents are asked directly."""
    request: StepRequest | None = None
    timeout_s: float | None = None
    """Its time limit, where the worker looks after that."""
    asked_at: float | None = None
    """When it began, if the engine's default time limit holds for it."""
    timer: TimerHandle | None = None
    """Ends it, where its time limit is the step's own, or its wait for a place at its agent."""
    waits_until: float | None = None
    """When its agent must have taken it up, in the system's time, if that has a limit."""
    span: Any = None
    context: Mapping[str, Any] | None = None
    adopted: set[ActorRef[Any]] | None = None
    """Actors that work for it, and end with it."""
    ends_at: float | None = None
    """When the time limit of the run is over, on the system's clock, for what it asks within itself."""
    scope: Scope | None = None
    """What nested targets inherit."""
    places: Callable[[], Sequence[Any]] | None = None
    """Returns the attempts that have the places at its agent, while it waits for one."""

    # Who waits for whom: a run waits for its attempts, and an attempt for what carries it out.

    delivered = False
    circle_name = None

    def __init__(self, plan: StepPlan, number: int, payload: Any, target: Askable) -> None:
        self.plan = plan
        self.number = number
        self.payload = payload
        self.target = target

    def __repr__(self) -> str:
        item = "" if self.item is None else f"[{self.item}]"
        return f"<StepAttempt {self.plan.id}{item}, {self.number}>"

    @property
    def place(self) -> tuple[int, int, int]:
        """Its place in definition order: sets of attempts are gone through by it."""
        return self.plan.index, -1 if self.item is None else self.item, self.number

    def held_up_by(self) -> Sequence[Any]:
        """Return those who all must get on before it ends."""
        if self.places is not None:
            return self.places()
        return () if self.worker is None else (self.worker,)

    def awaited(self) -> tuple[Sequence[Any], bool]:
        """Return what it waits for, and that nothing less is enough."""
        return ((self if self.request is None else self.request,), False)

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return self.value is not UNSET

    # An agent's answer needs no actor that waits for it: the request tells this attempt, and this
    # attempt tells the coordinator.

    def _reply_ready(self, request: Request, /) -> None:
        try:
            self.value = request.result()
        except Exception as error:
            self.error = error
            if isinstance(error, QueueTimeout) and self.waits_until is not None:
                # A part of its wait was for a place at the agent, as its limit by the engine says.
                limit_s = self.plan.queue_timeout_s or error.timeout_s
                self.error = QueueTimeout(error.agent, limit_s)
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
        else:
            self._tell(Expired(self, timeout_s))

    def finished(self) -> None:
        """Tell the coordinator that this attempt has ended."""
        coordinator = self.coordinator
        # An answer is handled where it is given, if nothing holds the coordinator up. A failure may
        # be told in the middle of an actor's end, which is not the place to go on with a run.
        if self.error is None and coordinator is not None and coordinator.handle_now(self):
            return
        self._tell(self)

    def _tell(self, message: Any) -> None:
        if self.coordinator is not None:
            try:
                self.coordinator.tell(message)
            except ActorDied:
                pass  # it ended meanwhile, and takes its work with it


class Expired:
    """Told to a coordinator: the time of an attempt is over, and its worker has not come back."""

    __slots__ = ("attempt", "timeout_s")

    def __init__(self, attempt: StepAttempt, timeout_s: float) -> None:
        self.attempt = attempt
        self.timeout_s = timeout_s


def idempotency_key(run: Run, attempt: StepAttempt) -> str:
    """Return what names this attempt: the same again if a crash makes it run again.

    ``run:step:attempt``, with the item and the iteration where there are several. In the place of
    the run's id stands the key that it was started with, if there is one.
    """
    key = run.id if run.context is None else run.context.get(IDEMPOTENCY_KEY, run.id)
    item = "" if attempt.item is None else f"[{attempt.item}]"
    iteration = "" if attempt.iteration == 1 else f"#{attempt.iteration}"
    undo = "!undo" if attempt.undo else ""
    return f"{key}:{attempt.plan.id}{item}{iteration}{undo}:{attempt.number}"


class WorkContext(Mapping[str, Any]):
    """What the handlers of an attempt find in `agent_context`, worked out when it is looked at.

    What its run was given (``context=``), and over that ``workflow_id``, ``workflow``, ``step``,
    ``attempt``, ``idempotency_key``; where they apply
    ``item``, ``iteration``, ``compensating``, and of a traced run ``trace_id``, ``span_id`` and
    ``traceparent``.
    """

    __slots__ = ("_all", "_attempt", "_run", "added")

    def __init__(self, run: Run, attempt: StepAttempt) -> None:
        self._run = run
        self._attempt = attempt
        self._all: dict[str, Any] | None = None
        self.added: dict[str, Any] | None = None

    def _fields(self) -> dict[str, Any]:
        fields = self._all
        if fields is None:
            attempt = self._attempt
            fields = {
                "workflow_id": self._run.id,
                "workflow": self._run.plan.name,
                "step": attempt.plan.id,
                "attempt": attempt.number,
                IDEMPOTENCY_KEY: idempotency_key(self._run, attempt),
            }
            if self._run.context is not None:
                fields = {**self._run.context, **fields}
            if attempt.item is not None:
                fields["item"] = attempt.item
            if attempt.iteration != 1:
                fields["iteration"] = attempt.iteration
            if attempt.undo:
                fields["compensating"] = True
            span = attempt.span
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
