"""A run as one engine has it in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..errors import WorkflowLost
from .status import CancelReport, WorkflowState, WorkflowStatus
from .views import ending_of, last_event, state_of, status_of

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from contextvars import Context

    from agenticaiframework.actors import ActorRef, Request

    from ..store import Lease, Signal
    from .cancellation import Cancellation
    from .events import WorkflowEvent
    from .run import Run

MAX_SIGNALS: Final = 10_000
"""Signals that may wait in one run for a step that takes them."""


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
    ref: ActorRef[Any] | None = None
    """The coordinator, while there is one."""
    under_way: Collection[Any] = ()
    """The attempts that the coordinator has under way."""
    waiters: list[Request] | None = None
    """Requests that are answered when the run ends."""
    listeners: list[Callable[[WorkflowEvent], None]] | None = None
    signals: list[Signal] | None = None
    """Signals that no step has taken yet, oldest first."""
    unseen_signals = False
    """Whether signals have come that no coordinator has looked at."""
    error: BaseException | None = None
    """What the waiting requests of a run fail with that was not completed."""
    result: Any = None
    over = False
    """Whether it has ended, and everybody may know: its last event is stored, if it is to be."""
    interrupted = False
    """Whether it has ended here without an end: a stored one goes on elsewhere."""
    cancel: Cancellation | None = None
    """A cancellation that was asked for and has not been carried out."""
    restarts = 0
    queued: Any = None
    """Its place in the queue, while it waits for its turn."""
    accepted: Request | None = None
    """A request that is answered when the run is stored."""
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

    def __init__(self, run: Run) -> None:
        self.id = run.id
        self.run = run

    def __repr__(self) -> str:
        return repr(self.run)

    # -- what can be seen --------------------------------------------------------------------------

    @property
    def state(self) -> WorkflowState:
        """Where it stands, seen from outside: no run has ended before its last event is stored."""
        if self.interrupted:
            return WorkflowState.INTERRUPTED
        if self.run.state.finished and not self.over:
            return WorkflowState.RUNNING
        return state_of(self.run)

    def status(self) -> WorkflowStatus:
        """Return where it stands now."""
        return status_of(self.run, self.state)

    # -- who waits for whom --------------------------------------------------------------------

    @property
    def circle_name(self) -> str:
        """What it is called among those that wait for one another."""
        return f"the workflow {self.run.plan.name!r}"

    def awaited(self) -> tuple[Sequence[Any], bool]:
        """Return what it waits for, and that nothing less is enough."""
        return [one for attempt in tuple(self.under_way) for one in attempt.awaited()[0]], False

    # -- its start ----------------------------------------------------------------------------

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
                for listener in tuple(self.listeners or ()):
                    listener(event)

    # -- signals -----------------------------------------------------------------------------------

    def put_signals(self, signals: Iterable[Signal]) -> None:
        """Keep *signals* until steps take them; those that are known already come once."""
        if self.signals is None:
            self.signals = []
        known = {signal.number for signal in self.signals if signal.number}
        self.signals += [s for s in signals if not s.number or s.number not in known]
        del self.signals[:-MAX_SIGNALS]
        self.unseen_signals = True

    def see_signals(self) -> list[Signal]:
        """Return the signals that have not been taken; a step that takes one takes it out."""
        if self.unseen_signals:  # an attribute that is never set costs a parked run nothing
            self.unseen_signals = False
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

    def interrupt(self, error: WorkflowLost) -> None:
        """Take note that it has been cut short here, and fail the waiting requests."""
        self.interrupted = True
        self.error = error
        self.stop_waking()
        self.conclude()
        cancellation, self.cancel = self.cancel, None
        if cancellation is not None:
            cancellation.fail(error)

    def renew(self, found: LiveRun) -> None:
        """Go on from what was *found* in the store, because the coordinator has crashed."""
        self.run, self.over, self.result = found.run, found.over, found.result
        self.ref = self.refused = None
        self.under_way = ()

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
