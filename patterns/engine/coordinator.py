"""The actor that takes one run from event to event until it ends or has to wait.

It never waits itself: agents answer by a message, the store calls back, and a run that only waits
for a signal or a time needs no coordinator at all. So it is always ready to be told of a signal or a
cancellation, and a new one can go on from the run's state at any moment; that is how parked,
resumed and recovered runs go on, too.

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
from .directory import Coroutine
from .errors import OutputMismatch, WorkflowCancelled, WorkflowFailed, WorkflowTimedOut, describe
from .looping import is_done, next_input
from .plan import PAUSE, WAIT, StepPlan
from .run import BUSY, COMPLETED, ENDED, PENDING, RUNNING, Run, StepRun
from .shapes import PLAIN, kind_of, plain
from .status import CancelReport, StepState, WorkflowState
from .store import Record, RunUpdate
from .work import Expired, Unit, WorkContext, Worker, WorkTimeout
from .workflow_events import KIND_TEXT, EventKind, WorkflowEvent

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, Timer

    from .core import EngineCore

NUDGE: Final = "nudge"
"""Told to a coordinator: the run has a new signal or a cancellation."""

TICK: Final = "tick"
"""Told by its own timer: a time that the run waits for has come."""

UNDO: Final = "undo"
"""Told by its own timer: the pause before the next attempt at a compensation is over."""

MAX_ITEMS: Final = 1_000_000
"""Items of one ``for_each``."""

CLOCK_SLACK_S: Final = 1e-6
"""Timers may fire a hair before the moment that a sum of floats stands for."""

_WORKFLOW_RUNNING: Final = WorkflowState.RUNNING


class Acknowledged:
    """The store has written a group of events, or failed to."""

    __slots__ = ("error", "events", "units")

    def __init__(self, units: list[Unit], events: list[WorkflowEvent]) -> None:
        self.units = units
        self.events = events
        self.error: BaseException | None = None


class Turn:
    """Told by the engine: an attempt may ask its agent now."""

    __slots__ = ("unit",)

    def __init__(self, unit: Unit) -> None:
        self.unit = unit


class Cancellation:
    """A cancellation that somebody asked for."""

    __slots__ = ("compensate", "graceful", "reason", "requests")

    def __init__(self, reason: str, *, graceful: bool, compensate: bool) -> None:
        self.reason = reason
        self.graceful = graceful
        self.compensate = compensate
        self.requests: list[Any] = []
        """Answered with a `CancelReport` when it has been carried out."""


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

    # Class attributes as defaults: most runs need few of these, and there is one coordinator a run.
    _timer: Timer | None = None
    _timer_at = 0.0
    _timed = False
    """Whether something in the run waits for a time."""
    _unwritten = 0
    """Groups of events that the store has not acknowledged."""
    _active = 0
    """Attempts under way, those that are about to start included."""
    _closing = False
    """Whether nothing new is started any more: the run fails, or is being cancelled."""
    _ending = False
    """Whether the last event of the run has happened."""
    _cancelling: Cancellation | None = None
    _stopped: tuple[str, ...] = ()
    _undo: list[int] | None = None
    """Steps whose compensations are still to be run, the next one last."""
    _workers: dict[ActorRef[Any], Unit] | None = None
    """Each busy worker with what it works on."""
    _free: list[ActorRef[Any]] | None = None
    _held: set[Unit] | None = None
    """Attempts that wait for their agent's limit."""
    _fans: dict[int, Fan] | None = None
    """The steps with ``for_each`` that are under way, by index."""
    _used_signals: tuple[int, ...] = ()
    _quick = False
    """Whether steps may take the short way."""
    _now = 0.0
    """The seconds since the epoch when the message came that is being handled."""

    def __init__(
        self, run: Run, core: EngineCore, opening: tuple[tuple[EventKind, Any], ...] = ()
    ) -> None:
        super().__init__()
        self.trap_exit = True
        self._me: ActorRef[Any] = self.actor_ref
        self.run = run
        self._core = core
        self._opening = opening
        self._queue: list[int] = []
        """Steps that nothing holds back any more."""
        self._outbox: list[Unit] = []
        """Attempts that start once what led to them is written."""
        self._asked: set[Unit] = set()
        """Attempts under way whose time the engine looks after: those of agents and functions."""
        self._records: list[Record] = []
        self._events: list[WorkflowEvent] = []
        self._stored_state: WorkflowState | None = None
        self._told = run.persist or run.listeners is not None
        """Whether somebody beside the run itself is to know what happens."""

    # -- messages --------------------------------------------------------------------------------

    def on_start(self) -> None:
        run = self.run
        run.ref = self._me
        run.asked = self._asked
        self._now = self._core.now()
        self._quick = not self._told and self._core.quick
        self._stored_state = run.state
        for kind, data in self._opening:
            self._happened(kind, data=data)
        fresh = run.started_at is None
        if fresh:
            if self._told:
                self._happened(EventKind.WORKFLOW_STARTED, data={"workflow": run.plan.name})
            run.started_at = self._now
        if run.plan.timeout_s is not None:
            self._timed = True
        if run.state is WorkflowState.COMPENSATING:
            self._closing = True
            self._begin_undo()
        elif run.state is WorkflowState.CANCELLING and run.cancel is None:
            run.cancel = Cancellation(run.reason or "cancelled", graceful=False, compensate=True)
        if run.cancel is not None:
            self._cancel()
        elif self._undo is None:
            run.state = _WORKFLOW_RUNNING
            if not run.left:
                run.recount()
            for index in run.plan.roots if fresh else run.ready():
                self._enter(index)
        self._continue()

    def on_receive(self, message: Any) -> None:
        cls = message.__class__
        run, core = self.run, self._core
        self._now = core.now()
        self._told = run.persist or run.listeners is not None
        self._quick = not self._told and core.quick
        if cls is Unit:
            if message.quick and self._quick and not self._closing and message.error is None:
                self._answered(message)
                return
            self._worked(message)
        elif cls is Acknowledged:
            self._acknowledged(message)
        elif cls is Turn:
            self._turn(message.unit)
        elif cls is Exit:
            self._worker_ended(message)
        elif cls is Expired:
            self._expired(message)
        elif message == NUDGE:
            if self.run.cancel is not None and self._cancelling is None:
                self._cancel()
            else:
                self._take_signals()
        elif message == TICK:
            self._timer = None
            self._tick()
        elif message == UNDO:
            self._active -= 1
            self._next_undo()
        self._continue()

    # -- what happens ----------------------------------------------------------------------------

    def _happened(
        self, kind: EventKind, step: str = "", attempt: int = 0, data: Any = None
    ) -> None:
        run = self.run
        if self._told:
            if run.persist:
                self._records.append(Record(KIND_TEXT[kind], step, attempt, data))
            if run.listeners is not None:
                self._events.append(WorkflowEvent(kind, run.id, step, attempt, data, self._now))
        run.apply(kind, step, attempt, data, self._now)

    def _ended(self, kind: EventKind, plan: StepPlan, attempt: int, data: Any) -> None:
        """Note the end of a step, and queue the steps that need wait no longer."""
        self._happened(kind, plan.id, attempt, data)
        left = self.run.left
        for index in plan.dependents:
            if not left[index]:
                self._queue.append(index)

    def _completed(self, plan: StepPlan, attempt: int, output: Any) -> None:
        """Note that a step has returned *output*."""
        if self._told:
            self._ended(EventKind.STEP_COMPLETED, plan, attempt, {"output": output})
            return
        # What `apply` would do, without the event that nobody is to see.
        run = self.run
        run.settle(plan, COMPLETED, output, self._now)
        left = run.left
        for index in plan.dependents:
            if not left[index]:
                self._queue.append(index)

    # -- the short way ---------------------------------------------------------------------------
    #
    # A step that is asked once, at once, of an agent, in a run that is neither stored nor followed
    # nor traced, needs no events, no group of them, and no limit. Both ways come to the same: the
    # tests run the same workflows on each.

    def _ask(self, plan: StepPlan, agent: Agent, payload: Any) -> None:
        """Ask the agent of a step now."""
        run, core = self.run, self._core
        found = run.steps[plan.index]
        if found is None:
            found = run.steps[plan.index] = StepRun()
        found.state = RUNNING
        found.attempts = attempt = found.attempts + 1
        if found.started_at is None:
            found.started_at = self._now
        unit = Unit(plan, attempt, payload, agent, self._me)
        unit.quick = True
        unit.context = WorkContext(run, unit)
        self._active += 1
        self._asked.add(unit)
        timeout_s = plan.timeout_s
        if timeout_s is None:
            timeout_s = core.precise_timeout_s
            if core.swept_timeout_s is not None:
                unit.deadline = self._now + core.swept_timeout_s
                if not core.sweeping:
                    core.sweep()
        unit.ask(agent, core.home, timeout_s)

    def _answered(self, unit: Unit) -> None:
        """The agent of a step has answered: the step has ended, and those behind it may go on."""
        asked = self._asked
        if unit not in asked:
            return  # it was stopped, and answered all the same
        asked.discard(unit)
        self._active -= 1
        output = unit.value
        if output.__class__ not in PLAIN:
            output = as_output(output)
        run, plan = self.run, unit.plan
        found = run.steps[plan.index]
        assert found is not None, "it was made when the agent was asked"
        found.state = COMPLETED
        found.ended_at = self._now
        run.scope[plan.id] = output
        run.finished_steps += 1
        left = run.left
        for index in plan.dependents:
            left[index] -= 1
            if not left[index]:
                self._consider(run.plan.steps[index])
        if not self._active or self._queue or self._outbox or self._timed:
            self._continue()

    # -- entering steps --------------------------------------------------------------------------

    def _enter(self, index: int) -> None:
        """Go on with a step from whatever state it is in."""
        run = self.run
        plan = run.plan.steps[index]
        found = run.steps[index]
        if found is None or found.state is PENDING:
            self._consider(plan)
            return
        if found.state is RUNNING:
            # It was under way when the last coordinator ended: the same attempt runs again.
            self._guarded(plan, self._work, plan, True)
        elif found.state is StepState.WAITING:
            self._take_signals()
        elif found.state is StepState.FAILED:
            self._fail(None)
        if found.state in BUSY and (found.due_at is not None or found.items):
            self._timed = True
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
        try:
            if plan.condition is not None and not plan.condition.test(run.scope):
                why = {"reason": f"condition: {plan.condition.text}"}
                self._ended(EventKind.STEP_SKIPPED, plan, 0, why)
            elif plan.delay_s:
                self._timed = True
                data = {"delay_s": plan.delay_s}
                self._happened(EventKind.STEP_SLEEPING, plan.id, 0, data)
            elif plan.plain:
                build = plan.build
                payload = build(run.scope) if build is not None else run.default_input(plan)
                if self._quick and plan.quick and isinstance(run.bound[plan.index], Agent):
                    self._ask(plan, run.bound[plan.index], payload)
                    return
                found = run.step(plan.index)
                self._launch(plan, found, found.attempts + 1, payload)
            else:
                self._work(plan, False)
        except Exception as error:
            self._failed(plan, None, error)

    def _work(self, plan: StepPlan, again: bool) -> None:
        """Do what the step is for; *again*: it was under way before."""
        if plan.kind == WAIT:
            wait = plan.definition.wait_for
            assert wait is not None, "a step of this kind has it"
            if wait.timeout_seconds is not None:
                self._timed = True
            data = {"signal": wait.signal, "timeout_s": wait.timeout_seconds}
            self._happened(EventKind.STEP_WAITING, plan.id, 0, data)
            self._take_signals()
        elif plan.kind == PAUSE:
            self._completed(plan, 0, self._payload(plan))
        elif plan.for_each is not None:
            self._expand(plan)
        else:
            found = self.run.step(plan.index)
            payload = self._payload(plan)
            if found.iteration > 1:
                payload = next_input(payload, found.previous)
            attempt = found.attempts if again and found.attempts else found.attempts + 1
            self._launch(plan, found, attempt, payload)

    def _payload(self, plan: StepPlan) -> Any:
        run = self.run
        return run.default_input(plan) if plan.build is None else plan.build(run.scope)

    def _launch(
        self,
        plan: StepPlan,
        found: StepRun,
        attempt: int,
        payload: Any,
        item: int | None = None,
        via: str | None = None,
    ) -> None:
        """Have an attempt made, once what led to it is written."""
        run = self.run
        if plan.input_model is not None:
            problem = plan.input_model.problem(payload)
            if problem is not None:
                raise ValueError(f"the input of step {plan.id!r} is not as declared: {problem}")
        if via is None:
            via = found.via
        target = run.bound[plan.index] if via == "agent" else self._core.resolve_fallback(plan)
        unit = Unit(plan, attempt, payload, target, self._me)
        if item is None and via == "agent" and found.iteration == 1:
            if self._told:
                self._happened(EventKind.STEP_STARTED, plan.id, attempt)
            else:
                # What `apply` would do, without the event that nobody is to see.
                found.state = RUNNING
                found.attempts = attempt
                if found.started_at is None:
                    found.started_at = self._now
        else:
            data: dict[str, Any] = {}
            if item is not None:
                unit.item = data["item"] = item
            elif found.iteration > 1:
                unit.iteration = data["iteration"] = found.iteration
            if via != "agent":
                unit.via = data["via"] = via
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
        if self._fans is None:
            self._fans = {}
        self._fans[plan.index] = fan
        found.state = RUNNING
        for index in range(len(fan.items)):
            state = found.items.get(index)
            if state is None or (not state.done and state.due_at is None):
                fan.waiting.append(index)
            elif state.done:
                fan.done += 1
            else:
                fan.running += 1
        if fan.done == len(fan.items):
            self._fan_done(fan, found)
        else:
            self._more_items(fan)

    def _more_items(self, fan: Fan) -> None:
        plan = fan.plan
        states = self.run.step(plan.index).items or {}
        while fan.waiting and fan.running < fan.limit and not self._closing:
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
        self._launch(plan, self.run.step(plan.index), attempt, payload, index, via)

    def _item_done(self, unit: Unit, data: dict[str, Any]) -> None:
        """Note the outcome of one item, and end the step after the last one."""
        plan = unit.plan
        data["item"] = unit.item
        self._happened(EventKind.ITEM_COMPLETED, plan.id, unit.attempt, data)
        found = self.run.step(plan.index)
        fan = None if self._fans is None else self._fans.get(plan.index)
        if fan is None or found.state is StepState.FAILED:
            return
        fan.done += 1
        fan.running -= 1
        if fan.done == len(fan.items):
            self._fan_done(fan, found)
        elif fan.waiting:
            self._guarded(plan, self._more_items, fan)

    def _fan_done(self, fan: Fan, found: StepRun) -> None:
        if self._fans is not None:
            self._fans.pop(fan.plan.index, None)
        self._ended(EventKind.STEP_COMPLETED, fan.plan, found.attempts, {"items": fan.done})

    # -- work that has ended -----------------------------------------------------------------------

    def _worked(self, unit: Unit) -> None:
        worker = unit.worker
        if worker is None:
            if unit not in self._asked:
                return  # it was stopped, and answered all the same
            self._asked.discard(unit)
        else:
            workers = self._workers
            if workers is None or workers.get(worker) is not unit:
                return
            del workers[worker]
            self._asked.discard(unit)
            if unit.timer is not None:
                unit.timer.cancel()
            if self._free is None:
                self._free = []
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
        unit = None if self._workers is None else self._workers.pop(ref, None)
        if unit is None:
            if self._free is not None and ref in self._free:
                self._free.remove(ref)
            return
        self._active -= 1
        self._asked.discard(unit)
        if unit.timer is not None:
            unit.timer.cancel()
        unit.error = ActorDied(ref, exit.reason)
        self._core.work_ended(self.run, unit)
        if unit.stopping:
            self._work_stopped(unit)
        elif unit.undo:
            self._undo_failed(unit, unit.error)
        else:
            self._failed(unit.plan, unit, unit.error)

    def _expired(self, message: Expired) -> None:
        """A function did not come back in time: leave it behind, and its worker with it."""
        unit, worker = message.unit, message.unit.worker
        if worker is None or self._workers is None or self._workers.get(worker) is not unit:
            return
        del self._workers[worker]
        self._asked.discard(unit)
        self._active -= 1
        worker.exit("shutdown")
        unit.error = WorkTimeout(unit.target.name, message.timeout_s)
        self._core.work_ended(self.run, unit)
        if unit.undo:
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
        output = as_output(unit.value)
        if plan.checked:
            if plan.output_key is not None and not isinstance(output, Mapping):
                output = {plan.output_key: output}
            if plan.output_model is not None:
                problem = plan.output_model.problem(output)
                if problem is not None:
                    self._failed(plan, unit, OutputMismatch(plan.id, problem))
                    return
        if unit.item is not None:
            self._item_done(unit, {"output": output})
        elif plan.iterates and not self._closing:
            self._iterated(unit, output)
        else:
            self._completed(plan, unit.attempt, output)

    def _iterated(self, unit: Unit, output: Any) -> None:
        """Go round again, or end the step, as its ``until`` or its output says."""
        plan = unit.plan
        try:
            done = is_done(plan, output, unit.iteration, self.run.scope)
        except ExpressionError as error:
            self._failed(plan, unit, error)
            return
        if done:
            self._completed(plan, unit.attempt, output)
            return
        data = {"iteration": unit.iteration, "output": output}
        self._happened(EventKind.STEP_ITERATED, plan.id, unit.attempt, data)
        self._guarded(plan, self._work, plan, False)

    # -- failures ----------------------------------------------------------------------------------

    def _failed(self, plan: StepPlan, unit: Unit | None, error: BaseException) -> None:
        """Decide what a failed attempt means: another one, something in its place, or the end."""
        found = self.run.step(plan.index)
        attempt = found.attempts if unit is None else unit.attempt
        item = None if unit is None else unit.item
        data: dict[str, Any] = {"error": error_text(error)}
        if item is not None:
            data["item"] = item
        if unit is not None and not self._closing and unit.via == "agent":
            tries = 1 + (found.tries if item is None else (found.items or {})[item].tries)
            delay_s = self._pause_before_retry(plan.definition.retry, error, tries)
            if delay_s is None and plan.fallback is not None:
                delay_s = 0.0
                data["via"] = "fallback"
            if delay_s is not None:
                data["delay_s"] = delay_s
                self._happened(EventKind.STEP_RETRYING, plan.id, attempt, data)
                self._timed = True
                self._tick_step(plan, found)
                return
        default = plan.default
        if default is not None or plan.dispensable:
            data["output"] = None if default is None else plain(default.default)
            if unit is not None and item is not None:
                self._item_done(unit, data)
            elif default is not None:
                data["via"] = "default"
                self._ended(EventKind.STEP_COMPLETED, plan, attempt, data)
            else:
                del data["output"]
                self._ended(EventKind.STEP_SKIPPED, plan, attempt, data)
            return
        self._happened(EventKind.STEP_FAILED, plan.id, attempt, data)
        self._fail(self._failure(plan, error, attempt))

    def _pause_before_retry(
        self, retry: Retry | None, error: BaseException, tries: int
    ) -> float | None:
        """Return how long to wait before the next attempt; None: there is none."""
        if retry is None or not retry.allows(error, tries):
            return None
        chance = self.system.random.random() if retry.jitter else 0.0
        return retry.delay_s(error, tries, chance)

    def _failure(
        self, plan: StepPlan | None, error: BaseException, attempts: int
    ) -> WorkflowFailed:
        run = self.run
        kind = WorkflowTimedOut if isinstance(error, TimeoutError) else WorkflowFailed
        agent = "" if plan is None else self._core.agent_name(run, plan)
        return kind(
            run.plan.name,
            run.id,
            "" if plan is None else plan.id,
            agent,
            cause_of(error),
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
        self._closing = True
        self._queue.clear()
        if run.plan.definition.on_failure == "cancel":
            self._stop_work()

    def _stop_work(self) -> None:
        """Stop all attempts that are under way, and start none of those that were about to."""
        for worker, unit in (self._workers or {}).items():
            if not unit.stopping and not unit.undo:
                unit.stopping = True
                worker.exit("shutdown")
        stopped = [unit for unit in self._asked if unit.request is not None and not unit.undo]
        for unit in stopped:
            self._asked.discard(unit)
            if unit.request is not None:
                unit.request.abandon()
        held, self._held = self._held or (), None
        for unit in (*stopped, *held):
            self._core.work_ended(self.run, unit)
        unsent = [unit for unit in self._outbox if not unit.undo]
        self._outbox = [unit for unit in self._outbox if unit.undo]
        # In the order of the page, whatever the sets say: the same run tells the same story.
        for unit in sorted((*stopped, *held, *unsent), key=lambda unit: unit.plan.index):
            self._active -= 1
            self._work_stopped(unit)

    # -- cancellation ------------------------------------------------------------------------------

    def _cancel(self) -> None:
        run = self.run
        cancellation: Cancellation = run.cancel
        self._cancelling = cancellation
        self._closing = True
        self._stopped = tuple(
            plan.id
            for plan, found in zip(run.plan.steps, run.steps, strict=True)
            if found is not None and found.state in BUSY
        )
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
                and found.state is COMPLETED
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
            attempt = run.step(index).attempts + 1
            try:
                scope = {**run.scope, "output": run.scope.get(plan.id)}
                payload = self._core.compensation_input(plan, scope)
                target = self._core.resolve_compensation(plan)
            except Exception as error:
                data = {"error": describe(error)}
                self._happened(EventKind.COMPENSATION_FAILED, plan.id, attempt, data)
                continue
            unit = Unit(plan, attempt, payload, target, self._me)
            unit.undo = True
            self._happened(EventKind.COMPENSATION_STARTED, plan.id, attempt)
            self._active += 1
            self._outbox.append(unit)
            return

    def _undo_failed(self, unit: Unit, error: BaseException) -> None:
        plan = unit.plan
        found = self.run.step(plan.index)
        compensation = plan.definition.compensate
        assert compensation is not None, "it was under way"
        found.tries += 1
        delay_s = self._pause_before_retry(compensation.retry, error, found.tries)
        if delay_s is not None and self._undo is not None:
            self._undo.append(plan.index)
            self._active += 1  # the pause counts as work, so that the run does not end in it
            self.send_after(delay_s, UNDO)
            return
        data = {"error": error_text(error)}
        self._happened(EventKind.COMPENSATION_FAILED, plan.id, unit.attempt, data)
        self._next_undo()

    # -- signals and times -------------------------------------------------------------------------

    def _take_signals(self) -> None:
        """Give signals to the steps that wait for them, in the order in which they came."""
        run = self.run
        run.unseen_signals = False
        if not run.signals or self._closing:
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
                    self._used_signals = (*self._used_signals, signal.number)
                self._signalled(plan, signal.payload)
                break

    def _signalled(self, plan: StepPlan, payload: Any) -> None:
        output = plain(payload)
        if plan.output_key is not None and not isinstance(output, Mapping):
            output = {plan.output_key: output}
        if plan.output_model is not None:
            problem = plan.output_model.problem(output)
            if problem is not None:
                self._failed(plan, None, OutputMismatch(plan.id, problem))
                return
        self._completed(plan, 0, output)

    def _tick(self) -> None:
        run = self.run
        limit = run.plan.timeout_s
        if (
            limit is not None
            and not self._closing
            and run.started_at is not None
            and self._now + CLOCK_SLACK_S >= run.started_at + limit
        ):
            self._fail(self._failure(None, TimeLimit(limit), 0))
            self._stop_work()
            return
        for plan, found in zip(run.plan.steps, run.steps, strict=True):
            if found is not None and found.state in BUSY:
                self._tick_step(plan, found)

    def _tick_step(self, plan: StepPlan, found: StepRun) -> None:
        """Go on with a step whose time has come."""
        if self._closing:
            return
        now = self._now + CLOCK_SLACK_S
        if found.items:
            self._tick_items(plan, found, now)
        if found.due_at is None or found.due_at > now:
            return
        found.due_at = None
        if found.state is not StepState.WAITING:
            self._guarded(plan, self._work, plan, False)
            return
        wait = plan.definition.wait_for
        assert wait is not None, "only such steps wait"
        if wait.has_default:
            self._signalled(plan, wait.default)
        else:
            self._failed(plan, None, SignalTimeout(wait.signal, wait.timeout_seconds))

    def _tick_items(self, plan: StepPlan, found: StepRun, now: float) -> None:
        states = found.items or {}
        due = [i for i, item in states.items() if item.due_at is not None and item.due_at <= now]
        fan = None if self._fans is None else self._fans.get(plan.index)
        if fan is None:
            return
        for index in due:
            state = states[index]
            state.due_at = None
            attempt = state.attempts + 1
            self._guarded(
                plan, self._launch_item, plan, index, fan.items[index], attempt, state.via
            )

    # -- going on ----------------------------------------------------------------------------------

    def _continue(self) -> None:
        """Start what is ready, write what happened, and end or park when nothing is left to do."""
        queue = self._queue
        if queue:
            steps = self.run.plan.steps
            for index in queue:  # it may grow meanwhile: a skipped step releases others
                if self._closing:
                    break
                self._consider(steps[index])
            queue.clear()
        if not self._active and not self._ending:
            self._nothing_under_way()
        if self._told:
            self._write()
        elif self._outbox:
            units, self._outbox = self._outbox, []
            for unit in units:
                self._send(unit)
        if not self._active and not self._unwritten:
            self._rest()
        elif self._timed and not self._closing:
            self._arm()

    def _nothing_under_way(self) -> None:
        """Find out whether the run has ended."""
        run = self.run
        if not self._closing:
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
            if run.failure is None:
                self._fail(None)
            data = {"error": failure_text(run.failure), "steps": list(run.failed_steps)}
            self._end(EventKind.WORKFLOW_FAILED, data)

    def _complete(self) -> None:
        run = self.run
        try:
            run.result = run.collect()
        except Exception as error:
            # The output's template reads what is not there.
            self._fail(self._failure(None, error, 0))
            self._nothing_under_way()
            return
        if self._told:
            self._end(EventKind.WORKFLOW_COMPLETED, None)
            return
        self._ending = True
        run.state = WorkflowState.COMPLETED
        run.finished_at = self._now

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
        if not self._records and self._active:
            return
        state = self._state_to_store()
        if run.lease is None:
            # It is created with the state that it has now.
            self._stored_state = run.state
        changed = state is not self._stored_state
        if not self._records and not changed:
            return
        group = Acknowledged(self._outbox, self._events)
        records, used = self._records, self._used_signals
        self._outbox, self._events, self._records, self._used_signals = [], [], [], ()
        update: RunUpdate | None = None
        if changed and run.lease is not None:
            self._stored_state = state
            due = next_due(run) if state is WorkflowState.WAITING else None
            update = RunUpdate(
                state=state.value,
                finished=True if run.state.finished else (False if self._opening else None),
                error=run.last_error or "",
                wake_at=due or 0.0,
            )
        self._unwritten += 1
        try:
            self._core.store_events(run, records, update, used, group, self._me)
        except Exception as error:
            # What cannot be stored at all: the step that returned it must not pass for finished.
            group.error = error
            self._me.tell(group)

    def _state_to_store(self) -> WorkflowState:
        state = self.run.state
        if state is _WORKFLOW_RUNNING and not self._active:
            return WorkflowState.WAITING
        return state

    def _acknowledged(self, group: Acknowledged) -> None:
        self._unwritten -= 1
        if group.error is not None:
            # The store failed: nothing of the group counts, and the run stops here, loudly.
            self._core.store_failed(self.run, group.error)
            self.exit("shutdown")
        if group.events:
            self._core.publish(self.run, group.events)
        for unit in group.units:
            if self._closing and not unit.undo:
                self._active -= 1
                if not self._ending:
                    self._work_stopped(unit)
            else:
                self._send(unit)

    # -- asking ------------------------------------------------------------------------------------

    def _turn(self, unit: Unit) -> None:
        """It is the turn of an attempt that has waited for its agent's limit."""
        if self._held is None or unit not in self._held:
            self._core.work_ended(self.run, unit)
            return
        self._held.discard(unit)
        self._send(unit)

    def _send(self, unit: Unit) -> None:
        """Have an attempt begin: agents are asked directly, others by a worker."""
        core = self._core
        if not core.quick and not core.has_room(unit):
            if self._held is None:
                self._held = set()
            self._held.add(unit)
            return
        run = self.run
        unit.context = WorkContext(run, unit)
        if core.tracer is not None or run.listeners is not None:
            core.observe_work(run, unit)
        plan = unit.plan
        timeout_s = plan.timeout_s
        if unit.undo and plan.definition.compensate is not None:
            timeout_s = plan.definition.compensate.timeout_seconds
        target = unit.target
        if isinstance(target, Agent):
            self._asked.add(unit)
            if timeout_s is None:
                core.limit_time(unit, self._now)
            unit.ask(target, core.home, timeout_s or core.precise_timeout_s)
            return
        if target.__class__ is Coroutine:
            self._asked.add(unit)
            if timeout_s is None:
                core.limit_time(unit, self._now)
            limit = timeout_s or core.precise_timeout_s
            if limit is not None:
                unit.timer = core.home.call_later(limit, unit.expire, limit)
        else:
            unit.timeout_s = timeout_s or core.default_timeout_s
            core.prepare_scope(run, unit)
        worker = self._free.pop() if self._free else self.spawn(Worker)
        if self._workers is None:
            self._workers = {}
        self._workers[worker] = unit
        unit.worker = worker
        worker.tell(unit)

    # -- resting -----------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Have this actor told when the next time comes that the run waits for."""
        due = next_due(self.run)
        if due is None:
            self._timed = False
            return
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self.send_after(max(0.0, due - self._core.now()), TICK)

    def _rest(self) -> None:
        """End this actor: the run has ended, or only waits, which needs no actor."""
        if self._ending:
            self._conclude()
        self.run.ref = None
        self.run.asked = ()
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
                stopped_steps=self._stopped,
                compensated_steps=run.compensated,
                failed_compensations=run.undo_failed,
            )
            for request in cancellation.requests:
                request.reply(report)


def as_output(value: Any) -> Any:
    """Return what a step has made of what was answered.

    Outside a team or a choreography there is nobody to hand on to: what counts is the data.
    """
    return plain(value.data if value.__class__ in (Handoff, Emit) else value)


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
    limit = run.plan.timeout_s
    if limit is not None and run.started_at is not None and not run.state.finished:
        times.append(run.started_at + limit)
    return min(times) if times else None


def cause_of(error: BaseException) -> BaseException:
    """Return the handler's own error where an agent only passes it on."""
    if isinstance(error, AgentFailed) and error.__cause__ is not None:
        return error.__cause__
    return error


def error_text(error: BaseException) -> str:
    """Return what an attempt's error says, without who was asked: that is known."""
    return describe(cause_of(error))


def failure_text(error: BaseException | None) -> str:
    """Return what a failed run says about itself in its journal."""
    if isinstance(error, WorkflowFailed):
        where = f"step {error.step!r}: " if error.step else ""
        return where + error.reason
    return describe(error or "")
