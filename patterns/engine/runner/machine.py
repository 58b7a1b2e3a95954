"""What becomes of a run: a machine that is told what happened, and says what is to be done.

It has no actor, no store and no clock: the time comes with each thing that happens, and what is to
be done is left to whatever carries it out. So a live run, a stored one and a simulated one are
decided about by the same code, and a test can drive it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import WorkflowFailed, describe
from ..state.cancellation import Cancellation
from ..state.events import EventKind
from ..state.status import StepState, WorkflowState
from ..state.step_run import BUSY
from .attempt import StepAttempt
from .compensation import Undoing, undo_input
from .failures import error_text, failure_before, failure_of, failure_text, pause_before_retry
from .notes import Notes
from .orders import Group, Orders
from .steps import Steps
from .waiting import CLOCK_SLACK_S, TimeLimit, next_due
from .writing import Writing

if TYPE_CHECKING:
    from ...vocabulary.target import Askable
    from ..state.run import Run
    from ..store import Signal

Opening = tuple[tuple[EventKind, Any], ...]
"""Events that a run goes on with."""


class RunMachine:
    """Decides about one run, and owns its story while there is one.

    Each method says that something has happened at *now* (seconds since the epoch), and returns
    what is to be done. *bound* are the targets of the steps by index, *resolve* finds that of a
    fallback or a compensation, *chance* is drawn from for the jitter of retries. *created* tells
    whether the store has the run already.
    """

    __slots__ = (
        "_bound",
        "_cancellation",
        "_chance",
        "_notes",
        "_opening",
        "_orders",
        "_resolve",
        "_signals",
        "_steps",
        "_stopped",
        "_undoing",
        "_writing",
        "ended",
        "result",
        "run",
        "under_way",
    )

    def __init__(
        self,
        run: Run,
        bound: Sequence[Any],
        resolve: Callable[[Any], Askable],
        chance: Callable[[], float],
        *,
        opening: Opening = (),
        created: bool = False,
    ) -> None:
        self.run = run
        self._bound = bound
        self._resolve = resolve
        self._chance = chance
        self._opening = opening
        self._notes = Notes(run)
        self._steps = Steps(run, self._notes, bound, resolve, chance)
        self._writing = (
            Writing(run, self._notes, created=created, reopens=bool(opening))
            if run.persist
            else None
        )
        self._orders = Orders()
        self._signals: list[Signal] = []
        self._cancellation: Cancellation | None = None
        self._stopped: tuple[str, ...] = ()
        self._undoing: Undoing | None = None
        self.under_way: Collection[StepAttempt] = self._steps.under_way
        """The attempts that have not ended."""
        self.ended = False
        """Whether the last event of the run has happened."""
        self.result: Any = None
        """What a run that has been completed returns."""

    # -- what can be asked -------------------------------------------------------------------------

    @property
    def failure(self) -> WorkflowFailed | None:
        """What a failed run raises in its callers."""
        return self._steps.failure

    @property
    def cancellation(self) -> Cancellation | None:
        """The cancellation that it carries out, or has carried out."""
        return self._cancellation

    @property
    def stopped_steps(self) -> tuple[str, ...]:
        """The steps that the cancellation has stopped."""
        run = self.run
        return tuple(
            step
            for step in self._stopped
            if run.step(run.plan.by_id[step].index).state is StepState.CANCELLED
        )

    @property
    def uneventful(self) -> bool:
        """Whether nothing failed, was cancelled or undone."""
        return not self._steps.closed

    def followed(self, followed: bool) -> None:
        """Say whether something outside follows the run from now on."""
        self._notes.followed = followed

    # -- what happened -----------------------------------------------------------------------------

    def begin(
        self, now: float, signals: list[Signal], cancellation: Cancellation | None = None
    ) -> Orders:
        """The run begins, or goes on from where it is."""
        run, steps, notes = self.run, self._steps, self._notes
        notes.now = now
        self._signals = signals
        for kind, data in self._opening:
            notes.happened(kind, data)
        if run.plan.timeout_s is not None:
            steps.timed = True
        fresh = run.started_at is None
        if fresh:
            notes.happened(EventKind.WORKFLOW_STARTED, {"workflow": run.plan.name})
        elif run.state is WorkflowState.COMPENSATING:
            steps.close()
            self._undoing = Undoing(run)
        elif run.state is WorkflowState.CANCELLING and cancellation is None:
            cancellation = Cancellation(run.reason or "cancelled")
        if cancellation is not None:
            self._cancel(cancellation)
        elif self._undoing is None:
            if fresh:
                steps.release(run.plan.roots)
            elif not self._out_of_time():
                for index in run.ready():
                    steps.enter(index)
        return self._settle()

    def answered(self, attempt: StepAttempt, value: Any, now: float) -> Orders:
        """An attempt has returned *value*."""
        self._notes.now = now
        steps = self._steps
        if attempt in steps.under_way:
            steps.under_way.remove(attempt)
            if attempt.undo:
                self._undone(EventKind.COMPENSATION_COMPLETED, attempt)
            else:
                steps.succeeded(attempt, value)
        return self._settle()

    def failed(self, attempt: StepAttempt, error: BaseException, now: float) -> Orders:
        """An attempt has failed, or its time is over."""
        self._notes.now = now
        steps = self._steps
        if attempt in steps.under_way:
            steps.under_way.remove(attempt)
            if attempt.undo:
                self._undo_failed(attempt, error)
            else:
                steps.failed(attempt, error)
        return self._settle()

    def lost(self, attempt: StepAttempt, error: BaseException, now: float) -> Orders:
        """What worked on an attempt has ended: because it was stopped, or of itself with *error*."""
        if attempt.stopping:
            return self.stopped([attempt], now)
        return self.failed(attempt, error, now)

    def stopped(self, attempts: Iterable[StepAttempt], now: float) -> Orders:
        """The *attempts*, which were to be stopped, have been, and had not ended before."""
        self._notes.now = now
        under_way = self._steps.under_way
        for attempt in attempts:
            if attempt in under_way:
                under_way.remove(attempt)
                self._steps.stopped(attempt)
        return self._settle()

    def signalled(self, signals: list[Signal], now: float) -> Orders:
        """There are *signals*; what is taken leaves the list."""
        self._notes.now = now
        self._signals = signals
        self._steps.waits = True
        return self._settle()

    def ticked(self, now: float) -> Orders:
        """It is *now*: what waits for a time that has come goes on."""
        self._notes.now = now
        if not self._out_of_time():
            self._steps.tick()
        undoing = self._undoing
        due = None if undoing is None else undoing.due_at
        if undoing is not None and due is not None and due <= now + CLOCK_SLACK_S:
            undoing.due_at = None
        return self._settle()

    def cancelled(self, cancellation: Cancellation, now: float) -> Orders:
        """The run is to be cancelled, unless it has ended or that is under way already."""
        self._notes.now = now
        if self._cancellation is None and not self.ended:
            self._cancel(cancellation)
        return self._settle()

    def acknowledged(self, group: Group, now: float) -> Orders:
        """What was to be written has been."""
        self._notes.now = now
        assert self._writing is not None, "only stored runs write"
        self._writing.acknowledged(group)
        steps, orders = self._steps, self._orders
        orders.tell += group.events
        for attempt in group.start:
            if attempt not in steps.under_way:
                continue  # it was stopped meanwhile
            if steps.closed and not attempt.undo:
                steps.under_way.remove(attempt)
                steps.stopped(attempt)
            else:
                orders.start.append(attempt)
        return self._settle()

    def refused(self, group: Group, error: BaseException) -> Orders:
        """The store failed: nothing of the group counts, and the run stops here, loudly."""
        assert self._writing is not None, "only stored runs write"
        self._writing.acknowledged(group)
        self._orders.give_up = error
        return self._orders

    # -- what follows ------------------------------------------------------------------------------

    def _settle(self) -> Orders:
        """Start what may start, find out whether the run has ended, and say what is to be done."""
        steps, orders, notes = self._steps, self._orders, self._notes
        if steps.queue:
            steps.go_on()
        while steps.waits:
            self._take_signals()
            steps.go_on()
        if not steps.under_way and not self.ended:
            self._nothing_under_way()
        if steps.stopping:
            # What is stopped at once belongs to what happened: it is asked for first.
            orders.stop, steps.stopping = steps.stopping, []
            orders.rest = False
            return orders
        if steps.closed:
            steps.launched = [one for one in steps.launched if one in steps.under_way]
        at_rest = not steps.under_way and not self._pausing()
        writing = self._writing
        if writing is not None:
            orders.write = writing.group(steps.launched, busy=not at_rest)
            if orders.write is not None:
                steps.launched = []
            at_rest = at_rest and writing.done
        else:
            if notes.events:
                orders.tell += notes.events
                notes.events = []
            if steps.launched:
                orders.start += steps.launched
                steps.launched.clear()
        orders.rest = at_rest
        orders.wake_at = self._wake_at() if steps.timed and not at_rest else None
        return orders

    def _pausing(self) -> bool:
        """Tell whether the run is in a pause before an undo is tried again."""
        undoing = self._undoing
        return undoing is not None and undoing.due_at is not None

    def _take_signals(self) -> None:
        used = self._steps.take_signals(self._signals)
        if self._writing is not None:
            self._writing.used += used

    def _wake_at(self) -> float | None:
        undoing = self._undoing
        if undoing is not None and undoing.due_at is not None:
            return undoing.due_at
        if self._steps.closed:
            return None
        due = next_due(self.run)
        if due is None:
            self._steps.timed = False
        return due

    def _out_of_time(self) -> bool:
        """Let the run fail if its time is over; return whether it is."""
        run, steps = self.run, self._steps
        limit_at = run.limit_at
        if limit_at is None or steps.closed or self._notes.now + CLOCK_SLACK_S < limit_at:
            return False
        steps.fail(failure_of(run, self._bound, None, TimeLimit(run.plan.timeout_s or 0.0), 0))
        steps.stop()
        return True

    def _cancel(self, cancellation: Cancellation) -> None:
        run, steps = self.run, self._steps
        self._cancellation = cancellation
        self._stopped = tuple(
            plan.id
            for plan, found in zip(run.plan.steps, run.steps, strict=True)
            if found is not None and found.state in BUSY
        )
        steps.close()
        if self._undoing is None:
            if run.state is not WorkflowState.CANCELLING:
                data = {"reason": cancellation.reason}
                self._notes.happened(EventKind.WORKFLOW_CANCELLING, data)
            if not cancellation.graceful:
                steps.stop()

    # -- the end -----------------------------------------------------------------------------------

    def _nothing_under_way(self) -> None:
        """Find out whether the run has ended."""
        run, steps = self.run, self._steps
        if not steps.closed:
            if run.finished_steps == len(run.steps):
                if self._completed():
                    return
            elif any(found is not None and found.state in BUSY for found in run.steps):
                return
            else:
                # A run that would neither end nor wait for anything must not look as if it did.
                stalled = RuntimeError("no step can go on, although some have not ended")
                steps.fail(failure_of(run, self._bound, None, stalled, 0))
        if self._undoing is None:
            self._undoing = self._begin_undoing()
        if self._undo_next():
            return
        cancellation = self._cancellation
        if cancellation is not None:
            self._end(EventKind.WORKFLOW_CANCELLED, {"reason": cancellation.reason})
            return
        if steps.failure is None:
            steps.failure = failure_before(run)
        data = {"error": failure_text(steps.failure), "steps": list(run.failed_steps)}
        self._end(EventKind.WORKFLOW_FAILED, data)

    def _completed(self) -> bool:
        """End the run, whose steps have all ended; return whether it could be."""
        run = self.run
        try:
            self.result = run.collect()
        except Exception as error:
            # The output's template reads what is not there.
            self._steps.fail(failure_of(run, self._bound, None, error, 0))
            return False
        self._end(EventKind.WORKFLOW_COMPLETED, None)
        return True

    def _end(self, kind: EventKind, data: Any) -> None:
        self.ended = True
        self._notes.happened(kind, data)

    # -- undoing -----------------------------------------------------------------------------------

    def _begin_undoing(self) -> Undoing | None:
        """End what still waits, and find out what is to be undone; None: nothing ever is."""
        run, steps = self.run, self._steps
        for plan, found in zip(run.plan.steps, run.steps, strict=True):
            if found is not None and found.state in BUSY:
                self._notes.step(EventKind.STEP_CANCELLED, plan, found.attempts)
        wanted = self._cancellation is None or self._cancellation.compensate
        if not run.plan.compensates or not wanted:
            return None
        undoing = Undoing(run)
        if undoing and self._cancellation is None:
            data = {"error": describe(steps.failure or "")}
            self._notes.happened(EventKind.WORKFLOW_COMPENSATING, data)
        return undoing

    def _undo_next(self) -> bool:
        """Undo a step, if one is left; return whether that is under way, or tried again later."""
        undoing, run = self._undoing, self.run
        while undoing:
            if undoing.due_at is not None:
                return True
            plan = run.plan.steps[undoing.next()]
            number = run.step(plan.index).attempts + 1
            compensation = plan.definition.compensate
            assert compensation is not None, "only steps that have it are undone"
            try:
                payload = undo_input(run, plan)
                target = self._resolve(compensation.agent)
            except Exception as error:
                undoing.done()
                data = {"error": describe(error)}
                self._notes.step(EventKind.COMPENSATION_FAILED, plan, number, data)
                continue
            attempt = StepAttempt(plan, number, payload, target)
            attempt.undo = True
            self._notes.step(EventKind.COMPENSATION_STARTED, plan, number)
            self._steps.add(attempt)
            return True
        return False

    def _undo_failed(self, attempt: StepAttempt, error: BaseException) -> None:
        undoing, compensation = self._undoing, attempt.plan.definition.compensate
        assert undoing is not None, "it was under way"
        assert compensation is not None, "it was under way"
        undoing.tries += 1
        delay_s = pause_before_retry(compensation.retry, error, undoing.tries, self._chance)
        if delay_s is None:
            self._undone(EventKind.COMPENSATION_FAILED, attempt, {"error": error_text(error)})
        else:
            undoing.due_at = self._notes.now + delay_s
            self._steps.timed = True

    def _undone(self, kind: EventKind, attempt: StepAttempt, data: Any = None) -> None:
        assert self._undoing is not None, "it was under way"
        self._undoing.done()
        self._notes.step(kind, attempt.plan, attempt.number, data)
