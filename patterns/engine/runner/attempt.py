"""One attempt at one piece of a step: what is asked, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import (
    IDEMPOTENCY_KEY,
    NO_USAGE,
    SESSION,
    ActorDied,
    AgentContext,
    HandlerCancelled,
    Meter,
    QueueTimeout,
    Usage,
    key_part,
)

from .inner import InnerSteps

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from agenticaiframework.actors import ActorRef, Request, StepRequest

    from ...vocabulary.target import Askable, Scope
    from ..definition.plan import StepPlan
    from ..state.run import Run
    from .inner import InnerNote

UNSET: Final[Any] = object()


OWN_KEYS: Final = frozenset(
    {
        *("workflow_id", "workflow", "step", "attempt", "item", "iteration", "compensating"),
        *("trace_id", "span_id"),
    }
)
"""What the engine says of a step in its handler's context, and never takes over from another's."""


class Spender(Protocol):
    """A run, as the attempts in it know it that ask models."""

    @property
    def meter(self) -> Meter:
        """What it spends on them."""
        ...


class StepAttempt:
    """One attempt. The machine decides about it; the coordinator carries it out."""

    # Class attributes as defaults: one is made for each attempt, and most are never touched.

    # The machine's:
    item: int | None = None
    iteration = 1
    via = "agent"
    session: str | None = None
    """The conversation that it belongs to, if its step names one."""
    undo = False
    stopping = False
    """Whether it has been told to end."""
    part = False
    """Whether a run of its own is asked, a part of this one."""
    undoes = False
    """Whether that part is to undo what it has done."""
    again = False
    """Whether it had begun before, and is only taken up again: the part may be there."""
    overdue = False
    """Whether its time is over, and its part is being cancelled for that."""
    generation = 0
    """How often what its part had come to was thrown away."""
    asking: dict[str, InnerNote] | None = None
    """The questions that its handlers wait for, by their place."""
    parking: bool = False
    """Whether it is told to end because its handlers wait for answers, and for nothing else."""
    undone: Mapping[str, Any] | None = None
    """What its part has undone, and what it could not, for the journal."""

    # The engine's, which runs parts:
    parked = False
    """Whether its part only waits, so that this attempt needs no coordinator either."""

    # What it spends on models:
    spender: Spender | None = None
    """The run that it is an attempt of."""
    _meter: Meter | None = None
    _told: Usage = NO_USAGE
    _parts: dict[str, Usage] | None = None

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
    watched: tuple[str, float] | None = None
    """The workflow that it is of and when it began, if something watches the engine."""
    context: Mapping[str, Any] | None = None
    adopted: set[ActorRef[Any]] | None = None
    """Actors that work for it, and end with it."""
    ends_at: float | None = None
    """When the time limit of the run is over, on the system's clock, for what it asks within itself."""
    scope: Scope | None = None
    """What nested targets inherit."""
    places: Callable[[], Sequence[Any]] | None = None
    """Returns the attempts that have the places at its agent, while it waits for one."""

    @property
    def quiet(self) -> bool:
        """Whether its handlers wait for answers, and no inner step is under way."""
        asking, context = self.asking, self.context
        return bool(asking) and not (
            isinstance(context, WorkContext) and context.journal.busy((asking or {}).values())
        )

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
        """Return the actors of which one has to become free before it ends."""
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

    # What it spends is counted from when something looks for its meter.

    @property
    def meter(self) -> Meter:
        """What it spends on models. Safe from any thread."""
        meter = self._meter
        if meter is None:
            spender = self.spender
            made = Meter("step", self.plan.id, None if spender is None else spender.meter)
            # Threads may look for it at the same time, and have to get the same.
            meter = self.__dict__.setdefault("_meter", made)
        return meter

    @property
    def spent(self) -> Usage:
        """What it has spent on models so far."""
        return NO_USAGE if self._meter is None else self._meter.spent

    def spends_on(self, before: StepAttempt) -> None:
        """Go on with what *before* has spent, which no event has told."""
        self._meter, self._told, self._parts = before._meter, before._told, before._parts

    def spent_in_part(self, part: str, usage: Usage) -> None:
        """Take note of what *part*, which worked for it, has spent in all."""
        if usage is not NO_USAGE:
            if self._parts is None:
                self._parts = {}
            self._parts[part] = usage

    def tell_usage(self, run: Run, data: dict[str, Any]) -> None:
        """Put what the step has spent so far into the *data* of an event of this attempt, if that is more
        than is known of it."""
        if self._meter is None and self._parts is None:
            return
        found = run.step(self.plan.index)
        usage = found.usage
        if self._meter is not None:
            here = self._meter.spent_here
            if here != self._told:
                usage += here - self._told
                self._told = here
        for part, spent in (self._parts or {}).items():
            known = run.parts_usage.get(part, NO_USAGE)
            if spent != known:
                usage += spent - known
                data.setdefault("parts_usage", {})[part] = spent.to_record()
        if usage != found.usage:
            data["usage"] = usage.to_record()

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
    """Return what names the work of this attempt: the same for all attempts at it.

    ``run:step``, or ``run:step:item``; ``#2`` behind it in the second iteration of a loop, ``@2``
    when the step is made anew (it was undone, or is repeated by ``retry_from``, after it had been
    completed), ``!undo`` for its compensation. In the place of the run's id stands the key that it
    was started with, if there is one.
    """
    context = run.context
    base = None if context is None else context.get(IDEMPOTENCY_KEY)
    if base is None:
        base = key_part(run.id)
    key = f"{base}:{key_part(attempt.plan.id)}"
    if attempt.item is not None:
        key += f":{attempt.item}"
    if attempt.iteration != 1:
        key += f"#{attempt.iteration}"
    found = run.steps[attempt.plan.index]
    if found is not None and found.round != 1:
        key += f"@{found.round}"
    return key + "!undo" if attempt.undo else key


class WorkContext(AgentContext):
    """What the handlers of an attempt find in `agent_context`, worked out when it is looked at.

    What its run was given (``context=``), and over that ``workflow_id``, ``workflow``, ``step``,
    ``attempt``, ``idempotency_key``; where they apply
    ``item``, ``iteration``, ``compensating``, and of a traced run ``trace_id``, ``span_id`` and
    ``traceparent``.
    """

    __slots__ = ("_all", "_attempt", "_journal", "_run", "added", "places")

    _journal: InnerSteps
    places: Any

    def __init__(self, run: Run, attempt: StepAttempt) -> None:
        self._run = run
        self._attempt = attempt
        self._all: dict[str, Any] | None = None
        self.added: dict[str, Any] | None = None

    @property
    def journal(self) -> InnerSteps:
        """What records the inner steps of its handlers."""
        try:
            return self._journal
        except AttributeError:
            # A slot that is never filled costs an attempt nothing.
            journal = self._journal = InnerSteps(self._run, self._attempt)
            return journal

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
            if attempt.session is not None:
                fields[SESSION] = attempt.session
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

    def copy(self) -> dict[str, Any]:
        """Return all of it as a plain mapping, as that of any other context does."""
        return self._fields().copy()

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
