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

from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import Actor, Agent, Exit
from agenticaiframework.actors.kernel.phase import IDLE

from ..definition.plan import PAUSE, WAIT, StepPlan
from ..errors import WorkflowCancelled, describe
from ..host.directory import Coroutine
from ..host.messages import Start
from ..state.events import KIND_TEXT, EventKind, WorkflowEvent
from ..state.run import Run
from ..state.status import CancelReport, StepState, WorkflowState
from ..state.step_run import BUSY, COMPLETED, PENDING, RUNNING, StepRun
from ..store import Record
from .compensation import begin_undo, undo_next
from .failing import (
    attempt_failed,
    cancel,
    failure_of,
    failure_text,
    let_run_fail,
)
from .items import Fan, expand
from .looping import next_input
from .messages import NUDGE, TICK, UNDO, Acknowledged, Cancellation, Raised, Turn
from .results import expired, worked, worker_ended
from .short_way import answered, ask_quickly, start_quickly
from .waiting import next_due, out_of_time, take_signals, tick, tick_step
from .work import Expired, Unit, WorkContext, Worker
from .writing import acknowledged, write

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, Timer

    from ..host.core import EngineCore


MAX_IDLE: Final = 128
"""Coordinators of one engine that are kept for the next runs."""

_WORKFLOW_RUNNING: Final = WorkflowState.RUNNING


class Coordinator(Actor):
    """Runs one `Run` at a time, which it owns until that ends. Its workers are linked to it.

    One whose run has come to its end without incident takes the next: starting and ending an actor
    costs as much as two steps.
    """

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
    _handling = False
    """Whether a message is being handled outside a turn of this actor."""
    _now = 0.0
    """The seconds since the epoch when the message came that is being handled."""

    def __init__(
        self, run: Run, core: EngineCore, opening: tuple[tuple[EventKind, Any], ...] = ()
    ) -> None:
        super().__init__()
        self.trap_exit = True
        self._me: ActorRef[Any] = self.actor_ref
        self.run = run
        self.idle = False
        """Whether it has no run, and waits for the next."""
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

    def handle_now(self, message: Unit | Acknowledged) -> bool:
        """Handle *message* without its way through the mailbox, if nothing holds this actor up.

        Its handlers never wait, so between its turns nothing is half done, and an answer may be
        handled where it is given: a step has two of them. Called on the loop. What goes wrong is
        raised in this actor's own turn. Under simulation all goes through the mailbox, where faults
        are planted.
        """
        me = self._me
        if me._state != IDLE or me._phase or self._handling or me._sched.observer is not None:
            return False
        self._handling = True
        try:
            self.on_receive(message)
        except BaseException as error:
            me.tell(Raised(error))
        finally:
            self._handling = False
        return True

    def on_start(self) -> None:
        self._begin()

    def on_stop(self) -> None:
        # Cut short: nobody waits for the agents' answers any more, and whoever goes on with the run
        # asks them again.
        for unit in sorted(self._asked, key=lambda unit: unit.place):
            if unit.request is not None:
                unit.request.abandon()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.on_stop()

    def _begin(self) -> None:
        run = self.run
        run.ref = self._me
        run.asked = self._asked
        core = self._core
        self._now = core.epoch + core.clock()
        self._quick = run.listeners is None and core.attempts.quick
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
            begin_undo(self)
        elif run.state is WorkflowState.CANCELLING and run.cancel is None:
            run.cancel = Cancellation(run.reason or "cancelled", graceful=False, compensate=True)
        if run.cancel is not None:
            cancel(self)
        elif self._undo is None:
            run.state = _WORKFLOW_RUNNING
            if not run.left:
                run.recount()
            if fresh:
                steps = run.plan.steps
                for index in run.plan.roots:
                    self._consider(steps[index])
            elif run.plan.timeout_s is None or not out_of_time(self):
                for index in run.ready():
                    self._enter(index)
        self._continue()

    def on_receive(self, message: Any) -> None:
        cls = message.__class__
        if self.idle:
            # Whatever else comes was meant for a run that has ended.
            if cls is Start:
                self._take(message)
            elif cls is Raised:
                raise message.take()
            return
        run, core = self.run, self._core
        self._now = core.epoch + core.clock()
        if run.listeners is None:
            self._told = run.persist
            self._quick = core.attempts.quick
        else:
            self._told = True
            self._quick = False
        if cls is Unit:
            if message.quick and self._quick and not self._closing and message.error is None:
                answered(self, message)
                return
            worked(self, message)
        elif cls is Acknowledged:
            acknowledged(self, message)
            if self._active and not self._queue and not self._records and not self._timed:
                return  # what it led to is under way
        elif cls is Turn:
            self._turn(message.unit)
        elif cls is Exit:
            worker_ended(self, message)
        elif cls is Expired:
            expired(self, message)
        elif cls is Raised:
            raise message.take()
        elif message == NUDGE:
            if self.run.cancel is not None and self._cancelling is None:
                cancel(self)
            else:
                take_signals(self)
        elif message == TICK:
            self._timer = None
            tick(self)
        elif message == UNDO:
            self._active -= 1
            undo_next(self)
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
            take_signals(self)
        elif found.state is StepState.FAILED:
            let_run_fail(self, None)
        if found.state in BUSY and (found.due_at is not None or found.items):
            self._timed = True
            tick_step(self, plan, found)

    def _go_on(self, plan: StepPlan, found: StepRun) -> None:
        """Go on with a step if its time has come."""
        tick_step(self, plan, found)

    def _guarded(self, plan: StepPlan, act: Any, *args: Any) -> None:
        """Do what reads the values of a run; what is wrong with them fails the step."""
        try:
            act(*args)
        except Exception as error:
            attempt_failed(self, plan, None, error)

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
                    start_quickly(self, plan, run.bound[plan.index], payload)
                    return
                found = run.step(plan.index)
                self._launch(plan, found, found.attempts + 1, payload)
            else:
                self._work(plan, False)
        except Exception as error:
            attempt_failed(self, plan, None, error)

    def _work(self, plan: StepPlan, again: bool) -> None:
        """Do what the step is for; *again*: it was under way before."""
        if plan.kind == WAIT:
            wait = plan.definition.wait_for
            assert wait is not None, "a step of this kind has it"
            if wait.timeout_seconds is not None:
                self._timed = True
            data = {"signal": wait.signal, "timeout_s": wait.timeout_seconds}
            self._happened(EventKind.STEP_WAITING, plan.id, 0, data)
            take_signals(self)
        elif plan.kind == PAUSE:
            self._completed(plan, 0, self._payload(plan))
        elif plan.for_each is not None:
            expand(self, plan)
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
            write(self)
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
            let_run_fail(self, failure_of(self, None, stalled, 0))
        if self._undo is None:
            for plan, found in zip(run.plan.steps, run.steps, strict=True):
                if found is not None and found.state in BUSY:
                    self._happened(EventKind.STEP_CANCELLED, plan.id, found.attempts)
            wanted = self._cancelling is None or self._cancelling.compensate
            if run.plan.compensates and wanted:
                begin_undo(self)
                if self._undo and self._cancelling is None:
                    data = {"error": describe(run.failure or "")}
                    self._happened(EventKind.WORKFLOW_COMPENSATING, data=data)
        undo_next(self)
        if self._active:
            return
        if self._cancelling is not None:
            self._end(EventKind.WORKFLOW_CANCELLED, {"reason": self._cancelling.reason})
        else:
            if run.failure is None:
                let_run_fail(self, None)
            data = {"error": failure_text(run.failure), "steps": list(run.failed_steps)}
            self._end(EventKind.WORKFLOW_FAILED, data)

    def _complete(self) -> None:
        run = self.run
        try:
            run.result = run.collect()
        except Exception as error:
            # The output's template reads what is not there.
            let_run_fail(self, failure_of(self, None, error, 0))
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

    # -- asking ------------------------------------------------------------------------------------

    def _turn(self, unit: Unit) -> None:
        """It is the turn of an attempt that has waited for its agent's limit."""
        if self._held is None or unit not in self._held:
            self._core.attempts.ended(self.run, unit)
            return
        self._held.discard(unit)
        self._send(unit)

    def _send(self, unit: Unit) -> None:
        """Have an attempt begin: agents are asked directly, others by a worker."""
        core = self._core
        if unit.quick:
            if self._quick:
                ask_quickly(self, unit)
                return
            unit.quick = False  # somebody follows the run meanwhile
        if not core.attempts.quick and not core.attempts.has_room(unit):
            if self._held is None:
                self._held = set()
            self._held.add(unit)
            return
        run = self.run
        unit.context = WorkContext(run, unit)
        if core.tracer is not None or run.listeners is not None:
            core.attempts.observe(run, unit)
        plan = unit.plan
        timeout_s = plan.timeout_s
        if unit.undo and plan.definition.compensate is not None:
            timeout_s = plan.definition.compensate.timeout_seconds
        target = unit.target
        if isinstance(target, Agent):
            self._asked.add(unit)
            if timeout_s is None:
                core.attempts.limit_time(unit, self._now)
            unit.ask(target, core.home, timeout_s or core.attempts.precise_timeout_s)
            return
        if target.__class__ is Coroutine:
            self._asked.add(unit)
            if timeout_s is None:
                core.attempts.limit_time(unit, self._now)
            limit = timeout_s or core.attempts.precise_timeout_s
            if limit is not None:
                unit.timer = core.home.call_later(limit, unit.expire, limit)
        else:
            unit.timeout_s = timeout_s or core.attempts.default_timeout_s
            core.attempts.prepare_scope(run, unit)
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
        run = self.run
        if self._ending:
            self._conclude()
        run.ref = None
        run.asked = ()
        uneventful = self._workers is None and self._undo is None and self._held is None
        if (
            uneventful
            and not self._fans
            and not self._closing
            and self._quick
            and len(self._core.idle) < MAX_IDLE
        ):
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._ending = self._timed = False
            self.idle = True
            self.run = _NO_RUN
            self._core.released(self._me, run)
            return
        self.exit("shutdown")

    def _take(self, start: Start) -> None:
        """Go on with the next run."""
        self.idle = False
        run = self.run = start.run
        self._opening = start.opening
        self._used_signals = ()
        self._told = run.persist or run.listeners is not None
        self._begin()

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
                stopped_steps=tuple(
                    step
                    for step in self._stopped
                    if run.step(run.plan.by_id[step].index).state is StepState.CANCELLED
                ),
                compensated_steps=run.compensated,
                failed_compensations=run.undo_failed,
            )
            for request in cancellation.requests:
                request.reply(report)


_NO_RUN: Final[Any] = None
"""Stands for the run of a coordinator that is idle, and looks at no run."""
