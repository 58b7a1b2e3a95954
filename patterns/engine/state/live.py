"""A run as one engine has it in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import NO_USAGE, Meter, Usage

from ..errors import WorkflowLost
from .events import LAST, EventKind, WorkflowEvent
from .status import CancelReport, WorkflowState, WorkflowStatus
from .transitions import apply
from .views import ending_of, last_event, state_of, status_of

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from contextvars import Context

    from agenticaiframework.actors import ActorRef, Request

    from ..store import JournalEntry, Lease, Signal
    from .cancellation import Cancellation
    from .run import Run

_AT_REST: Final = frozenset({WorkflowState.WAITING, WorkflowState.BLOCKED})
_BY_EACH_TRY: Final = frozenset({EventKind.STEP_STARTED, EventKind.WORKFLOW_RECOVERED})
"""The kinds of events that say nothing of whether a run gets on."""


class Inbox(Protocol):
    """Signals that the steps of a run may take, the oldest first."""

    def __iter__(self) -> Iterator[Signal]:
        """Return those that have not been taken."""
        ...

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def remove(self, signal: Signal, /) -> None:
        """Take one out."""
        ...


class LiveRun:
    """The story of a run with its coordinator, its waiting requests and its listeners.

    Owned by the engine's actor and, while there is one, by the run's coordinator, which is part of
    the same turn of the same loop: what they both change goes through the methods here.
    """

    # Class attributes as defaults: one is made for each run, and most of these never change.
    bound: Sequence[Any] = ()
    """What is asked in each step, by index."""
    resolve: Any = None
    """Finds the names that are looked up while it runs; None once it has ended."""
    lease: Lease | None = None
    refused: BaseException | None = None
    """Why the store did not take something that happened: from then on it is given nothing more."""
    in_doubt: int | None = None
    """The store's number of the run as it was to be stored before, if the answer to that was lost."""
    refusals = 0
    """How often the store has not taken what happened in it, since it last got on."""
    refused_at = -1
    """The number of the first record that it did not take."""
    written = -1
    """How many events were stored when it was last read, those left out that any new try brings."""
    ref: ActorRef[Any] | None = None
    """The coordinator, while there is one."""
    under_way: Collection[Any] = ()
    """The attempts that the coordinator has under way."""
    waiters: list[Request] | None = None
    """Requests that are answered when the run ends."""
    listeners: list[Callable[[WorkflowEvent], None]] | None = None
    signals: list[Signal] | None = None
    """Signals that no step has taken yet, oldest first."""
    last_signal = 0
    """The largest number of a stored signal that has come here."""
    unseen_signals = False
    """Whether signals have come that no coordinator has looked at."""
    error: BaseException | None = None
    """What the waiting requests of a run fail with that was not completed."""
    result: Any = None
    over = False
    """Whether it has ended, and that may be told: its last event is stored, if it is to be."""
    outage: str | None = None
    """Why its store has not taken what happened in it: once that answers, it goes on from what is
    stored."""
    last_told = 0
    """The number of the last event in the journal that the listeners were told."""
    interrupted = False
    """Whether it has ended here without an end: a stored one goes on elsewhere."""
    blocked = False
    """Whether it cannot go on here, and belongs to no engine."""
    cancel: Cancellation | None = None
    """A cancellation that was asked for and has not been carried out."""
    restarts = 0
    queued: Any = None
    """Its place in the queue, while it waits for its turn."""
    accepted: Request | None = None
    """A request that is answered when the run is stored."""
    never_stored = False
    """Whether it has ended because the store did not take it in."""
    span: Any = None
    parent_span: Any = None
    """The span of the attempt that this run is a part of."""
    outside: Any = None
    """The caller's own tracing context."""
    variables: Context | None = None
    """The context variables of the caller, in a copy of which the steps run as long as the run is in
    this process; None where they are not known. No handler enters it itself."""
    waking: TimerHandle | None = None
    """The timer of a parked run."""
    resting = False
    """Whether it only waits, and has no coordinator for that."""
    coming = False
    """Whether the engine's actor has been told to take it in, and has not had the message yet."""
    opening: tuple[tuple[EventKind, Any], ...] | None = None
    """The events with which it goes on that has its place among those that start one after another; what
    starts it earlier takes them along."""
    turn: str | None = None
    """Whose turn it runs in, by that run's id, if not in its own: a tree of runs has one together."""
    around: LiveRun | None = None
    """The run that it is a part of, while it works for that."""
    parts: dict[str, LiveRun] | None = None
    """Its parts by id: those that have not ended, and those that may be undone or shown."""
    depth = 0
    """How many runs stand around it."""
    recurrences = 0
    """How often workflows have begun within themselves, in all that stands in this run."""
    told: Callable[[WorkflowEvent], None] | None = None
    """The listener that tells the run around it what happens here."""
    spends_in: Meter | None = None
    """What counts what is spent around this run, in this process."""
    _meter: Meter | None = None

    def __init__(self, run: Run) -> None:
        self.id = run.id
        self.run = run

    def __repr__(self) -> str:
        return repr(self.run)

    @property
    def meter(self) -> Meter:
        """What it spends on models, from what its journal says on; made when it is first looked for."""
        meter = self._meter
        if meter is None:
            run = self.run
            made = Meter(
                "workflow",
                run.plan.name,
                self.spends_in,
                run.usage_limits,
                run.usage,
                journaled=True,
            )
            # Threads may look for it at the same time, and have to get the same.
            meter = self.__dict__.setdefault("_meter", made)
        return meter

    def spends_for(self, around: Meter, known: Usage) -> None:
        """Let *around* count what it spends: it has counted *known* of that before.

        What this run has spent more than that, says its journal, was spent in another process.
        """
        if self._meter is not None:
            self._meter.parent = around
        elif self.run.usage is not NO_USAGE:
            before = self.run.usage - known
            if before != NO_USAGE:
                around.spend_below(before)
        self.spends_in = around

    # -- what can be seen --------------------------------------------------------------------------

    @property
    def state(self) -> WorkflowState:
        """Where it stands, seen from outside: no run has ended before its last event is stored."""
        if self.interrupted or self.outage is not None:
            return WorkflowState.INTERRUPTED
        if self.run.state.finished and not self.over:
            return WorkflowState.RUNNING
        with self.run.looked_at():
            state = state_of(self.run)
        if state is WorkflowState.BLOCKED and self.lease is not None and not self.blocked:
            return WorkflowState.RUNNING  # it is about to go on here
        if state is WorkflowState.RUNNING and self.resting and not self._working_inside():
            return WorkflowState.WAITING
        return state

    def _working_inside(self) -> bool:
        """Tell whether one of its parts does something."""
        return any(
            not part.over and part.state not in _AT_REST for part in (self.parts or {}).values()
        )

    def status(self) -> WorkflowStatus:
        """Return where it stands now."""
        with self.run.looked_at():
            status = status_of(self.run, self.state)
        return status if self.outage is None else replace(status, last_error=self.outage)

    # -- who waits for whom --------------------------------------------------------------------

    @property
    def circle_name(self) -> str:
        """What it is called among those that wait for one another."""
        return f"the workflow {self.run.plan.name!r}"

    def awaited(self) -> tuple[Sequence[Any], bool]:
        """Return what it waits for, and that nothing less is enough."""
        return [one for attempt in tuple(self.under_way) for one in attempt.awaited()[0]], False

    # -- its start ----------------------------------------------------------------------------

    @property
    def being_stored(self) -> bool:
        """Whether its caller waits for it to be stored: it may yet never have been."""
        return self.accepted is not None and not self.accepted.done()

    def accept(self, error: BaseException | None = None) -> None:
        """Tell the caller that started it that it is stored, or cannot be."""
        request, self.accepted = self.accepted, None
        if request is not None:
            if error is None:
                request.reply(self.id)
            else:
                request.fail(error)

    # -- listeners ----------------------------------------------------------------------------

    def attach(self, listener: Callable[[WorkflowEvent], None]) -> None:
        """Have *listener* told of what happens from now on."""
        if self.listeners is None:
            self.listeners = []
        self.listeners.append(listener)

    def follows(self, listener: Callable[[WorkflowEvent], None]) -> bool:
        """Tell whether *listener* is told of what happens, and something can still happen."""
        return not self.over and self.listeners is not None and listener in self.listeners

    def detach(self, listener: Callable[[WorkflowEvent], None]) -> None:
        """Tell *listener* nothing any more; again: harmless."""
        if self.listeners is not None and listener in self.listeners:
            self.listeners.remove(listener)
            if not self.listeners:
                self.listeners = None

    def publish(self, events: Iterable[WorkflowEvent]) -> None:
        """Tell the listeners."""
        if self.listeners is not None:
            for event in events:
                if event.seq is not None:
                    self.last_told = event.seq
                for listener in tuple(self.listeners or ()):
                    listener(event)

    # -- signals -----------------------------------------------------------------------------------

    def put_signals(self, signals: Iterable[Signal]) -> None:
        """Keep *signals*, in their order, until steps take them.

        Stored ones come in the order of their numbers: one that is not above the last has come before,
        and may have been taken since.
        """
        if self.signals is None:
            self.signals = []
        for signal in signals:
            if signal.number:
                if signal.number <= self.last_signal:
                    continue
                self.last_signal = signal.number
            self.signals.append(signal)
        self.unseen_signals = True

    def see_signals(self) -> Inbox:
        """Return the signals that have not been taken; a step that takes one takes it out."""
        if self.unseen_signals:  # an attribute that is never set costs a parked run nothing
            self.unseen_signals = False
        if self.around is not None:
            return SharedInbox(self)
        return [] if self.signals is None else self.signals

    # -- its end -----------------------------------------------------------------------------------

    def follow(self, request: Request) -> None:
        """Have *request* answered with the result, or the error, when the run ends."""
        if self.over:
            if self.run.state is WorkflowState.COMPLETED and not self.interrupted:
                request.reply(self.result)
            else:
                request.fail(self.error or ending_of(self.run))
        elif self.waiters is None:
            self.waiters = [request]
        else:
            # One that has given up must not be kept for as long as the run waits.
            self.waiters = [waiter for waiter in self.waiters if waiter.asker_waiting]
            self.waiters.append(request)

    def conclude(self) -> None:
        """Take note that it has ended, and complete the waiting requests."""
        self.over = True
        self.outage = None
        # It may be kept for long, and the agents were a request's, perhaps.
        self.bound, self.resolve = (), None
        waiters, self.waiters = self.waiters, None
        if self.run.state is WorkflowState.COMPLETED and not self.interrupted:
            for request in waiters or ():
                request.reply(self.result)
        else:
            error = self.error or WorkflowLost(self.run.plan.name, self.id, "it ended unseen")
            for request in waiters or ():
                request.fail(error)

    def fail_waiters(self, error: BaseException) -> None:
        """Fail the waiting requests, but go on."""
        waiters, self.waiters = self.waiters, None
        for request in waiters or ():
            request.fail(error)

    def interrupt(self, error: WorkflowLost) -> None:
        """Take note that it has been cut short here, and fail the waiting requests."""
        self.interrupted = True
        self.error = error
        self.stop_waking()
        self.conclude()
        cancellation, self.cancel = self.cancel, None
        if cancellation is not None:
            cancellation.fail(error)

    def take_out(self, signal: Signal) -> bool:
        """Take a signal out of its own; return whether it was there."""
        for place, known in enumerate(self.signals or ()):
            if known is signal and self.signals is not None:
                del self.signals[place]
                return True
        return False

    def suspend(self, why: str, at: float) -> None:
        """Take note that its store does not answer, so that nothing can be written of it."""
        self.outage = why
        self.stop_waking()
        data = {"reason": why}
        self.publish([WorkflowEvent(EventKind.WORKFLOW_INTERRUPTED, self.id, data=data, at=at)])

    def go_on(self, at: float, *, writing: bool = False) -> None:
        """Take note that its store answers again; *writing*: and that the rest is being written."""
        if self.outage is not None:
            data = {"after": self.outage}
            if not writing:
                self.outage = None
            self.publish([WorkflowEvent(EventKind.WORKFLOW_RECOVERED, self.id, data=data, at=at)])

    def begin_again(self) -> None:
        """Begin from nothing: what had happened was not stored, and not told."""
        self.run = self.run.afresh()
        if self.lease is not None:
            self.in_doubt = self.lease.key
        self.ref = self.refused = self.lease = None
        self.under_way = ()

    def may_be(self, key: int) -> bool:
        """Tell whether it is the run with this number in the store, and not one of the same id."""
        return key == self.in_doubt or self.lease is None or key == self.lease.key

    def refused_again(self) -> int:
        """Take note that the store did not take what happened; return how often it did not."""
        at = 0 if self.lease is None else self.lease.next_seq
        # What is read from the store again writes more with each try.
        if self.ref is not None and at > self.refused_at:
            self.refusals = 0
        self.refused_at = at
        self.refusals += 1
        return self.refusals

    def renew(self, found: LiveRun, entries: Sequence[JournalEntry]) -> None:
        """Go on from what was *found* in the store, because what is in memory is not what is stored.

        The listeners are told of the *entries* that were written and not told, but the end.
        """
        self.run, self.over, self.result = found.run, found.over, found.result
        self.ref = self.refused = None
        self.under_way = ()
        self.blocked = False
        written = sum(1 for entry in entries if entry.kind not in _BY_EACH_TRY)
        if written > self.written:
            self.written, self.refusals = written, 0
        if self.listeners is not None:
            self.publish(
                WorkflowEvent(EventKind(e.kind), self.id, e.step, e.attempt, e.data, e.at, e.seq)
                for e in entries
                if e.seq > self.last_told and not (found.over and e.kind in LAST)
            )

    def block(self, reason: str, at: float) -> None:
        """Take note that it cannot go on as things are; what waits for its end waits on."""
        data = {"reason": reason}
        self.blocked = True
        apply(self.run, EventKind.WORKFLOW_BLOCKED, "", 0, data, at)
        self.publish([WorkflowEvent(EventKind.WORKFLOW_BLOCKED, self.id, data=data, at=at)])
        self.stop_waking()

    def reopen(self) -> None:
        """Take note that it goes on after its end."""
        self.over = self.interrupted = False
        self.error = self.cancel = self.span = None

    def cancelled(self, report: CancelReport | None = None) -> None:
        """Answer a cancellation: with *report*, or that it came too late."""
        cancellation, self.cancel = self.cancel, None
        if cancellation is not None:
            if report is None:
                state = self.run.state
                report = CancelReport(self.id, state, cancellation.reason, already_finished=True)
            cancellation.answer(report)

    def tell_last_event(self, at: float) -> None:
        """Tell the listeners how the run ended."""
        self.publish([last_event(self.run, at)])

    def stop_waking(self) -> None:
        """Cancel the timer of a parked run."""
        if self.waking is not None:
            self.waking.cancel()
            self.waking = None


class SharedInbox:
    """The signals of a part: its own, and then those of the runs around it."""

    __slots__ = ("_live",)

    def __init__(self, live: LiveRun) -> None:
        self._live = live

    def _runs(self) -> Iterator[LiveRun]:
        live: LiveRun | None = self._live
        while live is not None:
            yield live
            live = live.around

    def __iter__(self) -> Iterator[Signal]:
        for live in self._runs():
            yield from tuple(live.signals or ())

    def __len__(self) -> int:
        return sum(len(live.signals or ()) for live in self._runs())

    def remove(self, signal: Signal, /) -> None:
        """Take one out of where it is."""
        any(live.take_out(signal) for live in self._runs())
