"""Inner steps: what the handler of an attempt does in it, recorded in the journal of its run.

A handler that is cut off in its third call is asked again, and finds the first two recorded. What is
looked for is a place: the agents' names on the way to the call, its own name, and the number of the
call among those of that name in one handling. The calls that a handler makes itself, one after the
other, are compared with the recorded ones by their order as well, as long as all of them are answered
from the record: a handler that goes another way now is told so, with both names, before it does half of
each. Calls from tasks of its own are not compared, for those come in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic_core import PydanticSerializationError, from_json, to_json

from agenticaiframework.actors import (
    IDEMPOTENCY_KEY,
    ActorDied,
    call_step,
    call_step_blocking,
    given_context,
    in_agent_context,
    strand_here,
)

from ..errors import (
    AnswerPending,
    InnerStepRefused,
    InnerStepsDiffer,
    QuestionRefused,
    describe,
)
from ..state.events import EventKind
from ..state.inner import ASKS
from ..state.part_names import unit_of
from ..state.step_run import RUNNING
from ..store import ValueLimits, ValueNotStorable, ValueTooLarge

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorFuture, ActorRef, Meter, Request, Usage

    from ..definition.plan import StepPlan
    from ..state.inner import InnerOutcomes
    from ..state.run import Run

MAX_BYTES: Final = ValueLimits().max_value_bytes

MAX_ERROR_TEXT: Final = 10_000

_FIXED: Final = frozenset({str, int, float, bool, type(None)})
"""The classes of values that a handler cannot change."""


class Attempted(Protocol):
    """The attempt whose handler makes inner steps, as far as they know it."""

    plan: StepPlan
    number: int
    item: int | None
    iteration: int
    via: str
    undo: bool
    coordinator: ActorRef[Any] | None
    asking: dict[str, InnerNote] | None
    parking: bool

    @property
    def meter(self) -> Meter:
        """What it spends on models."""
        ...

    def spent_in_part(self, part: str, usage: Usage) -> None:
        """Take note of what *part*, which worked for it, has spent in all."""
        ...

    def tell_usage(self, run: Run, data: dict[str, Any]) -> None:
        """Put what its step has spent so far into the *data* of an event of it."""
        ...


class Quieter:
    """Told to a run's coordinator: an inner step of an attempt that has asked something has ended."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: Attempted) -> None:
        self.attempt = attempt


class InnerNote:
    """Told to a run's coordinator: an inner step has returned, or raised. Answered when that is stored.

    Of a question: answered with the answer, when that is stored.
    """

    __slots__ = ("_request", "attempt", "blocks", "data", "error", "kind", "settled")

    def __init__(self, attempt: Attempted, kind: EventKind, data: dict[str, Any]) -> None:
        self.attempt = attempt
        self.kind = kind
        self.data = data
        self.settled = False
        self.blocks = False
        """Whether a thread waits for it, which nothing can end but an answer, or an error."""
        self.error: BaseException | None = None
        self._request: Request | ActorFuture | None = None

    def answers(self, request: Request | ActorFuture) -> None:
        """Have *request* answered when it is settled."""
        self._request = request

    def settle(self, error: BaseException | None = None, answer: Any = None) -> None:
        """Say that it is recorded, or why it is not. Called on the loop of the run."""
        self.settled = True
        self.error = error
        request, self._request = self._request, None
        if request is None:
            return
        if error is None:
            request.reply(answer)
        else:
            request.fail(error)

    def refuse(self) -> None:
        """Say that its attempt has ended."""
        self.settle(InnerStepRefused(self.attempt.plan.id, self.data["name"]))

    def put_off(self) -> None:
        """Let a thread know that its attempt has ended until there is an answer; others are cancelled."""
        if self.blocks:
            self.settle(AnswerPending(self.attempt.plan.id, self.data["name"]))


class Places:
    """How often one handling has called which inner steps. Written by that handling."""

    __slots__ = ("calls", "faithful", "numbers", "strand")

    def __init__(self) -> None:
        self.numbers: dict[str, count[int]] = {}
        self.strand: Any = strand_here()
        """The task, or thread, whose calls have an order."""
        self.calls = 0
        """How many calls it has made."""
        self.faithful = True
        """Whether all of them were answered from the record."""

    def next_number(self, name: str) -> int:
        """Return how often there was a call of that *name*, this one counted."""
        numbers = self.numbers.get(name)
        if numbers is None:
            numbers = self.numbers.setdefault(name, count(1))
        return next(numbers)


def _places_of(context: Any) -> Places:
    places: Places | None = getattr(context, "places", None)
    if places is None:
        places = context.places = Places()
    return places


class InnerCall:
    """One call of an inner step."""

    __slots__ = ("context", "key", "name", "order", "path", "place", "wrong")

    def __init__(self, context: Any, name: str, own: str) -> None:
        self.context = context
        self.name = name
        self.key = f"{context[IDEMPOTENCY_KEY]}/{own}"
        """Its idempotency key."""
        self.path = f"{context.path}/{own}"
        """The names on the way to it, its own, numbered, the last."""
        self.place = self.path
        """Where it is recorded."""
        self.order: int | None = None
        """Its number among the calls of its handling, if those have an order."""
        self.wrong: InnerStepsDiffer | None = None
        """What is raised where it is awaited: another one was called in its place before."""


class InnerSteps:
    """The `InnerJournal` of one attempt. Safe from any thread: what it changes is the coordinator's."""

    __slots__ = ("_attempt", "_calls", "_run")

    def __init__(self, run: Run, attempt: Attempted) -> None:
        self._run = run
        self._attempt = attempt
        self._calls: dict[InnerCall, None] = {}
        """The calls under way."""

    @property
    def meter(self) -> Meter:
        """What the attempt spends on models."""
        return self._attempt.meter

    def spent_in_part(self, part: str, usage: Usage) -> None:
        """Take note of what a workflow that the attempt's handler has asked has spent in all."""
        self._attempt.spent_in_part(part, usage)

    # -- the calls ---------------------------------------------------------------------------------

    def step(
        self,
        context: Mapping[str, Any],
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Coroutine[Any, Any, Any]:
        """Return a coroutine for what *fn* returns, or has returned in an attempt before."""
        # Its number is that of this call, in whatever order the coroutines are awaited.
        return self._step(self._call(context, name), fn, args, kwargs)

    async def _step(
        self,
        call: InnerCall,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        found = self._found(call)
        if found is not None:
            return _copy(found[0])
        self._calls[call] = None
        try:
            try:
                with in_agent_context(self._own_context(call)):
                    value = await call_step(fn, args, kwargs)
            except Exception as error:
                self._failed(call, error)
                raise
            note = self._note(call, value)
            if not self._noted_now(note):
                try:
                    await self._coordinator(note).request(note)
                except ActorDied:
                    raise self._refusal(call.name) from None
        finally:
            self._ended(call)
        return _copy(note.data["output"])

    def step_sync(
        self,
        context: Mapping[str, Any],
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Do the same, and block this thread meanwhile."""
        call = self._call(context, name)
        found = self._found(call)
        if found is not None:
            return _copy(found[0])
        self._calls[call] = None
        try:
            try:
                with in_agent_context(self._own_context(call)):
                    value = call_step_blocking(fn, args, kwargs)
            except Exception as error:
                self._failed(call, error)
                raise
            note = self._note(call, value)
            if not self._noted_now(note):
                try:
                    self._coordinator(note).ask(note)
                except ActorDied:
                    raise self._refusal(call.name) from None
        finally:
            self._ended(call)
        return _copy(note.data["output"])

    async def named_step(
        self, context: Mapping[str, Any], name: str, fn: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        """Return what *fn* returns, or what is recorded under just this *name*."""
        return await self._step(self._named(context, name), fn, (), {})

    def recorded(self, context: Mapping[str, Any], name: str) -> tuple[Any] | None:
        """Return what is recorded under just this *name*; None: nothing is."""
        outcomes = self._recorded()
        if outcomes is None:
            return None
        place = self._named(context, name).place
        return (_copy(outcomes.outputs[place]),) if place in outcomes.outputs else None

    def outcomes(self, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is recorded of the handling with *context* and all beneath it, by the path to it."""
        recorded = self._recorded()
        if recorded is None or not recorded.outputs:
            return {}
        path: str = getattr(context, "path", "")
        beneath = self._placed(path) + "/"
        skip = len(beneath) - len(path) - 1
        return {
            place[skip:]: output
            for place, output in list(recorded.outputs.items())
            if place.startswith(beneath)
        }

    def number(self, context: Mapping[str, Any], name: str) -> int:
        """Return how often this handling has asked for a number for *name*, this time counted."""
        return _places_of(context).next_number(name)

    def _named(self, context: Any, name: str) -> InnerCall:
        call = InnerCall(context, name, name)
        call.place = self._placed(call.path)
        return call

    # -- questions ---------------------------------------------------------------------------------

    def question(
        self, context: Mapping[str, Any], name: str, data: Any, group: str | None
    ) -> Coroutine[Any, Any, Any]:
        """Return a coroutine for the answer to a question; the attempt may end meanwhile."""
        return self._question(self._call(context, f"{ASKS}{name}"), name, data, group)

    async def _question(self, call: InnerCall, name: str, data: Any, group: str | None) -> Any:
        found = self._found(call)
        if found is not None:
            return _copy(found[0])
        note = self._asked(call, name, data, group)
        try:
            return _copy(await self._coordinator(note).request(note))
        except ActorDied:
            raise AnswerPending(self._attempt.plan.id, name) from None

    def question_sync(
        self, context: Mapping[str, Any], name: str, data: Any, group: str | None
    ) -> Any:
        """Do the same, and block this thread until the attempt is to end: that raises."""
        call = self._call(context, f"{ASKS}{name}")
        found = self._found(call)
        if found is not None:
            return _copy(found[0])
        note = self._asked(call, name, data, group)
        note.blocks = True
        try:
            return _copy(self._coordinator(note).ask(note))
        except ActorDied:
            raise AnswerPending(self._attempt.plan.id, name) from None

    def _asked(self, call: InnerCall, name: str, data: Any, group: str | None) -> InnerNote:
        attempt = self._attempt
        if attempt.undo:
            raise QuestionRefused(attempt.plan.id, name)
        asked = self._data(call)
        asked["name"] = name
        asked["question"] = self._question_id(call)
        if data is not None:
            asked["data"] = as_stored(f"what the question {name!r} is asked with", data)
        if group is not None:
            asked["group"] = f"{call.context.path}/{group}"
        return InnerNote(attempt, EventKind.QUESTION_ASKED, asked)

    def _question_id(self, call: InnerCall) -> str:
        """Return what a question is called in its run: another in each iteration and each round."""
        attempt = self._attempt
        found = self._run.steps[attempt.plan.index]
        unit = unit_of(attempt.plan.id, attempt.item, attempt.iteration, attempt.via)
        if found is not None and found.round != 1:
            unit += f"@{found.round}"
        return unit + call.path.replace(f"/{ASKS}", "/")

    def busy(self, asking: Collection[InnerNote]) -> bool:
        """Tell whether an inner step is under way that does not itself wait for one of *asking*."""
        waiting = [note.data["place"] for note in asking]
        return any(
            not any(place.startswith(f"{call.place}/") for place in waiting)
            for call in list(self._calls)
        )

    def _ended(self, call: InnerCall) -> None:
        del self._calls[call]
        attempt = self._attempt
        if attempt.asking and attempt.coordinator is not None:
            try:
                attempt.coordinator.tell(Quieter(attempt))
            except ActorDied:
                pass  # its attempt ends with it

    # -- places ------------------------------------------------------------------------------------

    def _placed(self, path: str) -> str:
        """Return where a call with *path* is recorded."""
        attempt = self._attempt
        if attempt.undo:
            return f"undo:{path}"
        # Another handler has calls of its own.
        return path if attempt.via == "agent" else f"{attempt.via}:{path}"

    def _call(self, context: Any, name: str) -> InnerCall:
        """Return the call of *name* in the handling that has *context*."""
        attempt = self._attempt
        places = _places_of(context)
        number = places.next_number(name)
        own = name if number == 1 else f"{name}#{number}"
        call = InnerCall(context, name, own)
        place = call.place = self._placed(call.path)
        if strand_here() == places.strand:
            order = call.order = places.calls
            places.calls = order + 1
            recorded = self._recorded() if places.faithful else None
            before = None if recorded is None else recorded.called(place, order)
            if before is None:
                places.faithful = False
            elif before != own:
                call.wrong = InnerStepsDiffer(attempt.plan.id, order + 1, before, own)
        return call

    def _own_context(self, call: InnerCall) -> Mapping[str, Any]:
        """Return what the function of *call* finds in `agent_context`."""
        fields: dict[str, Any] = call.context.copy()
        fields[IDEMPOTENCY_KEY] = call.key
        return given_context(fields, self, call.path)

    # -- what is recorded ----------------------------------------------------------------------------

    def _recorded(self) -> InnerOutcomes | None:
        """Return what has been recorded of this piece of work."""
        attempt = self._attempt
        found = self._run.steps[attempt.plan.index]
        if found is None or attempt.item is None:
            return None if found is None else found.inner
        item = None if found.items is None else found.items.get(attempt.item)
        return None if item is None else item.inner

    def _found(self, call: InnerCall) -> tuple[Any] | None:
        """Return what is recorded of *call*; None: nothing is, and it may be made."""
        if call.wrong is not None:
            raise call.wrong
        recorded = self._recorded()
        if recorded is not None and call.place in recorded.outputs:
            return (recorded.outputs[call.place],)
        self._check_under_way(call)
        return None

    def _check_under_way(self, call: InnerCall) -> None:
        """Raise where the attempt has ended, as far as can be seen: the next one is about to do this."""
        attempt = self._attempt
        if attempt.parking:
            raise AnswerPending(attempt.plan.id, call.name)  # it is on its way to its end
        found = self._run.steps[attempt.plan.index]
        if attempt.undo or found is None:
            return
        if attempt.item is None:
            under_way = found.state is RUNNING and found.attempts == attempt.number
        else:
            item = None if found.items is None else found.items.get(attempt.item)
            under_way = item is not None and item.running and item.attempts == attempt.number
        if not under_way:
            raise InnerStepRefused(attempt.plan.id, call.name)

    def _data(self, call: InnerCall) -> dict[str, Any]:
        attempt = self._attempt
        data: dict[str, Any] = {"name": call.name, "place": call.place}
        if call.order is not None:
            data["order"] = call.order
        if attempt.item is not None:
            data["item"] = attempt.item
        if attempt.iteration != 1:
            data["iteration"] = attempt.iteration
        return data

    def _note(self, call: InnerCall, value: Any) -> InnerNote:
        data = self._data(call)
        data["output"] = as_stored(f"what the inner step {call.name!r} returned", value)
        return InnerNote(self._attempt, EventKind.INNER_COMPLETED, data)

    def _failed(self, call: InnerCall, error: Exception) -> None:
        data = self._data(call)
        text = describe(error)[:MAX_ERROR_TEXT]
        data["error"] = text.encode(errors="replace").decode()
        note = InnerNote(self._attempt, EventKind.INNER_FAILED, data)
        try:
            self._coordinator(note).tell(note)
        except (ActorDied, InnerStepRefused):
            pass  # its attempt has ended, and fails by this error anyway

    # -- to the coordinator ----------------------------------------------------------------------------

    def _coordinator(self, note: InnerNote) -> ActorRef[Any]:
        coordinator = self._attempt.coordinator
        if coordinator is None:
            raise self._refusal(note.data["name"])
        return coordinator

    def _noted_now(self, note: InnerNote) -> bool:
        """Have *note* settled at once, if that can be: of a run in memory, on its loop."""
        if self._run.persist or not self._coordinator(note).handle_now(note) or not note.settled:
            return False
        if note.error is not None:
            raise note.error
        return True

    def _refusal(self, name: str) -> InnerStepRefused:
        return InnerStepRefused(self._attempt.plan.id, name)


def as_stored(what: str, value: Any) -> Any:
    """Return *value* as it comes back from a store.

    Raises `ValueNotStorable` and `ValueTooLarge`, where *what* says what it is.
    """
    try:
        body = to_json(value)
        stored = from_json(body)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise ValueNotStorable(what, str(error)) from error
    if len(body) > MAX_BYTES:
        raise ValueTooLarge(what, len(body), MAX_BYTES)
    return stored


def _copy(stored: Any) -> Any:
    """Return a recorded value to be given away: what a handler does to it changes no record."""
    return stored if stored.__class__ in _FIXED else from_json(to_json(stored))
