"""What becomes of a run: a machine that is told what happened, and says what is to be done.

It has no actor, no store and no clock: the time comes with each thing that happens, and what is to
be done is left to whatever carries it out. So a live run, a stored one and a simulated one are
decided about by the same code, and a test can drive it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import NO_USAGE

from ..errors import WorkflowFailed, describe
from ..state.cancellation import Cancellation
from ..state.events import KIND_TEXT, EventKind
from ..state.failure import failure_record, recorded_failure
from ..state.status import StepState, WorkflowState
from ..state.step_run import BUSY
from .attempt import StepAttempt
from .compensation import Undo, Undoing, undo_input
from .failures import error_text, failure_of, failure_text, pause_before_retry
from .notes import Notes
from .opening import Opening, begin_with
from .orders import Group, Orders
from .part import PartTarget, PartTimeout
from .steps import Keep, Steps
from .waiting import CLOCK_SLACK_S, TimeLimit, next_due
from .writing import Writing

if TYPE_CHECKING:
    from ...vocabulary.target import Askable
    from ..definition.plan import StepPlan
    from ..state.live import Inbox
    from ..state.run import Run
    from ..state.step_run import StepRun
    from ..store import Record
    from .inner import InnerNote

_REOPENS: Final = frozenset(
    {KIND_TEXT[EventKind.WORKFLOW_RESUMED], KIND_TEXT[EventKind.WORKFLOW_REWOUND]}
)
"""What a run goes on with after its end."""


class RunMachine:
    """Decides about one run, and owns its story while there is one.

    Each method says that something has happened at *now* (seconds since the epoch), and returns
    what is to be done. *bound* are the targets of the steps by index, *resolve* finds that of a
    fallback or a compensation, *chance* is drawn from for the jitter of retries. *created* tells
    whether the store has the run already, *keep* returns the form that it keeps of a value.
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
        keep: Keep | None = None,
    ) -> None:
        self.run = run
        self._bound = bound
        self._resolve = resolve
        self._chance = chance
        self._opening = opening
        self._notes = Notes(run)
        self._steps = Steps(run, self._notes, bound, resolve, chance, keep)
        self._writing = (
            Writing(run, self._notes, created=created, reopens=bool(opening))
            if run.persist
            else None
        )
        self._orders = Orders()
        self._signals: Inbox = list[Any]()
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

    def begin(self, now: float, signals: Inbox, cancellation: Cancellation | None = None) -> Orders:
        """The run begins, or goes on from where it is."""
        run, steps, notes = self.run, self._steps, self._notes
        notes.now = now
        self._signals = signals
        begin_with(notes, self._opening)
        if run.plan.timeout_s is not None:
            steps.timed = True
        fresh = run.started_at is None
        if fresh:
            self._note_start()
        elif run.state is WorkflowState.COMPENSATING:
            steps.close()
            self._undoing = Undoing(run, self._undoable)
            cancellation = None  # it has failed before
        elif run.state is WorkflowState.CANCELLING:
            cancellation = self._begun(cancellation)
        if cancellation is not None:
            if cancellation.graceful and self._undoing is None:
                # What was under way may finish first. That it began is written already.
                steps.repeat()
                self._orders.start, steps.launched = steps.launched, []
            else:
                steps.attach()
            self._cancel(cancellation)
        elif self._undoing is None:
            if fresh and run.forked_from is None:
                steps.release(run.plan.roots)
            elif self._time_is_over:
                steps.attach()
                self._out_of_time()
            else:
                for index in run.ready():
                    steps.enter(index)
        return self._settle()

    def _note_start(self) -> None:
        run = self.run
        data: dict[str, Any] = {"workflow": run.plan.name}
        if run.parent is not None:
            data["serving"] = list(run.serving)
        if run.usage_limits is not None:
            data["usage_limits"] = run.usage_limits.to_dict()
        if run.span is not None:
            data["span"] = run.span
        self._notes.happened(EventKind.WORKFLOW_STARTED, data)

    def _begun(self, asked: Cancellation | None) -> Cancellation:
        """Return the cancellation that was under way when the last coordinator ended.

        How it was to be cancelled stands in the journal; those who wait for that wait with the one that
        was *asked* for.
        """
        run = self.run
        begun = Cancellation.of(run.reason or "cancelled", run.cancel_options)
        if asked is not None:
            begun.requests = asked.requests
        return begun

    def answered(self, attempt: StepAttempt, value: Any, now: float) -> Orders:
        """An attempt has returned *value*."""
        self._notes.now = now
        steps = self._steps
        if attempt in steps.under_way:
            steps.under_way.remove(attempt)
            if attempt.undo:
                self._undone(EventKind.COMPENSATION_COMPLETED, attempt.plan, attempt)
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
            elif attempt.parking:
                steps.stopped(attempt)  # what it made of its being stopped says nothing
            else:
                steps.failed(attempt, error)
        return self._settle()

    def lost(self, attempt: StepAttempt, error: BaseException, now: float) -> Orders:
        """What worked on an attempt has ended: because it was stopped, or of itself with *error*."""
        if attempt.overdue:
            timeout_s = attempt.plan.timeout_s
            if attempt.undo and attempt.plan.definition.compensate is not None:
                timeout_s = attempt.plan.definition.compensate.timeout_seconds
            timeout_s = timeout_s or 0.0
            return self.failed(attempt, PartTimeout(attempt.target.name, timeout_s), now)
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

    def signalled(self, signals: Inbox, now: float) -> Orders:
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
        """The run is to be cancelled, unless it has ended, or failed, or that is under way already."""
        self._notes.now = now
        over = self.ended or self.run.state is WorkflowState.COMPENSATING
        if self._cancellation is None and not over:
            self._cancel(cancellation)
        return self._settle()

    def noted(self, note: InnerNote, now: float) -> Orders | None:
        """An inner step of an attempt has returned, or raised; *note* is settled once that is stored."""
        attempt, writing, orders = note.attempt, self._writing, self._orders
        if attempt not in self._steps.under_way:
            note.refuse()
            return None
        notes = self._notes
        notes.now = now
        attempt.tell_usage(self.run, note.data)
        notes.step(note.kind, attempt.plan, attempt.number, note.data)
        # Nothing else follows from it: steps need not be looked through, of which there may be many.
        orders.rest, orders.wake_at = False, None
        if writing is None:
            orders.tell += notes.events
            notes.events = []
            note.settle()
            return orders
        group = orders.write = writing.group([], busy=True)
        assert group is not None, "there is a record"
        group.inner = note
        return orders

    def asked(self, note: InnerNote, now: float) -> Orders | None:
        """A handler has asked a question, which is answered when there is an answer."""
        attempt, steps = note.attempt, self._steps
        if attempt not in steps.under_way:
            note.refuse()
            return None
        self._notes.now = now
        steps.asked(note)
        return self._settle()

    def park(self, attempt: StepAttempt, now: float) -> Orders | None:
        """Nothing of an attempt is under way but questions: let go of it, if that is still so."""
        steps = self._steps
        if attempt not in steps.under_way or attempt.stopping or not attempt.quiet:
            return None
        self._notes.now = now
        steps.park(attempt)
        return self._settle()

    def acknowledged(self, group: Group, now: float) -> Orders:
        """What was to be written has been."""
        self._notes.now = now
        assert self._writing is not None, "only stored runs write"
        self._writing.acknowledged(group)
        steps, orders = self._steps, self._orders
        orders.tell += group.events
        for note, answer in group.answers:
            note.settle(answer=answer)
        if group.inner is not None:
            group.inner.settle()
            if steps.under_way:
                orders.rest, orders.wake_at = False, None
                return orders
        for attempt in group.start:
            if attempt not in steps.under_way:
                continue  # it was stopped meanwhile
            if steps.closed and not attempt.undo:
                steps.under_way.remove(attempt)
                steps.stopped(attempt)
            else:
                orders.start.append(attempt)
        return self._settle()

    @property
    def unwritten(self) -> tuple[Group, ...]:
        """What was to be written and is not acknowledged, in its order."""
        assert self._writing is not None, "only stored runs write"
        return self._writing.unwritten

    def refused(self, group: Group, error: BaseException) -> Orders:
        """The store failed: nothing of the group counts, and the run stops here, loudly."""
        assert self._writing is not None, "only stored runs write"
        self._writing.acknowledged(group)
        if group.inner is not None:
            group.inner.settle(error)
        for note, _ in group.answers:
            note.settle(error)
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
        if not steps.under_way:
            if not self.ended:
                self._nothing_under_way()
        elif steps.closed and self._undoing is None and steps.only_waiting:
            # What only waits is not waited for any more.
            steps.stop()
        if steps.stopping:
            # What is stopped at once belongs to what happened: it is asked for first.
            orders.stop, steps.stopping = steps.stopping, []
            orders.rest = False
            return orders
        if steps.closed:
            steps.launched = [one for one in steps.launched if one in steps.under_way]
        at_rest = self._at_rest()
        writing = self._writing
        if writing is not None:
            orders.write = writing.group(steps.launched, busy=not at_rest)
            if orders.write is not None:
                steps.launched = []
            if steps.answers:
                answers, steps.answers = steps.answers, []
                self._tell_answers(answers, writing.unwritten)
            at_rest = at_rest and writing.done
        else:
            if notes.events:
                orders.tell += notes.events
                notes.events = []
            if steps.answers:
                answers, steps.answers = steps.answers, []
                self._tell_answers(answers, ())
            if steps.launched:
                orders.start += steps.launched
                steps.launched.clear()
        if steps.attached:
            orders.start += steps.attached
            steps.attached.clear()
        orders.rest = at_rest
        orders.wake_at = self._wake_at() if steps.timed and not at_rest else None
        return orders

    @staticmethod
    def _tell_answers(answers: list[tuple[InnerNote, Any]], unwritten: Sequence[Group]) -> None:
        """Answer questions once all is written that has happened."""
        if unwritten:
            unwritten[-1].answers += answers
            return
        for note, answer in answers:
            note.settle(answer=answer)

    def _at_rest(self) -> bool:
        """Tell whether there is nothing to do until something comes from outside."""
        return not self._pausing() and (not self._steps.under_way or self._parked)

    @property
    def _parked(self) -> bool:
        """Whether all that is under way are parts that wait, so that the run only waits, too."""
        steps = self._steps
        return not steps.closed and not steps.launched and steps.only_parked

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
            return self._steps.part_due()
        due = next_due(self.run)
        if due is None:
            self._steps.timed = False
        return due

    @property
    def _time_is_over(self) -> bool:
        limit_at = self.run.limit_at
        return limit_at is not None and self._notes.now + CLOCK_SLACK_S >= limit_at

    def _out_of_time(self) -> bool:
        """Let the run fail if its time is over; return whether it is."""
        run, steps = self.run, self._steps
        if steps.closed or self.ended or not self._time_is_over:
            return False
        limit = TimeLimit(run.plan.timeout_s or 0.0, run.blocked)
        steps.fail(failure_of(run, self._bound, None, limit, 0))
        steps.stop()
        return True

    def _cancel(self, cancellation: Cancellation) -> None:
        run, steps = self.run, self._steps
        self._cancellation = cancellation
        self._stopped = tuple(plan.id for plan, _ in self._busy())
        steps.close()
        if self._undoing is None:
            if run.state is not WorkflowState.CANCELLING:
                data = {"reason": cancellation.reason, **cancellation.options}
                self._notes.happened(EventKind.WORKFLOW_CANCELLING, data)
            # Parts are told in any case: where they may finish what they do, they begin nothing new.
            steps.stop(only_parts=cancellation.graceful)

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
        if run.state is WorkflowState.COMPENSATING and run.reason is not None:
            # It was completed, and has been undone with the run around it.
            self._end(EventKind.WORKFLOW_CANCELLED, {"reason": run.reason})
            return
        if steps.failure is None:
            steps.failure = recorded_failure(run)
        steps.failure.tell_undo_failed(run.undo_errors())
        data = {"error": failure_text(steps.failure), "steps": self._failed_steps()}
        self._end(EventKind.WORKFLOW_FAILED, self._with_failure(data))

    @property
    def reopening(self) -> Sequence[Record]:
        """The records with which the run goes on after its end, as long as none of them has been written."""
        kinds = [KIND_TEXT[kind] for kind, _ in self._opening]
        records = self._notes.records[: len(kinds)]
        reopened = not _REOPENS.isdisjoint(kinds)
        return records if reopened and [one.kind for one in records] == kinds else ()

    def _with_failure(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return *data* with what the run fails with, unless an earlier record says that."""
        failure = self._steps.failure
        if failure is not None and self.run.failure is None:
            data["failure"] = failure_record(failure)
        return data

    def _failed_steps(self) -> list[str]:
        """Return the steps that the run fails with."""
        return list(self.run.failed_steps)

    def _completed(self) -> bool:
        """End the run, whose steps have all ended; return whether it could be."""
        run = self.run
        try:
            self.result = self._steps.collected()
        except Exception as error:
            # The output's template reads what is not there.
            self._steps.fail(failure_of(run, self._bound, None, error, 0))
            return False
        self._end(EventKind.WORKFLOW_COMPLETED, None)
        return True

    def _end(self, kind: EventKind, data: Any) -> None:
        self.ended = True
        if self.run.usage is not NO_USAGE:
            said: dict[str, Any] = dict(data or {})
            data = {**said, "usage": self.run.usage.to_record()}
        self._notes.happened(kind, data)

    def _busy(self) -> list[tuple[StepPlan, StepRun]]:
        """Return the steps that have begun and not ended."""
        run = self.run
        return [
            (plan, found)
            for plan, found in zip(run.plan.steps, run.steps, strict=True)
            if found is not None and found.state in BUSY
        ]

    def _cancel_busy(self) -> None:
        """End what still waits."""
        for plan, found in self._busy():
            self._notes.step(EventKind.STEP_CANCELLED, plan, found.attempts)

    # -- undoing -----------------------------------------------------------------------------------

    def _begin_undoing(self) -> Undoing | None:
        """End what still waits, and find out what is to be undone; None: nothing ever is."""
        run, steps = self.run, self._steps
        self._cancel_busy()
        wanted = self._cancellation is None or self._cancellation.compensate
        parts = any(found is not None and found.part for found in run.steps)
        if not (run.plan.compensates or parts) or not wanted:
            return None
        undoing = Undoing(run, self._undoable)
        ending = run.state is WorkflowState.COMPENSATING
        if undoing and self._cancellation is None and not ending:
            # What another engine goes on with says the same: without where, which it knows.
            data = {"error": "" if steps.failure is None else steps.failure.reason}
            self._notes.happened(EventKind.WORKFLOW_COMPENSATING, self._with_failure(data))
        return undoing

    def _undo_next(self) -> bool:
        """Undo something, if it is left; return whether that is under way, or tried again later."""
        undoing, run = self._undoing, self.run
        while undoing:
            if undoing.due_at is not None:
                return True
            undo = undoing.next()
            plan = run.plan.steps[undo.step]
            number = run.step(plan.index).attempts + 1
            try:
                attempt = self._attempt_to_undo(undo, plan, number)
            except Exception as error:
                data = {**undoing.done(failed=True), "error": describe(error)}
                self._notes.step(EventKind.COMPENSATION_FAILED, plan, number, data)
                continue
            started: dict[str, Any] = {}
            if undo.item is not None:
                started["item"] = undo.item
            if undo.part:
                started["part"] = True
            self._notes.step(EventKind.COMPENSATION_STARTED, plan, number, started or None)
            self._steps.add(attempt)
            return True
        return False

    def _attempt_to_undo(self, undo: Undo, plan: StepPlan, number: int) -> StepAttempt:
        """Return what undoes something; raises what is wrong with its input or its agent."""
        if undo.part:
            attempt = StepAttempt(plan, number, None, self._worked_on(plan, undo.via))
            attempt.part = attempt.undoes = attempt.again = True
            attempt.iteration, attempt.via = undo.iteration, undo.via
        else:
            payload = self._steps.handed(plan, undo_input(self.run, plan, undo.item))
            attempt = StepAttempt(plan, number, payload, self._undo_target(plan))
            attempt.part = isinstance(attempt.target, PartTarget)
        attempt.item = undo.item
        attempt.undo = True
        if self._undoing is not None and self._undoing.before is not None:
            attempt.spends_on(self._undoing.before)
        return attempt

    def _undo_target(self, plan: StepPlan) -> Askable:
        """Return what undoes a step."""
        compensation = plan.definition.compensate
        assert compensation is not None, "only steps that have it are undone"
        return self._resolve(compensation.agent)

    def _worked_on(self, plan: StepPlan, via: str) -> Any:
        """Return what worked on a step."""
        if via != "agent" and plan.fallback is not None:
            return self._resolve(plan.fallback.fallback)
        return self._bound[plan.index]

    def _undoable(self, plan: StepPlan, via: str) -> bool:
        """Tell whether the workflow that worked on a step can undo anything."""
        try:
            target = self._worked_on(plan, via)
        except Exception:
            return True  # its name stands for nothing any more, but its part may be there
        return target.undoable if isinstance(target, PartTarget) else True

    def _undo_failed(self, attempt: StepAttempt, error: BaseException) -> None:
        undoing, compensation = self._undoing, attempt.plan.definition.compensate
        assert undoing is not None, "it was under way"
        delay_s = None
        if not attempt.undoes:
            assert compensation is not None, "it was under way"
            undoing.tries += 1
            delay_s = pause_before_retry(compensation.retry, error, undoing.tries, self._chance)
        if delay_s is None:
            kind = EventKind.COMPENSATION_FAILED
            self._undone(kind, attempt.plan, attempt, {"error": error_text(error)})
        else:
            undoing.due_at = self._notes.now + delay_s
            self._steps.timed = True
            undoing.before = attempt

    def _undone(
        self,
        kind: EventKind,
        plan: StepPlan,
        attempt: StepAttempt,
        data: dict[str, Any] | None = None,
    ) -> None:
        assert self._undoing is not None, "it was under way"
        failed = kind is EventKind.COMPENSATION_FAILED
        said = self._undoing.done(failed=failed)
        said |= {**(data or {}), **(attempt.undone or {})}
        attempt.tell_usage(self.run, said)
        self._notes.step(kind, plan, attempt.number, said or None)
