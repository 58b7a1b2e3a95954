"""What becomes of a run that is code: its steps are the calls that the code makes."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, cast

from ..code.errors import CallFailed
from ..code.forms import stored_form
from ..errors import WorkflowFailed, WorkflowTimedOut
from ..state.cancellation import Cancellation
from ..state.events import EventKind
from ..state.run import CANCEL
from ..state.status import WorkflowState
from ..store import StoreError
from .failures import cause_of, failure_of
from .machine import RunMachine
from .opening import begin_with
from .script import Script, undo_function
from .steps import as_output
from .waiting import CLOCK_SLACK_S, TimeLimit, next_due

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...vocabulary.target import Askable
    from ..code.branches import Branch
    from ..code.call import Call
    from ..definition.plan import StepPlan
    from ..state.live import Inbox
    from .attempt import StepAttempt
    from .orders import Orders

HOLD_S: Final = 0.2
"""Pauses that code is kept for: running it again would cost more."""

CLEANUP_S: Final = 60.0
"""How long code may take to end once it was cancelled."""


class CodeMachine(RunMachine):
    """Decides about one run of a workflow that is code.

    It is told, beside what every run is, what the code does: calls, and that it waits again or has ended.
    """

    __slots__ = ("_cleanup_until", "script")

    script: Script
    """What the code has done and been told."""

    def begin(self, now: float, signals: Inbox, cancellation: Cancellation | None = None) -> Orders:
        """The run begins, or goes on: the code is about to run from its top."""
        run, steps, notes = self.run, self._steps, self._notes
        notes.now = now
        self._signals = signals
        self._cleanup_until: float | None = None
        begin_with(notes, self._opening)
        script = self.script = Script(run, notes, steps)
        steps.script = script
        steps.given = script.payload
        steps.timed = run.plan.timeout_s is not None
        if run.started_at is None:
            self._note_start()
            if cancellation is not None:
                script.over(None, None)  # it need not begin
        if run.state is WorkflowState.CANCELLING:
            cancellation = self._begun(cancellation)
        elif run.state is WorkflowState.COMPENSATING:
            cancellation = None  # it has failed before
        if cancellation is not None:
            self._cancel(cancellation)
        elif run.state is WorkflowState.COMPENSATING:
            self._go_on_ending()
        else:
            self._out_of_time()
        return self._settle() if script.ended else self._orders

    def _go_on_ending(self) -> None:
        """It had failed: the code runs again until it has, so that it is known how its calls are undone."""
        run = self.run
        if CANCEL in (run.outcomes or ()):
            self._steps.failure = self._too_late()
            self._cancel_code(noted=False, hold=False)

    def let_go(self) -> None:
        """Take note that nothing asks it any more: its parts know one another, and must not stay for that."""
        self._steps.script = None
        self._steps.given = self.run.default_input
        self.script.let_go()

    # -- what the code does ------------------------------------------------------------------------

    def turned(self, quiet: bool, parkable: bool, now: float) -> Orders:
        """The code has had its turn. *quiet*: it waits; *parkable*: for calls, and for nothing else."""
        self._notes.now = now
        script = self.script
        script.parkable = parkable
        if quiet:
            script.awake = False
        return self._settle()

    def code_ended(self, value: Any, error: BaseException | None, now: float) -> Orders:
        """The code has returned *value*, in its stored form, or has raised *error*."""
        self._notes.now = now
        steps, script = self._steps, self.script
        if error is None:
            try:
                value = steps.form_of(value, self._what_it_returned)
            except StoreError as problem:
                value, error = None, problem
        script.over(value, error)
        if script.differs is None:
            if error is not None and not script.cancelled:
                steps.failure = self._failure(error)
            if error is not None or self.ending:
                steps.close()
            steps.stop()
        return self._settle()

    @property
    def ending(self) -> bool:
        """Whether it is to end in any case, with the code or without it."""
        return self.script.cancelled or self.run.state is WorkflowState.COMPENSATING

    def abandoned(self, now: float) -> Orders:
        """The run ends without its code, which is not there, does not match or does not end."""
        self._notes.now = now
        self.script.abandon()
        self._steps.close()
        self._steps.stop()
        return self._settle()

    def _what_it_returned(self) -> str:
        return f"what workflow {self.run.plan.name!r} has returned"

    def _what_it_shows(self) -> str:
        return f"what workflow {self.run.plan.name!r} shows"

    def called(self, call: Call[Any], now: float) -> None:
        """The code has begun *call*. What follows is said when the code's turn is over."""
        self._notes.now = now
        self.script.called(call)

    def left(self, call: Call[Any], now: float) -> None:
        """The code waits for *call* no more."""
        self._notes.now = now
        self.script.left(call)

    def value_of(self, branch: Branch, name: str, make: Callable[[], Any], now: float) -> Any:
        """The code needs a value that is recorded."""
        self._notes.now = now
        return self.script.value_of(branch, name, make)

    def has_changed(self, branch: Branch, name: str, now: float) -> bool:
        """The code asks which way this run is to take."""
        self._notes.now = now
        return self.script.has_changed(branch, name)

    def show(self, state: Mapping[str, Any], now: float) -> None:
        """The code has set what the run shows."""
        self._notes.now = now
        self.script.show(self._steps.form_of(dict(state), self._what_it_shows))

    # -- what else happens -------------------------------------------------------------------------

    def answered(self, attempt: StepAttempt, value: Any, now: float) -> Orders:
        """An attempt has returned *value*, of which the code sees the stored form, stored or not."""
        if not attempt.undo and not self.run.persist:
            try:
                value = stored_form(as_output(value))
            except (ValueError, TypeError) as error:
                return self.failed(attempt, error, now)
        return super().answered(attempt, value, now)

    # -- what follows ------------------------------------------------------------------------------

    def _settle(self) -> Orders:
        script, steps, orders = self.script, self._steps, self._orders
        if script.differs is None and not script.ended and not steps.stopping:
            while steps.waits:
                self._take_signals()
            if not script.awake:
                index = script.next()
                if index is not None:
                    script.awake = True
                    script.parkable = False
                    if index == CANCEL and self._cleanup_until is None:
                        self._cleanup_until = self._notes.now + CLEANUP_S
                    orders.outcome = index
                    orders.rest = False
                    return orders
                script.caught_up()
        if script.differs is not None:
            if self.ending:
                orders.abandon = True
            else:
                orders.blocked = str(script.differs)
            orders.rest = False
            return orders
        return super()._settle()

    def _at_rest(self) -> bool:
        if not super()._at_rest():
            return False
        script = self.script
        if self.ended:
            return True
        if script.ended or script.awake or script.cancelled or not script.parkable:
            return False
        due = next_due(self.run)
        return due is None or due - self._notes.now > HOLD_S

    def _wake_at(self) -> float | None:
        due = super()._wake_at()
        until = self._cleanup_until
        if until is None or self.script.ended:
            return due
        return until if due is None else min(due, until)

    def ticked(self, now: float) -> Orders:
        """It is *now*: what waits for a time that has come goes on."""
        until = self._cleanup_until
        if until is not None and now + CLOCK_SLACK_S >= until and not self.script.ended:
            self._cleanup_until = None
            self._orders.abandon = True
        return super().ticked(now)

    def _out_of_time(self) -> bool:
        run, script = self.run, self.script
        limit_at = run.limit_at
        if (
            limit_at is None
            or script.ended
            or script.cancelled
            or self._notes.now + CLOCK_SLACK_S < limit_at
        ):
            return False
        failure = self._steps.failure = self._too_late()
        data = {"error": failure.reason, "cancels": True}
        self._notes.happened(EventKind.WORKFLOW_COMPENSATING, self._with_failure(data))
        self._cancel_code(noted=True, hold=False)
        return True

    def _too_late(self) -> WorkflowFailed:
        run = self.run
        return failure_of(
            run, self._bound, None, TimeLimit(run.plan.timeout_s or 0.0, run.blocked), 0
        )

    def _cancel(self, cancellation: Cancellation) -> None:
        run, script = self.run, self.script
        if script.ended:
            super()._cancel(cancellation)
            return
        self._cancellation = cancellation
        self._stopped = tuple(plan.id for plan, _ in self._busy())
        noted = run.state is WorkflowState.RUNNING
        if noted:
            data = {"reason": cancellation.reason, **cancellation.options}
            self._notes.happened(EventKind.WORKFLOW_CANCELLING, data)
        if not script.cancelled:
            self._cancel_code(noted, cancellation.graceful)

    def _cancel_code(self, noted: bool, hold: bool) -> None:
        self.script.cancel(noted, hold)
        self._cleanup_until = None if hold else self._notes.now + CLEANUP_S
        self._steps.timed = True

    # -- the end -----------------------------------------------------------------------------------

    def _nothing_under_way(self) -> None:
        script, run, steps = self.script, self.run, self._steps
        if not script.ended:
            return
        if steps.closed:
            super()._nothing_under_way()
            return
        self._cancel_busy()
        self._end(EventKind.WORKFLOW_COMPLETED, {"output": script.value})
        self.result = run.collect()

    def _failed_steps(self) -> list[str]:
        error = self.script.error
        return [] if error is None else [call.step for call in _calls_in(error)]

    def _undo_target(self, plan: StepPlan) -> Askable:
        call = self.script.calls.get(plan.index)
        if call is None or call.undo is None:
            return super()._undo_target(plan)
        if isinstance(call.undo, FunctionType):
            return undo_function(call)
        return self._resolve(call.undo)

    def _worked_on(self, plan: StepPlan, via: str) -> Any:
        return self.script.target(plan, via, self._resolve)

    def _failure(self, error: BaseException) -> WorkflowFailed:
        """Return what the run fails with, because its code raised *error*."""
        run = self.run
        if not isinstance(error, CallFailed) or error.step not in run.plan.by_id:
            return failure_of(run, self._bound, None, error, 0)
        plan = run.plan.by_id[error.step]
        cause = error.__cause__
        kind = WorkflowTimedOut if isinstance(error, TimeoutError) else WorkflowFailed
        return kind(
            run.plan.name,
            run.id,
            plan.id,
            "" if plan.definition.agent is None else str(plan.definition.agent),
            error.reason if cause is None else cause_of(cause),
            attempts=run.step(plan.index).attempts,
            completed=[
                step.id
                for step, found in zip(run.plan.steps, run.steps, strict=True)
                if found is not None and found.state.value == "completed"
            ],
            stored=run.persist,
        )


def _calls_in(error: BaseException) -> list[CallFailed]:
    """Return the failed calls that *error* is, holds, or comes from."""
    found: dict[int, CallFailed] = {}
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, CallFailed):
            found[id(one)] = one
            continue
        if isinstance(one, BaseExceptionGroup):
            left += cast("BaseExceptionGroup[BaseException]", one).exceptions
        left += (one.__cause__, one.__context__)
    return list(found.values())
