"""What the steps of a run do next, and what the outcomes of their attempts mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...expressions.errors import ExpressionError
from ...vocabulary.values import Emit, Handoff
from ..definition.plan import PAUSE, WAIT
from ..definition.shapes import PLAIN, plain
from ..errors import OutputMismatch, WorkflowFailed, with_first
from ..state.events import EventKind
from ..state.status import StepState
from ..state.step_run import BUSY, PENDING, RUNNING
from .attempt import StepAttempt
from .failures import error_text, failure_before, failure_of, pause_before_retry
from .items import Fan, ItemStart
from .looping import is_done, next_input
from .waiting import CLOCK_SLACK_S, SignalTimeout, matching_signal

if TYPE_CHECKING:
    from ...vocabulary.target import Askable
    from ..definition.plan import StepPlan
    from ..state.run import Run
    from ..state.step_run import StepRun
    from ..store import Signal
    from .notes import Notes


# Looked up once: members of an enum cost as much to find as a call.
_STARTED: Final = EventKind.STEP_STARTED
_COMPLETED: Final = EventKind.STEP_COMPLETED


class Steps:
    """Starts the steps of one run as soon as they may, and takes what comes of them.

    Owns the attempts under way and the steps with ``for_each``. Part of the run's machine.
    """

    __slots__ = (
        "_bound",
        "_chance",
        "_fans",
        "_firsts",
        "_notes",
        "_resolve",
        "_run",
        "closed",
        "failure",
        "launched",
        "queue",
        "stopping",
        "timed",
        "under_way",
        "waits",
    )

    def __init__(
        self,
        run: Run,
        notes: Notes,
        bound: Sequence[Any],
        resolve: Callable[[Any], Askable],
        chance: Callable[[], float],
    ) -> None:
        self._run = run
        self._notes = notes
        self._bound = bound
        self._resolve = resolve
        self._chance = chance
        self.queue: list[int] = []
        """Steps that nothing holds back any more."""
        self._fans: dict[int, Fan] | None = None
        """The steps with ``for_each`` that are under way, by index."""
        self._firsts: dict[tuple[int, int | None], BaseException] | None = None
        """The errors that fallbacks stand in for, by the step's index and the item."""
        self.under_way: set[StepAttempt] = set()
        """Attempts that have not ended, those that are about to start included."""
        self.launched: list[StepAttempt] = []
        """Those of them that are to start once it is written that they do."""
        self.stopping: list[StepAttempt] = []
        """Those of them that are to be stopped."""
        self.closed = False
        """Whether nothing new is started: the run fails, or is being cancelled."""
        self.failure: WorkflowFailed | None = None
        """The first failure, which is the one that the run fails with."""
        self.timed = False
        """Whether something may wait for a time. Looking at all steps for it costs time itself."""
        self.waits = False
        """Whether a step has begun to wait for a signal, which may be there already."""

    # -- going on ----------------------------------------------------------------------------------

    def release(self, indexes: Sequence[int]) -> None:
        """Let steps start, which nothing holds back."""
        self.queue += indexes

    def go_on(self) -> None:
        """Start what nothing holds back."""
        steps, queue = self._run.plan.steps, self.queue
        for index in queue:  # it may grow meanwhile: a skipped step releases others
            if self.closed:
                break
            self._consider(steps[index])
        queue.clear()

    def close(self) -> None:
        """Start nothing new from now on."""
        self.closed = True
        self.queue.clear()

    def fail(self, failure: WorkflowFailed) -> None:
        """Let the run fail once what is under way has ended."""
        if self.failure is None:
            self.failure = failure
        self.close()
        if self._run.plan.definition.on_failure == "cancel":
            self.stop()

    def stop(self) -> None:
        """Have all attempts stopped that are under way: no compensation is, until the rest has ended."""
        # In definition order, so that runs are deterministic: sets have an order of their own.
        for attempt in sorted(self.under_way, key=_place):
            if not attempt.stopping:
                attempt.stopping = True
                self.stopping.append(attempt)

    def enter(self, index: int) -> None:
        """Go on with a step from whatever state it is in."""
        run = self._run
        plan = run.plan.steps[index]
        found = run.steps[index]
        if found is None or found.state is PENDING:
            self._consider(plan)
            return
        if found.state is RUNNING:
            # It was under way when the last coordinator ended: the same attempt runs again.
            self._guarded(plan, self._work, plan, again=True)
        elif found.state is StepState.WAITING:
            self.waits = True
        elif found.state is StepState.FAILED:
            self.fail(failure_before(run))
        if found.state in BUSY and (found.due_at is not None or found.items):
            self.timed = True
            self.tick_step(plan, found)

    def _consider(self, plan: StepPlan) -> None:
        """Start a step, skip it, or let it sleep first."""
        run = self._run
        try:
            if plan.condition is not None and not plan.condition.test(run.scope):
                why = {"reason": f"condition: {plan.condition.text}"}
                self._end(EventKind.STEP_SKIPPED, plan, 0, why)
            elif plan.delay_s:
                self.timed = True
                data = {"delay_s": plan.delay_s}
                self._notes.step(EventKind.STEP_SLEEPING, plan, 0, data)
            elif plan.plain:
                found = run.steps[plan.index]
                build = plan.build
                payload = run.default_input(plan) if build is None else build(run.scope)
                self._launch(plan, 1 if found is None else found.attempts + 1, payload)
            else:
                self._work(plan)
        except Exception as error:
            self._broken(plan, error)

    def _guarded(self, plan: StepPlan, act: Callable[..., None], *args: Any, **named: Any) -> None:
        """Do what reads the values of a run; what is wrong with them fails the step."""
        try:
            act(*args, **named)
        except Exception as error:
            self._broken(plan, error)

    def _work(self, plan: StepPlan, again: bool = False) -> None:
        """Do what the step is for; *again*: it was under way before."""
        run = self._run
        if plan.kind == WAIT:
            wait = plan.definition.wait_for
            assert wait is not None, "a step of this kind has it"
            if wait.timeout_seconds is not None:
                self.timed = True
            data = {"signal": wait.signal, "timeout_s": wait.timeout_seconds}
            self._notes.step(EventKind.STEP_WAITING, plan, 0, data)
            self.waits = True
            return
        if plan.for_each is not None:
            fan = Fan(run, plan)
            if self._fans is None:
                self._fans = {}
            self._fans[plan.index] = fan
            self._more_items(fan)
            return
        payload = run.default_input(plan) if plan.build is None else plan.build(run.scope)
        if plan.kind == PAUSE:
            self._completed(plan, 0, payload)
            return
        found = run.steps[plan.index]
        if found is None:
            self._launch(plan, 1, payload)
            return
        if found.iteration > 1:
            payload = next_input(payload, found.previous)
        number = found.attempts if again and found.attempts else found.attempts + 1
        self._launch(plan, number, payload, via=found.via, iteration=found.iteration)

    def _more_items(self, fan: Fan) -> None:
        """Start as many items of a step as may be under way; end the step after the last one."""
        while not self.closed:
            item = fan.next()
            if item is None:
                break
            self._launch_item(fan.plan, item)
        if fan.done and self._fans is not None and self._fans.pop(fan.plan.index, None) is fan:
            attempts = self._run.step(fan.plan.index).attempts
            self._end(EventKind.STEP_COMPLETED, fan.plan, attempts, {"items": fan.size})

    def _launch_item(self, plan: StepPlan, item: ItemStart) -> None:
        self._launch(plan, item.number, item.payload, item.place, item.via)

    def _launch(
        self,
        plan: StepPlan,
        number: int,
        payload: Any,
        item: int | None = None,
        via: str = "agent",
        iteration: int = 1,
    ) -> None:
        """Have an attempt made, once what led to it is written."""
        if plan.input_model is not None:
            problem = plan.input_model.problem(payload)
            if problem is not None:
                raise ValueError(f"the input of step {plan.id!r} is not as declared: {problem}")
        if via == "agent":
            target = self._bound[plan.index]
        else:
            assert plan.fallback is not None, "only steps that have it fall back"
            target = self._resolve(plan.fallback.fallback)
        attempt = StepAttempt(plan, number, payload, target)
        data: dict[str, Any] | None = None
        if item is not None or via != "agent" or iteration > 1:
            data = {}
            if item is not None:
                attempt.item = data["item"] = item
            elif iteration > 1:
                attempt.iteration = data["iteration"] = iteration
            if via != "agent":
                attempt.via = data["via"] = via
        self._notes.step(_STARTED, plan, number, data)
        self.under_way.add(attempt)
        self.launched.append(attempt)

    def add(self, attempt: StepAttempt) -> None:
        """Have *attempt* start once what led to it is written."""
        self.under_way.add(attempt)
        self.launched.append(attempt)

    # -- outcomes ----------------------------------------------------------------------------------

    def _end(self, kind: EventKind, plan: StepPlan, attempt: int, data: Any) -> None:
        """Note the end of a step, and queue the steps that need wait no longer."""
        self._notes.step(kind, plan, attempt, data)
        left = self._run.left
        for index in plan.dependents:
            if not left[index]:
                self.queue.append(index)

    def _completed(self, plan: StepPlan, attempt: int, output: Any) -> None:
        self._end(EventKind.STEP_COMPLETED, plan, attempt, {"output": output})

    def succeeded(self, attempt: StepAttempt, value: Any) -> None:
        """An attempt has returned *value*."""
        plan = attempt.plan
        output = value if value.__class__ in PLAIN else as_output(value)
        if plan.checked:
            output, problem = _checked(plan, output)
            if problem is not None:
                self.failed(attempt, OutputMismatch(plan.id, problem))
                return
        if attempt.item is not None:
            self._item_done(attempt, {"output": output})
        elif plan.iterates and not self.closed:
            self._iterated(attempt, output)
        else:
            self._end(_COMPLETED, plan, attempt.number, {"output": output})

    def _iterated(self, attempt: StepAttempt, output: Any) -> None:
        """Go round again, or end the step, as its ``until`` or its output says."""
        plan = attempt.plan
        try:
            done = is_done(plan, output, attempt.iteration, self._run.scope)
        except ExpressionError as error:
            self.failed(attempt, error)
            return
        if done:
            self._completed(plan, attempt.number, output)
            return
        data = {"iteration": attempt.iteration, "output": output}
        self._notes.step(EventKind.STEP_ITERATED, plan, attempt.number, data)
        self._guarded(plan, self._work, plan)

    def _item_done(self, attempt: StepAttempt, data: dict[str, Any]) -> None:
        """Note the outcome of one item, and go on with the others."""
        plan = attempt.plan
        assert attempt.item is not None, "called for items"
        data["item"] = attempt.item
        self._notes.step(EventKind.ITEM_COMPLETED, plan, attempt.number, data)
        fan = None if self._fans is None else self._fans.get(plan.index)
        if fan is not None and self._run.step(plan.index).state is not StepState.FAILED:
            fan.ended(attempt.item)
            self._guarded(plan, self._more_items, fan)

    def failed(self, attempt: StepAttempt, error: BaseException) -> None:
        """An attempt has failed: make another, put something in its place, or let the run fail."""
        plan = attempt.plan
        data: dict[str, Any] = {"error": error_text(error)}
        if attempt.item is not None:
            data["item"] = attempt.item
        if not self.closed and attempt.via == "agent":
            found = self._run.step(plan.index)
            before = found if attempt.item is None else found.item(attempt.item)
            limit_at = self._run.limit_at
            delay_s = pause_before_retry(
                plan.definition.retry,
                error,
                before.tries + 1,
                self._chance,
                None if limit_at is None else limit_at - self._notes.now,
            )
            if delay_s is None and plan.fallback is not None:
                delay_s = 0.0
                data["via"] = "fallback"
                self._keep_first(attempt, error)
            if delay_s is not None:
                data["delay_s"] = delay_s
                self._notes.step(EventKind.STEP_RETRYING, plan, attempt.number, data)
                self.timed = True
                self.tick_step(plan, found)
                return
        self._given_up(plan, attempt, attempt.number, error, data)

    def _broken(self, plan: StepPlan, error: BaseException) -> None:
        """A step cannot go on, because of what is wrong with the values that it reads."""
        number = self._run.step(plan.index).attempts
        self._given_up(plan, None, number, error, {"error": error_text(error)})

    def _given_up(
        self,
        plan: StepPlan,
        attempt: StepAttempt | None,
        number: int,
        error: BaseException,
        data: dict[str, Any],
    ) -> None:
        """No other attempt is made: put something in the step's place, or let the run fail."""
        default = plan.default
        if default is None and not plan.dispensable:
            first = None if attempt is None else self._first(attempt)
            if first is not None:
                data["error"] = with_first(data["error"], error_text(first))
            self._notes.step(EventKind.STEP_FAILED, plan, number, data)
            self.fail(failure_of(self._run, self._bound, plan, error, number, first))
            return
        output = None if default is None else plain(default.default)
        if attempt is not None and attempt.item is not None:
            data["output"] = output
            self._item_done(attempt, data)
        elif default is not None:
            data["output"] = output
            data["via"] = "default"
            self._end(EventKind.STEP_COMPLETED, plan, number, data)
        else:
            self._end(EventKind.STEP_SKIPPED, plan, number, data)

    def _keep_first(self, attempt: StepAttempt, error: BaseException) -> None:
        """Keep the error that a fallback is to stand in for."""
        if self._firsts is None:
            self._firsts = {}
        self._firsts[attempt.plan.index, attempt.item] = error

    def _first(self, attempt: StepAttempt) -> BaseException | str | None:
        """Return the error that *attempt* stood in for, if it is a fallback's; its text after a crash."""
        if attempt.via == "agent":
            return None
        plan, item = attempt.plan, attempt.item
        kept = None if self._firsts is None else self._firsts.get((plan.index, item))
        if kept is not None:
            return kept
        found = self._run.step(plan.index)
        return found.error if item is None else found.item(item).error

    def stopped(self, attempt: StepAttempt) -> None:
        """An attempt was stopped before it had ended."""
        if not attempt.undo and self._run.step(attempt.plan.index).state in BUSY:
            self._notes.step(EventKind.STEP_CANCELLED, attempt.plan, attempt.number)

    # -- signals and times -------------------------------------------------------------------------

    def take_signals(self, signals: list[Signal]) -> tuple[int, ...]:
        """Give *signals* to the steps that wait for them, in the order in which they came.

        What is taken leaves the list; returns the numbers of those signals.
        """
        used: tuple[int, ...] = ()
        self.waits = False
        if self.closed or not signals:
            return used
        for plan, found in zip(self._run.plan.steps, self._run.steps, strict=True):
            if found is None or found.state is not StepState.WAITING:
                continue
            signal = matching_signal(self._run, plan, signals)
            if signal is not None:
                signals.remove(signal)
                used = (*used, signal.number)
                self._signalled(plan, signal.payload)
        return used

    def _signalled(self, plan: StepPlan, payload: Any) -> None:
        output, problem = _checked(plan, plain(payload))
        if problem is not None:
            self._broken(plan, OutputMismatch(plan.id, problem))
        else:
            self._completed(plan, 0, output)

    def tick(self) -> None:
        """Go on with all steps whose time has come."""
        for plan, found in zip(self._run.plan.steps, self._run.steps, strict=True):
            if found is not None and found.state in BUSY:
                self.tick_step(plan, found)

    def tick_step(self, plan: StepPlan, found: StepRun) -> None:
        """Go on with a step if its time has come."""
        if self.closed:
            return
        now = self._notes.now + CLOCK_SLACK_S
        fan = None if self._fans is None else self._fans.get(plan.index)
        if fan is not None:
            self._guarded(plan, self._due_items, fan, now)
        if found.due_at is None or found.due_at > now:
            return
        if found.state is not StepState.WAITING:
            self._guarded(plan, self._work, plan)
            return
        wait = plan.definition.wait_for
        assert wait is not None, "only such steps wait"
        if wait.has_default:
            self._signalled(plan, wait.default)
        else:
            self._broken(plan, SignalTimeout(wait.signal, wait.timeout_seconds))

    def _due_items(self, fan: Fan, now: float) -> None:
        for item in fan.due(now):
            self._launch_item(fan.plan, item)


def _place(attempt: StepAttempt) -> tuple[int, int, int]:
    return attempt.place


def _checked(plan: StepPlan, output: Any) -> tuple[Any, str | None]:
    """Return the output of a step as declared, and what is wrong with it, if anything is."""
    if plan.output_key is not None and not isinstance(output, Mapping):
        return _checked_as({plan.output_key: output}, plan)
    return _checked_as(output, plan)


def _checked_as(output: Any, plan: StepPlan) -> tuple[Any, str | None]:
    if plan.output_model is None:
        return output, None
    return output, plan.output_model.problem(output)


def as_output(value: Any) -> Any:
    """Return what a step has made of what was answered.

    Outside a team or a choreography nothing can be handed on: what counts is the data.
    """
    return plain(value.data if value.__class__ in (Handoff, Emit) else value)
