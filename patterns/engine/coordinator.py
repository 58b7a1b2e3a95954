"""The actor that takes one run from event to event until it ends or has to wait.

It never waits itself: agents are asked by its workers, the store calls back, and a run that only
waits for a signal or a time needs no coordinator at all. So it is always ready to be told of a
signal or a cancellation, and a new one can go on from the run's state at any moment; that is how
parked, resumed and recovered runs go on, too.

What happens is applied to the run at once and journaled in groups; whatever follows from it that
can be seen outside (an agent that is asked, an answer to who waits) happens after the store has
acknowledged the group.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from agenticaiframework.actors import Actor, ActorDied, Agent, AgentFailed, Exit

from ..expressions import ExpressionError
from ..policy import Retry
from ..values import Emit, Handoff
from .errors import OutputMismatch, WorkflowCancelled, WorkflowFailed, WorkflowTimedOut, describe
from .plan import ASK, PAUSE, WAIT, StepPlan
from .run import BUSY, ENDED, Run, StepRun
from .shapes import kind_of, plain
from .status import CancelReport, StepState, WorkflowState
from .store import Record, RunUpdate
from .work import Unit, Worker
from .workflow_events import LAST, EventKind, WorkflowEvent

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, Timer

    from .core import EngineCore

NUDGE: Final = "nudge"
"""Told to a coordinator: the run has a new signal or a cancellation."""

TICK: Final = "tick"
"""Told by its own timer: a time that the run waits for has come."""


class Acknowledged:
    """The store has written a group of events, or failed to."""

    __slots__ = ("error", "events", "units")

    def __init__(self, units: list[Unit], events: list[WorkflowEvent]) -> None:
        self.units = units
        self.events = events
        self.error: BaseException | None = None


class Cancellation:
    """A cancellation that somebody asked for."""

    __slots__ = ("compensate", "graceful", "reason", "requests")

    def __init__(self, reason: str, *, graceful: bool, compensate: bool) -> None:
        self.reason = reason
        self.graceful = graceful
        self.compensate = compensate
        self.requests: list[Any] = []
        """Answered with a `CancelReport` when it has been carried out."""


class TimeLimit(TimeoutError):
    """A workflow took longer than its ``timeout_seconds``."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the workflow took longer than its timeout_seconds ({timeout_s:g})")


class SignalTimeout(TimeoutError):
    """A signal that a step waits for did not come in time."""

    def __init__(self, signal: str, timeout_s: float | None) -> None:
        within = "in time" if timeout_s is None else f"within {timeout_s:g} s"
        super().__init__(
            f"the signal {signal!r} did not come {within}, and wait_for has no default"
        )


class Coordinator(Actor):
    """Runs one `Run`, which it owns while it lives. Its workers are linked to it."""

    __slots__ = (
        "_active",
        "_asked",
        "_cancelling",
        "_core",
        "_ending",
        "_events",
        "_fans",
        "_free",
        "_opening",
        "_outbox",
        "_queue",
        "_records",
        "_stopped",
        "_stored_state",
        "_timer",
        "_timer_at",
        "_undo",
        "_unwritten",
        "_used_signals",
        "_workers",
        "run",
    )

    def __init__(
        self, run: Run, core: EngineCore, opening: tuple[tuple[EventKind, Any], ...] = ()
    ) -> None:
        super().__init__()
        self.trap_exit = True
        self.run = run
        self._core = core
        self._opening = opening
        self._queue: deque[int] = deque()
        """Steps that nothing holds back any more."""
        self._outbox: list[Unit] = []
        """Attempts that start once what led to them is written."""
        self._records: list[Record] = []
        self._events: list[WorkflowEvent] = []
        self._used_signals: list[int] = []
        self._unwritten = 0
        """Groups of events that the store has not acknowledged."""
        self._workers: dict[ActorRef[Any], Unit] = {}
        """Each busy worker with what it works on."""
        self._free: list[ActorRef[Any]] = []
        self._asked: set[Unit] = set()
        """Attempts whose agents have been asked directly."""
        self._fans: dict[int, Fan] = {}
        """The steps with ``for_each`` that are under way, by index."""
        self._active = 0
        """Attempts under way, those in the outbox included."""
        self._ending = False
        """Whether the last event of the run has happened."""
        self._cancelling: Cancellation | None = None
        self._stopped: list[str] = []
        self._undo: list[int] | None = None
        """Steps whose compensations are still to be run, the next one last."""
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._stored_state: str | None = None

    # -- messages --------------------------------------------------------------------------------

    def on_start(self) -> None:
        run = self.run
        run.ref = self.actor_ref
        self._stored_state = str(run.state)
        for kind, data in self._opening:
            self._happened(kind, data=data)
        if run.started_at is None:
            self._happened(EventKind.WORKFLOW_STARTED, data={"workflow": run.plan.name})
        if run.state is WorkflowState.COMPENSATING:
            self._begin_undo()
        elif run.state is WorkflowState.CANCELLING and run.cancel is None:
            run.cancel = Cancellation(run.reason or "cancelled", graceful=False, compensate=True)
        if run.cancel is not None:
            self._cancel()
        elif self._undo is None:
            if run.state is not WorkflowState.RUNNING:
                run.state = WorkflowState.RUNNING
            for index in run.ready():
                self._enter(index)
        self._continue()

    def on_receive(self, message: Any) -> None:
        cls = message.__class__
        if cls is Unit:
            self._worked(message)
        elif cls is Acknowledged:
            self._acknowledged(message)
        elif cls is Exit:
            self._worker_ended(message)
        elif cls is Turn:
            self._turn(message.unit)
        elif cls is UndoAgain:
            self._active -= 1
            self._next_undo()
        elif message == NUDGE:
            if self.run.cancel is not None and self._cancelling is None:
                self._cancel()
            else:
                self._take_signals()
        elif message == TICK:
            self._timer = None
            self._tick()
        if not self._ending or self._events or self._records:
            self._continue()

    # -- what happens ----------------------------------------------------------------------------

    def _happened(
        self, kind: EventKind, step: str = "", attempt: int = 0, data: Any = None
    ) -> None:
        run = self.run
        now = self._core.now()
        if run.persist:
            self._records.append(Record(kind, step, attempt, data))
        if run.listeners is not None:
            self._events.append(WorkflowEvent(kind, run.id, step, attempt, data, now))
        run.apply(kind, step, attempt, data, now)

    def _ended(self, kind: EventKind, plan: StepPlan, attempt: int, data: Any) -> None:
        """Note the end of a step, and queue the steps that need wait no longer."""
        left = self.run.left
        self._happened(kind, plan.id, attempt, data)
        self._queue.extend([index for index in plan.dependents if not left[index]])

    # -- entering steps --------------------------------------------------------------------------

    def _enter(self, index: int) -> None:
        """Go on with a step from whatever state it is in."""
        run = self.run
        plan = run.plan.steps[index]
        found = run.steps[index]
        if found is None or found.state is StepState.PENDING:
            self._consider(plan)
        elif found.state is StepState.RUNNING:
            # It was under way when the last coordinator ended: the same attempt runs again.
            self._guarded(plan, self._work, plan, True)
        elif found.state is StepState.WAITING:
            self._take_signals()
        elif found.state is StepState.FAILED:
            self._fail(None)
        if found is not None and found.state in BUSY:
            self._tick_step(plan, found)

    def _guarded(self, plan: StepPlan, act: Any, *args: Any) -> None:
        """Do what reads the values of a run; what is wrong with them fails the step."""
        try:
            act(*args)
        except Exception as error:
            self._failed(plan, None, error)

    def _consider(self, plan: StepPlan) -> None:
        """Start a step, skip it, or let it sleep first."""
        run = self.run
        if plan.condition is not None:
            try:
                wanted = plan.condition.test(run.scope)
            except ExpressionError as error:
                self._failed(plan, None, error)
                return
            if not wanted:
                data = {"reason": f"condition: {plan.condition.text}"}
                self._ended(EventKind.STEP_SKIPPED, plan, 0, data)
                return
        if plan.delay_s:
            self._happened(EventKind.STEP_SLEEPING, plan.id, 0, {"delay_s": plan.delay_s})
            return
        self._guarded(plan, self._work, plan, False)

    def _work(self, plan: StepPlan, again: bool) -> None:
        """Do what the step is for."""
        if plan.kind == WAIT:
            wait = plan.definition.wait_for
            assert wait is not None, "a step of this kind has it"
            data = {"signal": wait.signal, "timeout_s": wait.timeout_seconds}
            self._happened(EventKind.STEP_WAITING, plan.id, 0, data)
            self._take_signals()
        elif plan.kind == PAUSE:
            output = self._payload(plan)
            self._ended(EventKind.STEP_COMPLETED, plan, 0, {"output": output})
        elif plan.for_each is not None:
            self._expand(plan)
        else:
            found = self.run.step(plan.index)
            payload = self._payload(plan)
            if found.iteration > 1:
                payload = next_input(payload, found.previous)
            attempt = found.attempts if again and found.attempts else found.attempts + 1
            self._launch(plan, attempt, payload, found.via)

    def _payload(self, plan: StepPlan) -> Any:
        run = self.run
        if plan.build is not None:
            return plan.build(run.scope)
        return run.default_input(plan)

    def _launch(
        self,
        plan: StepPlan,
        attempt: int,
        payload: Any,
        via: str = "agent",
        item: int | None = None,
    ) -> None:
        """Have an attempt made."""
        run = self.run
        core = self._core
        shape = plan.definition.input_model
        if shape is not None:
            problem = shape.problem(payload)
            if problem is not None:
                raise ValueError(f"the input of step {plan.id!r} is not as declared: {problem}")
        target = run.bound[plan.index] if via == "agent" else core.resolve_fallback(plan)
        timeout_s = plan.definition.timeout_seconds or core.default_timeout_s
        unit = Unit(plan, attempt, payload, target, timeout_s, self.actor_ref)
        data: dict[str, Any] | None = None
        if item is not None:
            unit.item = item
            data = {"item": item}
        else:
            found = run.step(plan.index)
            if found.iteration > 1:
                unit.iteration = found.iteration
                data = {"iteration": found.iteration}
        if via != "agent":
            unit.via = via
            data = {**(data or {}), "via": via}
        self._happened(EventKind.STEP_STARTED, plan.id, attempt, data)
        self._active += 1
        self._outbox.append(unit)

    # -- for each item ---------------------------------------------------------------------------

    def _expand(self, plan: StepPlan) -> None:
        """Start as many items of a step as may run at the same time."""
        run = self.run
        assert plan.for_each is not None, "called for steps that have it"
        items: Any = plan.for_each.build(run.scope)
        if not isinstance(items, (list, tuple)):
            raise TypeError(
                f"for_each of step {plan.id!r} needs a list, and "
                f"{plan.definition.for_each} is {kind_of(items)}"
            )
        found = run.step(plan.index)
        if found.items is None:
            found.items = {}
        fan = Fan(plan, list(cast("list[Any]", items)))
        if len(fan.items) > MAX_ITEMS:
            raise ValueError(
                f"for_each of step {plan.id!r} has {len(fan.items):,} items, over {MAX_ITEMS:,}"
            )
        self._fans[plan.index] = fan
        for index in range(len(fan.items)):
            state = found.items.get(index)
            if state is None or (not state.done and state.due_at is None):
                fan.waiting.append(index)
            elif state.done:
                fan.done += 1
            else:
                fan.running += 1
        if fan.done == len(fan.items):
            data = {"items": fan.done}
            self._ended(EventKind.STEP_COMPLETED, plan, found.attempts, data)
        else:
            self._more_items(fan)

    def _more_items(self, fan: Fan) -> None:
        plan = fan.plan
        states = self.run.step(plan.index).items or {}
        while fan.waiting and fan.running < fan.limit and not self._stopping:
            index = fan.waiting.popleft()
            fan.running += 1
            state = states.get(index)
            attempt = 1
            via = "agent"
            if state is not None:
                # One that was under way when the last coordinator ended is the same attempt again.
                attempt = state.attempts if state.running else state.attempts + 1
                via = state.via
            self._launch_item(plan, index, fan.items[index], attempt, via)

    def _launch_item(self, plan: StepPlan, index: int, item: Any, attempt: int, via: str) -> None:
        if plan.build is None:
            payload = item
        else:
            payload = plan.build({**self.run.scope, "item": item, "index": index})
        self._launch(plan, attempt, payload, via, index)

    def _item_done(self, unit: Unit, data: Mapping[str, Any]) -> None:
        """Note the outcome of one item, and end the step after the last one."""
        run = self.run
        plan = unit.plan
        self._happened(EventKind.ITEM_COMPLETED, plan.id, unit.attempt, {"item": unit.item, **data})
        found = run.step(plan.index)
        fan = self._fans.get(plan.index)
        if fan is None or found.state is StepState.FAILED:
            return
        fan.done += 1
        fan.running -= 1
        if fan.done == len(fan.items):
            del self._fans[plan.index]
            self._ended(EventKind.STEP_COMPLETED, plan, found.attempts, {"items": fan.done})
        elif fan.waiting:
            self._guarded(plan, self._more_items, fan)

    # -- work that has ended -----------------------------------------------------------------------

    def _worked(self, unit: Unit) -> None:
        worker = unit.worker
        if worker is None:
            if unit not in self._asked:
                return  # it was stopped, and answered all the same
            self._asked.discard(unit)
        else:
            if self._workers.get(worker) is not unit:
                return
            del self._workers[worker]
            self._free.append(worker)
        self._active -= 1
        self._core.work_ended(self.run, unit)
        if unit.error is None:
            self._succeeded(unit)
        elif unit.undo:
            self._undo_failed(unit, unit.error)
        else:
            self._failed(unit.plan, unit, unit.error)

    def _worker_ended(self, exit: Exit) -> None:
        ref = exit.ref
        if ref is None:
            return
        unit = self._workers.pop(ref, None)
        if unit is None:
            if ref in self._free:
                self._free.remove(ref)
            return
        self._active -= 1
        unit.error = ActorDied(ref, exit.reason)
        self._core.work_ended(self.run, unit)
        if unit.stopping:
            self._work_stopped(unit)
        elif unit.undo:
            self._undo_failed(unit, unit.error)
        else:
            self._failed(unit.plan, unit, unit.error)

    def _work_stopped(self, unit: Unit) -> None:
        """Note that an attempt was stopped before it had ended."""
        if not unit.undo and self.run.step(unit.plan.index).state in BUSY:
            self._happened(EventKind.STEP_CANCELLED, unit.plan.id, unit.attempt)

    def _succeeded(self, unit: Unit) -> None:
        plan = unit.plan
        if unit.undo:
            self._happened(EventKind.COMPENSATION_COMPLETED, plan.id, unit.attempt)
            self._next_undo()
            return
        step = plan.definition
        output = unit.value
        if isinstance(output, (Handoff, Emit)):
            # Outside a team or a choreography there is nobody to hand on to: what counts is the data.
            output = output.data
        output = plain(output)
        if step.output_key is not None and not isinstance(output, Mapping):
            output = {step.output_key: output}
        if step.output_model is not None:
            problem = step.output_model.problem(output)
            if problem is not None:
                self._failed(plan, unit, OutputMismatch(plan.id, problem))
                return
        if unit.item is not None:
            self._item_done(unit, {"output": output})
            return
        if plan.iterates and not self._stopping:
            self._iterated(unit, output)
            return
        self._completed(unit, output)

    def _completed(self, unit: Unit, output: Any, **more: Any) -> None:
        data = {"output": output, **more} if more else {"output": output}
        self._ended(EventKind.STEP_COMPLETED, unit.plan, unit.attempt, data)

    def _iterated(self, unit: Unit, output: Any) -> None:
        """Go round again, or end the step, as its ``until`` or its output says."""
        plan = unit.plan
        try:
            done = is_done(plan, output, unit.iteration, self.run.scope)
        except ExpressionError as error:
            self._failed(plan, unit, error)
            return
        if done:
            self._completed(unit, output)
            return
        data = {"iteration": unit.iteration, "output": output}
        self._happened(EventKind.STEP_ITERATED, plan.id, unit.attempt, data)
        self._guarded(plan, self._work, plan, False)

    # -- failures ----------------------------------------------------------------------------------

    def _failed(self, plan: StepPlan, unit: Unit | None, error: BaseException) -> None:
        """Decide what a failed attempt means: another one, something in its place, or the end."""
        run = self.run
        found = run.step(plan.index)
        attempt = found.attempts if unit is None else unit.attempt
        via = "agent" if unit is None else unit.via
        item = None if unit is None else unit.item
        data: dict[str, Any] = {"error": error_text(error)}
        if item is not None:
            data["item"] = item
        if unit is not None and not self._stopping and via == "agent":
            tries = 1 + (found.tries if item is None else (found.items or {})[item].tries)
            retry = plan.definition.retry
            if retry is not None and retry.allows(error, tries):
                chance = self.system.random.random() if retry.jitter else 0.0
                data["delay_s"] = retry.delay_s(error, tries, chance)
                self._happened(EventKind.STEP_RETRYING, plan.id, attempt, data)
                self._tick_step(plan, found)
                return
            if plan.fallback is not None:
                data |= {"delay_s": 0.0, "via": "fallback"}
                self._happened(EventKind.STEP_RETRYING, plan.id, attempt, data)
                self._tick_step(plan, found)
                return
        default = plan.default
        if default is not None:
            if unit is not None and item is not None:
                self._item_done(unit, {"output": default.default, "error": data["error"]})
            else:
                data |= {"output": default.default, "via": "default"}
                self._ended(EventKind.STEP_COMPLETED, plan, attempt, data)
        elif plan.dispensable:
            if unit is not None and item is not None:
                self._item_done(unit, {"output": None, "error": data["error"]})
            else:
                self._ended(EventKind.STEP_SKIPPED, plan, attempt, data)
        else:
            if item is None or found.state is not StepState.FAILED:
                self._happened(EventKind.STEP_FAILED, plan.id, attempt, data)
            self._fail(self._failure(plan, error, attempt))

    def _failure(self, plan: StepPlan | None, error: BaseException, attempts: int) -> WorkflowFailed:
        run = self.run
        kind = WorkflowTimedOut if isinstance(error, TimeoutError) else WorkflowFailed
        agent = "" if plan is None else self._core.agent_name(run, plan)
        if isinstance(error, AgentFailed) and error.__cause__ is not None:
            error = error.__cause__
        return kind(
            run.plan.name,
            run.id,
            "" if plan is None else plan.id,
            agent,
            error,
            attempts=attempts,
            completed=[
                step.id
                for step, found in zip(run.plan.steps, run.steps, strict=True)
                if found is not None and found.state in ENDED
            ],
            stored=run.persist,
        )

    def _fail(self, error: BaseException | None) -> None:
        """Let the run fail once what is under way has ended; the first failure is the one told."""
        run = self.run
        if run.failure is None:
            run.failure = error or WorkflowFailed(
                run.plan.name, run.id, ", ".join(run.failed_steps), "", run.last_error or "",
                stored=run.persist,
            )  # fmt: skip
        self._queue.clear()
        if run.plan.definition.on_failure == "cancel":
            self._stop_work()

    @property
    def _stopping(self) -> bool:
        """Whether nothing new is started any more."""
        return self._cancelling is not None or self.run.failure is not None

    def _stop_work(self) -> None:
        """Stop all attempts that are under way, and start none of those that were about to."""
        for worker, unit in self._workers.items():
            if not unit.stopping and not unit.undo:
                unit.stopping = True
                worker.exit("shutdown")
        asked = [unit for unit in self._asked if not unit.undo]
        unsent = [unit for unit in self._outbox if not unit.undo]
        self._outbox = [unit for unit in self._outbox if unit.undo]
        for unit in asked:
            self._asked.discard(unit)
            if unit.request is not None:
                unit.request.abandon()
            self._core.work_ended(self.run, unit)
        for unit in [*asked, *unsent]:
            self._active -= 1
            self._work_stopped(unit)

    # -- cancellation ------------------------------------------------------------------------------

    def _cancel(self) -> None:
        run = self.run
        cancellation: Cancellation = run.cancel
        self._cancelling = cancellation
        self._stopped = [
            plan.id
            for plan, found in zip(run.plan.steps, run.steps, strict=True)
            if found is not None and found.state in BUSY
        ]
        if self._undo is None:
            if run.state is not WorkflowState.CANCELLING:
                data = {"reason": cancellation.reason}
                self._happened(EventKind.WORKFLOW_CANCELLING, data=data)
            self._queue.clear()
            if not cancellation.graceful:
                self._stop_work()

    # -- compensation ------------------------------------------------------------------------------

    def _begin_undo(self) -> None:
        """Work out which finished steps are to be undone, the latest first."""
        run = self.run
        undo: list[tuple[float, int]] = []
        for plan, found in zip(run.plan.steps, run.steps, strict=True):
            if (
                plan.definition.compensate is not None
                and found is not None
                and found.state is StepState.COMPLETED
                and plan.id not in run.undo_failed
            ):
                undo.append((found.ended_at or 0.0, plan.index))
        undo.sort()
        self._undo = [index for _, index in undo]

    def _next_undo(self) -> None:
        run = self.run
        while self._undo:
            index = self._undo.pop()
            plan = run.plan.steps[index]
            compensation = plan.definition.compensate
            assert compensation is not None, "only such steps are in the list"
            found = run.step(index)
            attempt = found.attempts + 1
            try:
                output = run.scope.get(plan.id)
                payload = self._core.compensation_input(plan, {**run.scope, "output": output})
                target = self._core.resolve_compensation(plan)
            except Exception as error:
                self._happened(
                    EventKind.COMPENSATION_FAILED, plan.id, attempt, {"error": describe(error)}
                )
                continue
            timeout_s = compensation.timeout_seconds or self._core.default_timeout_s
            unit = Unit(plan, attempt, payload, target, timeout_s, self.actor_ref)
            unit.undo = True
            self._happened(EventKind.COMPENSATION_STARTED, plan.id, attempt)
            self._active += 1
            self._outbox.append(unit)
            return

    def _undo_failed(self, unit: Unit, error: BaseException) -> None:
        plan = unit.plan
        compensation = plan.definition.compensate
        retry: Retry | None = None if compensation is None else compensation.retry
        tries = self.run.step(plan.index).tries + 1
        if retry is not None and retry.allows(error, tries):
            self.run.step(plan.index).tries = tries
            chance = self.system.random.random() if retry.jitter else 0.0
            delay_s = retry.delay_s(error, tries, chance)
            assert self._undo is not None, "this was one of them"
            self._undo.append(plan.index)
            self._active += 1  # the pause before the next attempt counts as work
            self.send_after(delay_s, UndoAgain())
            return
        data = {"error": describe(error)}
        self._happened(EventKind.COMPENSATION_FAILED, plan.id, unit.attempt, data)
        self._next_undo()

    # -- signals and times -------------------------------------------------------------------------

    def _take_signals(self) -> None:
        """Give signals to the steps that wait for them, in the order in which they came."""
        run = self.run
        if not run.signals or self._stopping:
            return
        for plan, found in zip(run.plan.steps, run.steps, strict=True):
            if found is None or found.state is not StepState.WAITING:
                continue
            wait = plan.definition.wait_for
            assert wait is not None, "only such steps wait"
            for signal in run.signals:
                if signal.name != wait.signal:
                    continue
                if plan.when is not None:
                    try:
                        if not plan.when.test({**run.scope, "output": signal.payload}):
                            continue
                    except ExpressionError:
                        continue
                run.signals.remove(signal)
                if run.persist:
                    self._used_signals.append(signal.number)
                self._signalled(plan, signal.payload)
                break

    def _signalled(self, plan: StepPlan, payload: Any) -> None:
        step = plan.definition
        output = plain(payload)
        if step.output_key is not None and not isinstance(output, Mapping):
            output = {step.output_key: output}
        if step.output_model is not None:
            problem = step.output_model.problem(output)
            if problem is not None:
                self._failed(plan, None, OutputMismatch(plan.id, problem))
                return
        self._ended(EventKind.STEP_COMPLETED, plan, 0, {"output": output})

    def _tick(self) -> None:
        run = self.run
        limit = run.plan.definition.timeout_seconds
        if (
            limit is not None
            and not self._stopping
            and run.started_at is not None
            and self._core.now() >= run.started_at + limit
        ):
            self._fail(self._failure(None, TimeLimit(limit), 0))
            self._stop_work()
            return
        for plan, found in zip(run.plan.steps, run.steps, strict=True):
            if found is not None and found.state in BUSY:
                self._tick_step(plan, found)

    def _tick_step(self, plan: StepPlan, found: StepRun) -> None:
        """Go on with a step whose time has come."""
        if self._stopping:
            return
        now = self._core.now() + CLOCK_SLACK_S
        if found.items:
            self._tick_items(plan, found, now)
        if found.due_at is None or found.due_at > now:
            return
        found.due_at = None
        if found.state is StepState.RETRYING:
            self._guarded(plan, self._work, plan, False)
        elif found.state is StepState.SLEEPING:
            self._guarded(plan, self._work, plan, False)
        elif found.state is StepState.WAITING:
            wait = plan.definition.wait_for
            assert wait is not None, "only such steps wait"
            if wait.has_default:
                self._signalled(plan, wait.default)
            else:
                self._failed(plan, None, SignalTimeout(wait.signal, wait.timeout_seconds))

    def _tick_items(self, plan: StepPlan, found: StepRun, now: float) -> None:
        due = [
            index
            for index, item in (found.items or {}).items()
            if item.due_at is not None and item.due_at <= now
        ]
        fan = self._fans.get(plan.index)
        if fan is None:
            return
        for index in due:
            state = (found.items or {})[index]
            state.due_at = None
            self._guarded(
                plan,
                self._launch_item,
                plan,
                index,
                fan.items[index],
                state.attempts + 1,
                state.via,
            )

    def next_due(self) -> float | None:
        """Return when the run goes on by itself, in seconds since the epoch; None: never."""
        return next_due(self.run)

    # -- going on ----------------------------------------------------------------------------------

    def _continue(self) -> None:
        """Start what is ready, write what happened, and end or park when nothing is left to do."""
        queue = self._queue
        while queue and not self._stopping:
            self._consider(self.run.plan.steps[queue.popleft()])
        if not self._active and not self._ending:
            self._nothing_under_way()
        self._write()
        if not self._active and not self._unwritten:
            self._rest()
        elif self._timer_at is not None:
            self._arm()

    def _nothing_under_way(self) -> None:
        """Find out whether the run has ended."""
        run = self.run
        if self._cancelling is None and run.failure is None and self._undo is None:
            if run.finished_steps == len(run.steps):
                self._complete()
                return
            if any(found is not None and found.state in BUSY for found in run.steps):
                return
            # A run that would neither end nor wait for anything must not look as if it did.
            stalled = RuntimeError("no step can go on, although some have not ended")
            self._fail(self._failure(None, stalled, 0))
        if self._undo is None:
            for plan, found in zip(run.plan.steps, run.steps, strict=True):
                if found is not None and found.state in BUSY:
                    self._happened(EventKind.STEP_CANCELLED, plan.id, found.attempts)
            wanted = self._cancelling is None or self._cancelling.compensate
            if run.plan.compensates and wanted:
                self._begin_undo()
                if self._undo and self._cancelling is None:
                    data = {"error": describe(run.failure or "")}
                    self._happened(EventKind.WORKFLOW_COMPENSATING, data=data)
        self._next_undo()
        if self._active:
            return
        if self._cancelling is not None:
            self._end(EventKind.WORKFLOW_CANCELLED, {"reason": self._cancelling.reason})
        else:
            error = run.failure or run.last_error or ""
            self._end(
                EventKind.WORKFLOW_FAILED,
                {"error": failure_text(error), "steps": list(run.failed_steps)},
            )

    def _complete(self) -> None:
        run = self.run
        try:
            run.result = run.collect()
        except Exception as error:
            # The output's template reads what is not there.
            run.failure = self._failure(None, error, 0)
            self._nothing_under_way()
            return
        self._end(EventKind.WORKFLOW_COMPLETED, None)

    def _end(self, kind: EventKind, data: Any) -> None:
        self._ending = True
        self._happened(kind, data=data)

    # -- writing -----------------------------------------------------------------------------------

    def _write(self) -> None:
        """Have what happened written, and what follows done, at once or when it is written."""
        run = self.run
        if not run.persist:
            if self._events:
                events, self._events = self._events, []
                self._core.publish(run, events)
            if self._outbox:
                units, self._outbox = self._outbox, []
                for unit in units:
                    self._send(unit)
            return
        state = self._state_to_store()
        if run.lease is None:
            # It is created with the state that it has now.
            self._stored_state = str(run.state)
        changed = state != self._stored_state
        if not self._records and not changed:
            return
        group = Acknowledged(self._outbox, self._events)
        records, used = self._records, self._used_signals
        self._outbox, self._events, self._records, self._used_signals = [], [], [], []
        update: RunUpdate | None = None
        if changed:
            self._stored_state = state
            due = next_due(run) if state == WorkflowState.WAITING else None
            update = RunUpdate(
                state=state,
                finished=True if run.state.finished else (False if self._opening else None),
                error=run.last_error or "",
                wake_at=due or 0.0,
            )
        self._unwritten += 1
        try:
            self._core.store_events(run, records, update, used, group, self.actor_ref)
        except Exception as error:
            # What cannot be stored at all: the step that returned it must not pass for finished.
            group.error = error
            self.actor_ref.tell(group)

    def _state_to_store(self) -> str:
        run = self.run
        if run.state is WorkflowState.RUNNING and not self._active:
            return str(WorkflowState.WAITING)
        return str(run.state)

    def _acknowledged(self, group: Acknowledged) -> None:
        self._unwritten -= 1
        if group.error is not None:
            self._not_written(group.error)
            return
        if group.events:
            self._core.publish(self.run, group.events)
        for unit in group.units:
            if self._stopping and not unit.undo:
                self._active -= 1
                if not self._ending:
                    self._work_stopped(unit)
            else:
                self._send(unit)

    def _not_written(self, error: BaseException) -> None:
        """The store failed: nothing of the group counts, and the run stops here, loudly."""
        self._core.store_failed(self.run, error)
        self.exit("shutdown")

    def _turn(self, unit: Unit) -> None:
        """It is the turn of an attempt that has waited for its agent's limit."""
        if self._stopping and not unit.undo:
            self._core.work_ended(self.run, unit)
            self._active -= 1
            self._work_stopped(unit)
        else:
            self._send(unit)

    def _send(self, unit: Unit) -> None:
        """Have an attempt begin: agents are asked directly, others by a worker."""
        if not self._core.work_started(self.run, unit):
            return  # the agent's limit is reached; this comes again when it is its turn
        target = unit.target
        if isinstance(target, Agent):
            self._asked.add(unit)
            unit.ask(target, self.system)
            return
        worker = self._free.pop() if self._free else self.spawn(Worker)
        self._workers[worker] = unit
        unit.worker = worker
        worker.tell(unit)

    # -- resting -----------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Have this actor told when the next time comes that the run waits for."""
        due = next_due(self.run)
        if due is None or self._stopping:
            return
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self.send_after(max(0.0, due - self._core.now()), TICK)

    def _rest(self) -> None:
        """End this actor: the run has ended, or only waits, which needs no actor."""
        run = self.run
        if self._ending:
            self._conclude()
        run.ref = None
        self.exit("shutdown")

    def _conclude(self) -> None:
        """Tell everybody who waits how the run ended."""
        run = self.run
        if run.state is WorkflowState.FAILED:
            run.error = run.failure
        elif run.state is WorkflowState.CANCELLED:
            run.error = WorkflowCancelled(run.plan.name, run.id, run.reason or "cancelled")
        self._core.concluded(run)
        cancellation: Cancellation | None = run.cancel
        if cancellation is not None:
            run.cancel = None
            report = CancelReport(
                run.id,
                run.state,
                cancellation.reason,
                already_finished=self._cancelling is None,
                stopped_steps=tuple(self._stopped),
                compensated_steps=run.compensated,
                failed_compensations=run.undo_failed,
            )
            for request in cancellation.requests:
                request.reply(report)


MAX_ITEMS: Final = 1_000_000
"""Items of one ``for_each``."""

CLOCK_SLACK_S: Final = 1e-6
"""Timers may fire a hair before the moment that a sum of floats stands for."""


class Fan:
    """A step with ``for_each`` under way."""

    __slots__ = ("done", "items", "limit", "plan", "running", "waiting")

    def __init__(self, plan: StepPlan, items: list[Any]) -> None:
        self.plan = plan
        self.items = items
        self.limit = plan.max_concurrency or len(items)
        self.done = 0
        self.running = 0
        self.waiting: deque[int] = deque()
        """Items that have not been started, by index."""


class Turn:
    """Told by the engine: an attempt may ask its agent now."""

    __slots__ = ("unit",)

    def __init__(self, unit: Unit) -> None:
        self.unit = unit


class UndoAgain:
    """Told by a timer: the pause before the next attempt at a compensation is over."""

    __slots__ = ()


def is_done(plan: StepPlan, output: Any, iteration: int, scope: Mapping[str, Any]) -> bool:
    """Tell whether a step that repeats has done enough.

    It has when its ``until`` holds; without one, when its output says ``done`` or ``approved``, or
    says neither, because then there is nothing to wait for.
    """
    if iteration >= plan.max_iterations:
        return True
    if plan.until is not None:
        around = {**scope, "output": output, plan.id: output, "iteration": iteration}
        return plan.until.test(around)
    if not isinstance(output, Mapping):
        return True
    fields = cast("Mapping[str, Any]", output)
    verdicts = [fields[name] for name in ("done", "approved") if name in fields]
    return not verdicts or any(bool(verdict) for verdict in verdicts)


def next_input(payload: Any, previous: Any) -> Any:
    """Return the input of the next iteration: the step's own, overlaid with its last output.

    >>> next_input({"draft": "a", "query": "q"}, {"draft": "b", "approved": False})
    {'draft': 'b', 'query': 'q', 'approved': False}
    """
    if not isinstance(payload, Mapping):
        return previous
    fields = cast("Mapping[str, Any]", payload)
    if isinstance(previous, Mapping):
        return {**fields, **cast("Mapping[str, Any]", previous)}
    return {**fields, "result": previous}


def next_due(run: Run) -> float | None:
    """Return when *run* goes on by itself, in seconds since the epoch; None: never."""
    times: list[float] = []
    for found in run.steps:
        if found is None or found.state not in BUSY:
            continue
        if found.due_at is not None:
            times.append(found.due_at)
        if found.items:
            times += [item.due_at for item in found.items.values() if item.due_at is not None]
    limit = run.plan.definition.timeout_seconds
    if limit is not None and run.started_at is not None and not run.state.finished:
        times.append(run.started_at + limit)
    return min(times) if times else None


def error_text(error: BaseException) -> str:
    """Return what an attempt's error says, without who was asked: that is known."""
    if isinstance(error, AgentFailed) and error.__cause__ is not None:
        error = error.__cause__
    return describe(error)


def failure_text(error: BaseException | str) -> str:
    """Return what a failed run says about itself in its journal."""
    if isinstance(error, WorkflowFailed):
        where = f"step {error.step!r}: " if error.step else ""
        return where + error.reason
    return describe(error)


__all__ = ["ASK", "LAST", "Coordinator", "next_due"]
