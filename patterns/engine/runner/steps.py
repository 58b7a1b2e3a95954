"""What the steps of a run do next, and what the outcomes of their attempts mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...expressions.errors import ExpressionError
from ...vocabulary.values import Emit, Handoff
from ..definition.plan import PAUSE, WAIT
from ..definition.shapes import PLAIN, plain
from ..errors import OutputMismatch, WorkflowFailed, with_first
from ..state.events import EventKind
from ..state.failure import failure_record, recorded_failure
from ..state.status import StepState
from ..state.step_run import BUSY, ENDED, PENDING, RUNNING
from .attempt import StepAttempt
from .failures import cause_of, error_text, failure_of, pause_before_retry
from .handing import CONTAINERS, own_copy
from .items import Fan, ItemStart, session_name
from .looping import is_done, next_input
from .part import PartTarget
from .waiting import ANSWER, CLOCK_SLACK_S, SignalTimeout, matching_signal

if TYPE_CHECKING:
    from ...vocabulary.target import Askable
    from ..definition.plan import StepPlan
    from ..state.inner import InnerOutcomes
    from ..state.live import Inbox
    from ..state.run import Run
    from ..state.step_run import StepRun
    from ..store import Signal
    from .inner import InnerNote
    from .notes import Notes


Keep = Callable[[Any, Callable[[], str]], Any]
"""Returns the form that a store keeps of a value; raises what it cannot keep."""

# Looked up once: members of an enum cost as much to find as a call.
_STARTED: Final = EventKind.STEP_STARTED
_COMPLETED: Final = EventKind.STEP_COMPLETED


class CallBook(Protocol):
    """The calls of a run that is code, as its steps know them."""

    @property
    def calls(self) -> Mapping[int, Any]:
        """The calls that the code has begun in this life, by their step."""
        ...

    def target(self, plan: StepPlan, via: str, resolve: Callable[[Any], Askable]) -> Askable:
        """Return what a call asks, or what it falls back on."""
        ...

    def settled(self, index: int, error: BaseException | None = None) -> None:
        """A call has come to its end: well, or with *error*."""
        ...


class Steps:
    """Starts the steps of one run as soon as they may, and takes what comes of them.

    Owns the attempts under way and the steps with ``for_each``. Part of the run's machine.
    """

    __slots__ = (
        "_bound",
        "_chance",
        "_fans",
        "_firsts",
        "_keep",
        "_notes",
        "_resolve",
        "_run",
        "answers",
        "attached",
        "closed",
        "failure",
        "given",
        "launched",
        "queue",
        "script",
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
        keep: Keep | None = None,
    ) -> None:
        self._run = run
        self._notes = notes
        self._bound = bound
        self._resolve = resolve
        self._chance = chance
        self._keep = keep
        """Of a stored run. What its steps, its conditions and its callers see is what is stored, at
        once, and it cannot be changed afterwards: so a crash changes nothing."""
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
        self.attached: list[StepAttempt] = []
        """Those of them that had started before, with a part that is only to be found again."""
        self.stopping: list[StepAttempt] = []
        """Those of them that are to be stopped."""
        self.answers: list[tuple[InnerNote, Any]] = []
        """Answers to questions of attempts under way, which are told once they are written."""
        self.closed = False
        """Whether nothing new is started: the run fails, or is being cancelled."""
        self.failure: WorkflowFailed | None = None
        """The first failure, which is the one that the run fails with."""
        self.timed = False
        """Whether something may wait for a time. Looking at all steps for it costs time itself."""
        self.waits = False
        """Whether a step has begun to wait for a signal, which may be there already."""
        self.script: CallBook | None = None
        """What is told how calls end, if the run is code."""
        self.given: Callable[[StepPlan], Any] = run.default_input
        """Returns the input of a step that declares none."""

    # -- going on ----------------------------------------------------------------------------------

    def release(self, indexes: Sequence[int]) -> None:
        """Let steps start, which nothing holds back."""
        self.queue += indexes

    def go_on(self) -> None:
        """Start what nothing holds back."""
        run, queue = self._run, self.queue
        steps = run.plan.steps
        for index in queue:  # it may grow meanwhile: a skipped step releases others
            if self.closed:
                break
            found = run.steps[index]
            if found is None or found.state is PENDING:
                self._consider(steps[index])
            elif found.waits and steps[index].kind == WAIT:
                # Held back by a step that a new definition put before it; a signal may have come
                # meanwhile, which counts although its time may be over by now.
                self.waits = self.timed = True
            elif found.state in BUSY:
                self.enter(index)
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

    def stop(self, *, only_parts: bool = False) -> None:
        """Have all attempts stopped that are under way: no compensation is, until the rest has ended."""
        # In definition order, so that runs are deterministic: sets have an order of their own.
        for attempt in sorted(self.under_way, key=_place):
            if not attempt.stopping and (attempt.part or not only_parts):
                attempt.stopping = True
                self.stopping.append(attempt)

    @property
    def only_parked(self) -> bool:
        """Whether all that is under way are parts that only wait."""
        return all(attempt.parked and not attempt.stopping for attempt in self.under_way)

    @property
    def only_waiting(self) -> bool:
        """Whether all that is under way are parts that only wait, and attempts that wait for answers."""
        return all(
            (attempt.parked or attempt.quiet) and not attempt.stopping for attempt in self.under_way
        )

    def attach(self) -> None:
        """Take up again what is under way in parts, and nothing else: it is to be stopped."""
        for plan, found in zip(self._run.plan.steps, self._run.steps, strict=True):
            if found is None or not found.part:
                continue
            if plan.for_each is not None:
                self._attach_items(plan, found)
            elif found.state is RUNNING:
                self._attach(plan, found.attempts, None, found.via, found.iteration)

    def _attach_items(self, plan: StepPlan, found: StepRun) -> None:
        """Take up again what is under way of a list, also where another item has failed already."""
        for index, item in sorted((found.items or {}).items()):
            if item.running and item.part:
                self._attach(plan, item.attempts, index, item.via, 1)

    def _attach(
        self, plan: StepPlan, number: int, item: int | None, via: str, iteration: int
    ) -> None:
        attempt = StepAttempt(plan, number, None, self._bound[plan.index])
        attempt.item, attempt.via, attempt.iteration = item, via, iteration
        self._take_up(attempt)

    def _take_up(self, attempt: StepAttempt) -> None:
        attempt.part = attempt.again = True
        attempt.generation = self._generation(attempt)
        self.under_way.add(attempt)
        self.attached.append(attempt)

    def _generation(self, attempt: StepAttempt) -> int:
        # Nothing is made of it here: a call of code is recorded with the first event of its step.
        found = self._run.steps[attempt.plan.index]
        if found is None:
            return self._run.round_of(attempt.plan.id)[1]
        if attempt.item is None:
            return found.generation
        return found.generation + found.item(attempt.item).generation

    def form_of(self, value: Any, what: Callable[[], str]) -> Any:
        """Return *value* as the store of the run keeps it; as it is, if it is not stored."""
        return value if self._keep is None else self._keep(value, what)

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
            if found.asks:
                self.waits = True  # the answer may be there
                return
            if plan.kind != WAIT:
                self._guarded(plan, self._work, plan)  # a new definition made something else of it
                return
            self.waits = True
        elif found.state is StepState.FAILED:
            self.fail(recorded_failure(run))
            self._attach_items(plan, found)
        if found.state in BUSY and (found.due_at is not None or found.items):
            self.timed = True
            self.tick_step(plan, found)

    def repeat(self) -> None:
        """Begin again what was under way when the last coordinator ended, and nothing else."""
        for plan, found in zip(self._run.plan.steps, self._run.steps, strict=True):
            if found is not None and found.state is RUNNING:
                if plan.for_each is None:
                    self._guarded(plan, self._work, plan, again=True)
                else:
                    self._guarded(plan, self._repeat_items, plan)

    def _repeat_items(self, plan: StepPlan) -> None:
        fan = Fan(self._run, plan)
        if self._fans is None:
            self._fans = {}
        self._fans[plan.index] = fan
        for item in fan.begun():
            self._launch_item(plan, item)

    def begin(self, plan: StepPlan) -> None:
        """Start a step that has just become known."""
        self._consider(plan)

    def begin_again(self, plan: StepPlan) -> None:
        """Start a step again, the same attempt, that was stopped without reason."""
        if plan.delay_s:
            self._consider(plan)
        else:
            self._guarded(plan, self._work, plan, again=True)

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
                payload = self.given(plan) if build is None else build(run.scope)
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
            if fan.asks:
                self.waits = True
            self._more_items(fan)
            return
        payload = self.given(plan) if plan.build is None else plan.build(run.scope)
        if plan.kind == PAUSE:
            self._completed(plan, 0, self._kept(plan, payload))
            return
        found = run.steps[plan.index]
        if found is None:
            self._launch(plan, 1, payload)
            return
        if found.iteration > 1:
            payload = next_input(payload, found.previous)
        number = found.attempts if again and found.attempts else found.attempts + 1
        there = again and found.part
        self._launch(plan, number, payload, None, found.via, found.iteration, there)

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
        items = self._run.step(plan.index).items
        state = None if items is None else items.get(item.place)
        there = state is not None and state.part and state.running
        self._launch(
            plan, item.number, item.payload, item.place, item.via, there=there, session=item.session
        )

    def _launch(
        self,
        plan: StepPlan,
        number: int,
        payload: Any,
        item: int | None = None,
        via: str = "agent",
        iteration: int = 1,
        there: bool = False,
        session: str | None = None,
    ) -> None:
        """Have an attempt made, once what led to it is written; *there*: its part has begun."""
        if plan.input_model is not None:
            problem = plan.input_model.problem(payload)
            if problem is not None:
                raise ValueError(f"the input of step {plan.id!r} is not as declared: {problem}")
        script = self.script
        if script is not None:
            target = script.target(plan, via, self._resolve)
        elif via == "agent":
            target = self._bound[plan.index]
        else:
            assert plan.fallback is not None, "only steps that have it fall back"
            target = self._resolve(plan.fallback.fallback)
        if self._keep is not None and (plan.foreign or payload.__class__ in CONTAINERS):
            payload = self.handed(plan, payload)
        attempt = StepAttempt(plan, number, payload, target)
        if plan.session is not None:
            named = session_name(plan, self._run.scope) if item is None else session
            attempt.session = named
        data: dict[str, Any] | None = None
        if item is not None or via != "agent" or iteration > 1:
            data = {}
            if item is not None:
                attempt.item = data["item"] = item
            elif iteration > 1:
                attempt.iteration = data["iteration"] = iteration
            if via != "agent":
                attempt.via = data["via"] = via
        if isinstance(target, PartTarget):
            if there:
                self._take_up(attempt)
                return
            data = self._as_part(attempt, data or {})
        self._notes.step(_STARTED, plan, number, data)
        self.under_way.add(attempt)
        self.launched.append(attempt)

    def _as_part(self, attempt: StepAttempt, data: dict[str, Any]) -> dict[str, Any]:
        """Let a part work on *attempt*; return what its record says of that."""
        attempt.part = data["part"] = True
        attempt.generation = self._generation(attempt)
        if attempt.plan.timeout_s is not None:
            data["timeout_s"] = attempt.plan.timeout_s
            self.timed = True
        return data

    def add(self, attempt: StepAttempt) -> None:
        """Have *attempt* start once what led to it is written."""
        self.under_way.add(attempt)
        self.launched.append(attempt)

    # -- outcomes ----------------------------------------------------------------------------------

    def _end(self, kind: EventKind, plan: StepPlan, attempt: int, data: Any) -> None:
        """Note the end of a step, and queue the steps that need wait no longer."""
        self._notes.step(kind, plan, attempt, data)
        if self.script is not None:
            self.script.settled(plan.index)
            return
        run = self._run
        left, steps = run.left, run.steps
        for index in plan.dependents if run.waiters is None else run.dependents(plan):
            # One that had ended before this step was undone, and made anew, is not made again.
            if not left[index] and ((found := steps[index]) is None or found.state not in ENDED):
                self.queue.append(index)

    def _completed(self, plan: StepPlan, attempt: int, output: Any) -> None:
        self._end(EventKind.STEP_COMPLETED, plan, attempt, {"output": output})

    def succeeded(self, attempt: StepAttempt, value: Any) -> None:
        """An attempt has returned *value*."""
        plan, keep = attempt.plan, self._keep
        if keep is None:
            output = value if value.__class__ in PLAIN else as_output(value)
            if plan.checked:
                output, problem = _checked(plan, output)
                if problem is not None:
                    self.failed(attempt, OutputMismatch(plan.id, problem))
                    return
        else:
            try:
                if plan.checked or value.__class__ not in PLAIN:
                    output = self._kept(plan, value)
                else:
                    output = keep(value, plan.output_name)
            except Exception as error:
                self.failed(attempt, error)
                return
        if attempt.item is not None:
            self._item_done(attempt, {"output": output})
        elif plan.iterates and not self.closed:
            self._iterated(attempt, output)
        else:
            data = {"output": output}
            attempt.tell_usage(self._run, data)
            self._end(_COMPLETED, plan, attempt.number, data)

    # -- what is stored ----------------------------------------------------------------------------

    def _kept(self, plan: StepPlan, value: Any) -> Any:
        """Return what a step has made of *value*, in a stored run in the form that is stored.

        Raises what is wrong with it: it fails the step, like an error of its agent.
        """
        if value.__class__ is Handoff or value.__class__ is Emit:
            value = value.data  # as in `as_output`
        if plan.checked:
            seen = plain(value)
            checked, problem = _checked(plan, seen)
            if problem is not None:
                raise OutputMismatch(plan.id, problem)
            if checked is not seen:
                value = {plan.output_key: value}
        keep = self._keep
        if keep is None:
            return plain(value)
        return keep(value, plan.output_name)

    def handed(self, plan: StepPlan, payload: Any) -> Any:
        """Return *payload* as the work on a step gets it: of a stored run a copy, to be changed at
        will.
        """
        if self._keep is None:
            return payload
        if plan.foreign:
            return self._keep(payload, lambda: f"the input of step {plan.id!r}")
        return own_copy(payload)

    def collected(self) -> Any:
        """Return the result of the run, which has completed."""
        run = self._run
        result = run.collect()
        if self._keep is not None and run.plan.foreign:
            return self._keep(result, lambda: f"the result of workflow {run.plan.name!r}")
        return result

    def _iterated(self, attempt: StepAttempt, output: Any) -> None:
        """Go round again, or end the step, as its ``until`` or its output says."""
        plan = attempt.plan
        try:
            done = is_done(plan, output, attempt.iteration, self._run.scope)
        except ExpressionError as error:
            self.failed(attempt, error)
            return
        if done:
            ended = {"output": output}
            attempt.tell_usage(self._run, ended)
            self._end(_COMPLETED, plan, attempt.number, ended)
            return
        data = {"iteration": attempt.iteration, "output": output}
        attempt.tell_usage(self._run, data)
        self._notes.step(EventKind.STEP_ITERATED, plan, attempt.number, data)
        self._guarded(plan, self._work, plan)

    def _item_done(self, attempt: StepAttempt, data: dict[str, Any]) -> None:
        """Note the outcome of one item, and go on with the others."""
        plan = attempt.plan
        assert attempt.item is not None, "called for items"
        data["item"] = attempt.item
        attempt.tell_usage(self._run, data)
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
        if attempt.part:
            if isinstance(error, OutputMismatch):
                data["anew"] = True
            data |= attempt.undone or {}
        attempt.tell_usage(self._run, data)
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
            if self.script is not None:
                data["kind"] = type(cause_of(error)).__name__
                if isinstance(error, TimeoutError):
                    data["timed_out"] = True
                self._notes.step(EventKind.STEP_FAILED, plan, number, data)
                self.script.settled(plan.index, cause_of(error))
                return
            failure = failure_of(self._run, self._bound, plan, error, number, first)
            data["failure"] = failure_record(failure)
            self._notes.step(EventKind.STEP_FAILED, plan, number, data)
            self.fail(failure)
            return
        output = None if default is None else self._default(plan, default.default)
        if attempt is not None and attempt.item is not None:
            data["output"] = output
            self._item_done(attempt, data)
        elif default is not None:
            data["output"] = output
            data["via"] = "default"
            self._end(EventKind.STEP_COMPLETED, plan, number, data)
        else:
            self._end(EventKind.STEP_SKIPPED, plan, number, data)

    def _default(self, plan: StepPlan, declared: Any) -> Any:
        keep = self._keep
        if keep is None:
            return plain(declared)
        return keep(declared, lambda: f"the default of step {plan.id!r}")

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
        if attempt.undo:
            return
        if attempt.parking and not self.closed:
            self._parked(attempt)
            return
        state = self._run.step(attempt.plan.index).state
        if state in BUSY or (state is StepState.CANCELLED and attempt.undone is not None):
            data: dict[str, Any] = {}
            if attempt.undone is not None:
                data = {**attempt.undone}
                if attempt.item is not None:
                    data["item"] = attempt.item
            attempt.tell_usage(self._run, data)
            self._notes.step(EventKind.STEP_CANCELLED, attempt.plan, attempt.number, data or None)

    # -- questions ---------------------------------------------------------------------------------

    def asked(self, note: InnerNote) -> None:
        """A handler of an attempt under way asks something."""
        attempt = note.attempt
        plan, place = attempt.plan, note.data["place"]
        inner = self._inner(plan, attempt.item)
        if inner is not None and place in inner.outputs and not attempt.parking:
            # It was answered after the handler had looked, before this came here.
            self.answers.append((note, inner.outputs[place]))
            return
        if attempt.asking is None:
            attempt.asking = {}
        attempt.asking[place] = note
        if inner is None or place not in inner.questions:
            attempt.tell_usage(self._run, note.data)
            self._notes.step(EventKind.QUESTION_ASKED, plan, attempt.number, note.data)
        self.waits = True  # the answer may be there

    def park(self, attempt: StepAttempt) -> None:
        """Have an attempt stopped whose handlers only wait for answers."""
        attempt.parking = attempt.stopping = True
        self.stopping.append(attempt)

    def _parked(self, attempt: StepAttempt) -> None:
        """An attempt has been let go of. If it was answered meanwhile, it begins again at once."""
        plan, asking = attempt.plan, attempt.asking or {}
        attempt.asking = None
        inner = self._inner(plan, attempt.item)
        still = inner is not None and all(place in inner.questions for place in asking)
        data: dict[str, Any] = {} if attempt.item is None else {"item": attempt.item}
        if still and asking:
            attempt.tell_usage(self._run, data)
            self._notes.step(EventKind.STEP_PARKED, plan, attempt.number, data or None)
            fan = None if self._fans is None else self._fans.get(plan.index)
            if fan is not None and attempt.item is not None:
                fan.park(attempt.item)
                self._guarded(plan, self._more_items, fan)
        else:
            self._guarded(plan, self._again, plan, attempt.item)
        for note in asking.values():
            note.put_off()

    def _again(self, plan: StepPlan, item: int | None) -> None:
        """Have the handler of a step, or of an item, called again: it is the same attempt."""
        if item is None:
            self._work(plan, again=True)
            return
        fan = None if self._fans is None else self._fans.get(plan.index)
        if fan is not None:
            fan.again(item)
            self._more_items(fan)

    def _inner(self, plan: StepPlan, item: int | None) -> InnerOutcomes | None:
        found = self._run.step(plan.index)
        return found.inner if item is None else found.item(item).inner

    def _take_answers(self, signals: Inbox) -> tuple[int, ...]:
        """Give the answers among *signals* to the steps that wait for them; return their numbers."""
        used: tuple[int, ...] = ()
        answers = {s.name: s for s in reversed(list(signals)) if s.name.startswith(ANSWER)}
        if not answers:
            return used
        for plan, found in zip(self._run.plan.steps, self._run.steps, strict=True):
            if found is None or found.state not in BUSY or self._run.held(plan.index):
                continue
            if self.script is not None and plan.index not in self.script.calls:
                continue  # the code has not come to it again
            for item, question in found.open_questions():
                signal = answers.pop(f"{ANSWER}{question.id}", None)
                if signal is not None:
                    signals.remove(signal)
                    used = (*used, signal.number)
                    self._give_answer(plan, item, question.data, signal)
        return used

    def _give_answer(
        self, plan: StepPlan, item: int | None, asked: Mapping[str, Any], signal: Signal
    ) -> None:
        found = self._run.step(plan.index)
        unit = found if item is None else found.item(item)
        parked, place = unit.asks, asked["place"]
        data = {"question": asked["question"], "place": place, "name": asked["name"]}
        data["output"] = signal.payload
        if signal.number:
            data["signal"] = signal.number
        if item is not None:
            data["item"] = item
        self._notes.step(EventKind.QUESTION_ANSWERED, plan, unit.attempts, data)
        if parked:
            if not unit.asks:
                self._guarded(plan, self._again, plan, item)
            return
        for attempt in self.under_way:
            if attempt.parking:
                continue  # it is on its way to its end, and begins again after that
            if attempt.plan is plan and attempt.item == item and attempt.asking is not None:
                note = attempt.asking.pop(place, None)
                if note is not None:
                    self.answers.append((note, signal.payload))

    # -- signals and times -------------------------------------------------------------------------

    def take_signals(self, signals: Inbox) -> tuple[int, ...]:
        """Give *signals* to the steps that wait for them, in the order in which they came.

        What is taken leaves the list; returns the numbers of those signals.
        """
        used: tuple[int, ...] = ()
        self.waits = False
        if self.closed or not signals:
            return used
        used = self._take_answers(signals)
        for plan, found in zip(self._run.plan.steps, self._run.steps, strict=True):
            if found is None or not found.waits:
                continue
            if self._run.held(plan.index):
                continue
            signal = matching_signal(self._run, plan, signals)
            if signal is not None:
                signals.remove(signal)
                used = (*used, signal.number)
                self._signalled(plan, signal.payload)
        return used

    def _signalled(self, plan: StepPlan, payload: Any) -> None:
        try:
            output = self._kept(plan, payload)
        except Exception as error:
            self._broken(plan, error)
        else:
            self._completed(plan, 0, output)

    def tick(self) -> None:
        """Go on with all steps whose time has come."""
        for plan, found in zip(self._run.plan.steps, self._run.steps, strict=True):
            if found is not None and found.state in BUSY:
                self.tick_step(plan, found)

    def tick_step(self, plan: StepPlan, found: StepRun) -> None:
        """Go on with a step if its time has come."""
        if self.script is not None and plan.index not in self.script.calls:
            return
        now = self._notes.now + CLOCK_SLACK_S
        if found.part and found.state is RUNNING:
            self._stop_overdue(plan, found, now)
        if self.closed or self._run.held(plan.index):
            return
        fan = None if self._fans is None else self._fans.get(plan.index)
        if fan is not None:
            self._guarded(plan, self._due_items, fan, now)
        if found.due_at is None or found.due_at > now or found.state is RUNNING:
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

    def _stop_overdue(self, plan: StepPlan, found: StepRun, now: float) -> None:
        """Have the parts of a step stopped whose time is over."""
        for attempt in sorted(self.under_way, key=_place):
            if attempt.plan is not plan or not attempt.part or attempt.undo or attempt.overdue:
                continue
            unit = found if attempt.item is None else found.item(attempt.item)
            if unit.due_at is not None and unit.due_at <= now:
                unit.due_at = None
                attempt.overdue = True
                if not attempt.stopping:
                    attempt.stopping = True
                    self.stopping.append(attempt)

    def part_due(self) -> float | None:
        """Return when the next time limit of a part is over."""
        due: float | None = None
        for attempt in self.under_way:
            if attempt.part and not attempt.undo:
                found = self._run.step(attempt.plan.index)
                unit = found if attempt.item is None else found.item(attempt.item)
                if unit.due_at is not None and (due is None or unit.due_at < due):
                    due = unit.due_at
        return due

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
