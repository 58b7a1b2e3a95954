"""The actor that carries out what the machine of a run says.

It never waits: agents answer by a message, the store calls back, and a run that only waits for a
signal or a time needs no coordinator at all. So it is always ready to be told of a signal or a
cancellation, and a new one can go on from the run's state at any moment; that is how parked,
resumed and recovered runs go on, too.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, cast

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    Agent,
    Exit,
    HandlerCancelled,
    QueueTimeout,
    circle_of,
    refuse_if_circle,
    with_context,
)

from ...vocabulary.target import target_name
from ..code.plan import CodePlan
from ..errors import WorkflowCancelled
from ..state.events import EventKind, WorkflowEvent
from ..state.instants import instant
from ..state.run import CANCEL
from ..state.status import CancelReport, WorkflowState
from .attempt import Expired, StepAttempt, WorkContext
from .code_machine import CodeMachine
from .inner import InnerNote, Quieter
from .machine import RunMachine
from .messages import (
    HELD,
    NUDGE,
    STAND_STILL,
    TICK,
    TURNED,
    Acknowledged,
    AgentTurn,
    LookAt,
    TakeOn,
    WriteAgain,
)
from .opening import Opening
from .player import CodeWorker, Player
from .worker import Coroutine, StepWorker, WorkTimeout

if TYPE_CHECKING:
    from contextvars import Context

    from agenticaiframework.actors import ActorRef, Timer

    from ..state.live import LiveRun
    from .host import RunHost
    from .orders import Group, Orders


QUIET_S: Final = 0.1
"""How long no inner step of an attempt that has asked something is under way until it is let go of: long
enough for what goes on between two inner steps, so that all that it has to ask is asked first."""


class RunCoordinator(Actor):
    """Runs one run at a time. Owns its machine and its workers, which are linked to it.

    One whose run has come to its end without incident takes the next: starting and ending an actor
    costs as much as two steps.
    """

    exit_is_crash = True

    _live: LiveRun
    _machine: RunMachine
    _timer: Timer | None = None
    _timer_at = 0.0
    _withholds = False
    """Whether nothing is given to the store now: the machine keeps it."""
    _followed = False
    """Whether something follows the run, as the machine knows it."""
    _workers: dict[ActorRef[Any], StepAttempt] | None = None
    """Each busy worker with what it works on."""
    _free: list[ActorRef[Any]] | None = None
    """Workers that have nothing to do."""
    _held: set[StepAttempt] | None = None
    """Attempts that wait for their agent's limit."""
    _player: Player | None = None
    """Runs the run's code, if it is code."""
    _code_worker: ActorRef[Any] | None = None
    """The actor in which code runs."""
    _looks: dict[StepAttempt, Timer] | None = None
    """Attempts that have asked something, with the timers after which they are looked at."""
    _doubtful: list[StepAttempt] | None = None
    """Attempts that wait until the engine knows that it still holds the run."""

    def __init__(self, host: RunHost, live: LiveRun, opening: Opening = ()) -> None:
        super().__init__()
        self.trap_exit = True
        self._me: ActorRef[Any] = self.actor_ref
        self._host = host
        self._clock = host.clock
        self._epoch = host.epoch
        self._opening = TakeOn(live, opening)
        self.idle = False
        """Whether it has no run, and waits for the next."""

    @property
    def run_id(self) -> str | None:
        """The id of the run that it has, if it has one."""
        return None if self.idle else self._live.id

    # -- messages --------------------------------------------------------------------------------

    def on_start(self) -> None:
        self._take_on(self._opening)

    def on_stop(self) -> None:
        # Cut short: the agents' answers are not waited for any more, and what goes on with the run
        # asks them again.
        if not self.idle:
            for attempt in sorted(self._machine.under_way, key=_place):
                if attempt.request is not None:
                    attempt.request.abandon()
            if self._player is not None:
                self._player.put_away()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.on_stop()

    def on_receive(self, message: Any) -> None:
        cls = message.__class__
        if self.idle:
            # Everything else was meant for a run that has ended.
            if cls is TakeOn:
                self.idle = False
                self._take_on(message)
            elif cls is InnerNote:
                self._inner(message, 0.0)
            return
        now = instant(self._epoch + self._clock())
        followed = self._live.listeners is not None
        if followed is not self._followed:
            self._followed = followed
            self._machine.followed(followed)
        if message is TURNED:
            orders = self._turned(now)
        elif cls is StepAttempt:
            orders = self._ended(message, now)
        elif cls is Acknowledged:
            orders = self._acknowledged(message, now)
        else:
            orders = self._told(message, cls, now)
        if orders is not None:
            self._carry_out(orders, now)

    def _told(self, message: Any, cls: type, now: float) -> Orders | None:
        """Return what is to be done because of a message that is not one of the usual ones."""
        machine, live = self._machine, self._live
        if cls is InnerNote:
            return self._inner(message, now)
        if cls is AgentTurn:
            self._begin_held(message.attempt, now)
        elif cls is Exit:
            return self._worker_ended(message, now)
        elif cls is Quieter:
            self._look_soon(message.attempt)
        elif cls is LookAt:
            if self._looks is not None:
                self._looks.pop(message.attempt, None)
            return machine.park(message.attempt, now)
        elif cls is Expired:
            return self._expired(message, now)
        elif cls is WriteAgain:
            self._write_again(message.written, now)
        elif self._player is not None and self._player.closed:
            return None  # it is looked at when the code has been put away
        elif message == NUDGE:
            if live.cancel is not None and machine.cancellation is None:
                return machine.cancelled(live.cancel, now)
            return machine.signalled(live.see_signals(), now)
        elif message == TICK:
            self._timer = None
            return machine.ticked(now)
        elif message == HELD:
            waiting, self._doubtful = self._doubtful, None
            for attempt in waiting or ():
                if attempt in machine.under_way:
                    self._start(attempt, now)
        elif message == STAND_STILL and self._stands_still():
            self._host.stands_still(live)
        return None

    def _stands_still(self) -> bool:
        """Tell whether nothing is under way but what has not begun, or is a run of its own."""
        if self._machine.unwritten or (self._player is not None and not self._player.at_rest):
            return False
        return all(one.part or one.context is None for one in self._machine.under_way)

    def _inner(self, note: InnerNote, now: float) -> Orders | None:
        """An inner step of an attempt's handler has ended, which waits until that is stored."""
        if self.current_request is not None:
            note.answers(self.defer_reply())
        if self.idle:
            note.refuse()
            return None
        if note.kind is EventKind.QUESTION_ASKED:
            self._look_soon(cast("StepAttempt", note.attempt))
            return self._machine.asked(note, now)
        return self._machine.noted(note, now)

    def _look_soon(self, attempt: StepAttempt) -> None:
        """Look in a while whether an attempt that has asked something does anything else."""
        if self._looks is None:
            self._looks = {}
        before = self._looks.pop(attempt, None)
        if before is not None:
            before.cancel()
        self._looks[attempt] = self.send_after(QUIET_S, LookAt(attempt))

    def _take_on(self, message: TakeOn) -> None:
        """Go on with a run."""
        host, live = self._host, message.live
        kind = CodeMachine if live.run.plan.grows else RunMachine
        machine = self._machine = kind(
            live.run,
            live.bound,
            live.resolve or host.resolve,
            host.chance,
            opening=message.opening,
            created=live.lease is not None,
            keep=host.stored_form if live.run.persist else None,
        )
        self._live = live
        live.ref = self._me
        live.under_way = machine.under_way
        self._followed = live.listeners is not None
        if self._followed:
            machine.followed(True)
        now = instant(self._epoch + self._clock())
        self._carry_out(machine.begin(now, live.see_signals(), live.cancel), now)
        if isinstance(machine, CodeMachine) and not machine.script.ended:
            self._play(machine)

    # -- code ------------------------------------------------------------------------------------

    def _play(self, machine: CodeMachine) -> None:
        """Have the run's code run from its top."""
        host, live = self._host, self._live
        plan = live.run.plan
        if not isinstance(plan, CodePlan) or plan.code is None:
            if machine.ending:
                now = instant(self._now())
                self._carry_out(machine.abandoned(now), now)
                return
            self._block(
                f"the workflow {plan.name!r} is code, and is not registered here: "
                f"engine.register_workflow({plan.name!r}, ...)"
            )
            return
        self._player = Player(machine, self._me, host.home, self._now, host.chance)
        if self._code_worker is None:
            self._code_worker = self.spawn(CodeWorker)
        self._code_worker.tell(with_context(self._player, live.variables))

    def _now(self) -> float:
        return self._epoch + self._clock()

    def _turned(self, now: float) -> Orders | None:
        """The code has had its turn, or has ended."""
        player, machine = self._player, self._machine
        if player is None or not isinstance(machine, CodeMachine):
            return None
        ended = player.ended
        if ended is None:
            quiet, parkable = player.look()
            return None if player.closed else machine.turned(quiet, parkable, now)
        if player.closed and not player.parked:
            return None  # what runs it ends, and this actor with it
        self._player = None
        if player.closed:
            self._rest()
            return None
        return machine.code_ended(*ended, now)

    def _tell_code(self, orders: Orders, now: float) -> Orders:
        """Let the code know what came of its calls, until it goes on by that."""
        player, machine = self._player, self._machine
        assert isinstance(machine, CodeMachine), "only code is told"
        while player is not None and (index := orders.outcome) is not None:
            orders.outcome = None
            if index == CANCEL:
                player.cancel()
            elif not player.tell(index):
                orders = machine.turned(*player.look(), now)
                continue
            break
        return orders

    def _abandon_code(self, now: float) -> Orders:
        """Let the run, which is to end, do so without its code."""
        machine, player = self._machine, self._player
        assert isinstance(machine, CodeMachine), "only code is abandoned"
        if player is not None:
            self._player = None
            player.put_away()
            if self._code_worker is not None:
                worker, self._code_worker = self._code_worker, None
                worker.exit("shutdown")
        return machine.abandoned(now)

    def _block(self, reason: str) -> None:
        """Let go of a run that cannot go on as things are."""
        live = self._live
        self._host.blocked(live, reason, self._machine.reopening)
        self.exit("shutdown")

    # -- what came of attempts -------------------------------------------------------------------

    def _ended(self, attempt: StepAttempt, now: float) -> Orders | None:
        """An attempt has told that it has ended."""
        machine = self._machine
        if attempt not in machine.under_way:
            return None  # it was stopped, and answered all the same
        if (attempt.error is not None or attempt.scope is not None) and self._host.ending:
            # What ends before the engine fails what it was asked, and a pattern may make an answer
            # of that. Such an attempt counts as cut off: nothing is noted of it, and its step stays
            # under way until the engine interrupts the run, which goes on with it elsewhere.
            return None
        if attempt.worker is not None:
            self._set_free(attempt)
        attempts = self._host.attempts
        if attempts.watched:
            attempts.ended(attempt)
        # What knows the attempt is let go of: each would keep the other, and with them the whole
        # run, until the garbage collector comes.
        attempt.request = attempt.context = attempt.scope = None
        if attempt.part and attempt.timer is not None:
            attempt.timer.cancel()
        if attempt.error is None:
            return machine.answered(attempt, attempt.value, now)
        if attempt.part:
            return machine.lost(attempt, attempt.error, now)
        return machine.failed(attempt, attempt.error, now)

    def _set_free(self, attempt: StepAttempt) -> None:
        worker = attempt.worker
        assert worker is not None, "it was given to one"
        assert self._workers is not None, "it was given to one"
        del self._workers[worker]
        if attempt.timer is not None:
            attempt.timer.cancel()
        if not attempt.stopping:
            if self._free is None:
                self._free = []
            self._free.append(worker)

    def _worker_ended(self, exit: Exit, now: float) -> Orders | None:
        ref = exit.ref
        if ref is not None and ref is self._code_worker:
            self._code_worker = None
            if self._player is not None:
                raise ActorDied(ref, exit.reason)  # it has not told how the code ended
            return None
        attempt = None if self._workers is None or ref is None else self._workers.pop(ref, None)
        if attempt is None or ref is None:
            if self._free is not None and ref in self._free:
                self._free.remove(ref)
            return None
        if self._host.ending:
            return None  # cut off, as above
        if attempt.timer is not None:
            attempt.timer.cancel()
        if isinstance(exit.reason, HandlerCancelled):
            attempt.error = HandlerCancelled(target_name(attempt.target))
        else:
            attempt.error = ActorDied(ref, exit.reason)
        self._host.attempts.ended(attempt)
        return self._machine.lost(attempt, attempt.error, now)

    def _expired(self, message: Expired, now: float) -> Orders | None:
        """The time of an attempt is over. If a worker has it, that is left behind."""
        attempt, worker = message.attempt, message.attempt.worker
        if self._held is not None and attempt in self._held:
            self._held.discard(attempt)
            attempt.error = QueueTimeout(target_name(attempt.target), message.timeout_s)
            self._host.attempts.ended(attempt)
            return self._machine.failed(attempt, attempt.error, now)
        if attempt.part and attempt in self._machine.under_way:
            attempt.overdue = attempt.stopping = True
            self._cut_off(attempt)
            return None
        if worker is None or self._workers is None or self._workers.get(worker) is not attempt:
            return None
        del self._workers[worker]
        worker.exit("shutdown")
        attempt.error = WorkTimeout(attempt.target.name, message.timeout_s)
        self._host.attempts.ended(attempt)
        return self._machine.failed(attempt, attempt.error, now)

    # -- carrying out ----------------------------------------------------------------------------

    def _carry_out(self, orders: Orders, now: float) -> None:
        """Do what the machine says."""
        if orders.give_up is not None:
            self._host.write_failed(self._live, orders.give_up)
            self.exit("shutdown")
        while orders.stop:
            stop, orders.stop = orders.stop, []
            orders = self._machine.stopped([one for one in stop if self._cut_off(one)], now)
        if orders.outcome is not None:
            orders = self._tell_code(orders, now)
        if orders.abandon:
            orders.abandon = False
            self._carry_out(self._abandon_code(now), now)
            return
        if orders.blocked is not None:
            self._block(orders.blocked)
            return
        if orders.write is not None:
            group, orders.write = orders.write, None
            self._write(group)
        if orders.tell:
            events, orders.tell = orders.tell, []
            self._live.publish(events)
        if orders.start:
            for attempt in orders.start:
                self._start(attempt, now)
            orders.start.clear()
        if orders.rest:
            self._rest()
        elif orders.wake_at is not None:
            self._arm(orders.wake_at, now)

    def _cut_off(self, attempt: StepAttempt) -> bool:
        """Stop an attempt; return whether it has ended by that."""
        if attempt.part and (attempt.again or attempt.coordinator is not None):
            held = self._held is not None and attempt in self._held
            if not held:
                if attempt.coordinator is not None:
                    self._host.stop_part(self._live, attempt, self._machine.cancellation)
                return False
        if attempt.worker is not None:
            attempt.worker.exit("shutdown")
            return False
        if attempt.request is not None:
            attempt.request.abandon()
        if self._held is not None:
            self._held.discard(attempt)
        if attempt.timer is not None:
            attempt.timer.cancel()
        self._host.attempts.ended(attempt)
        return True

    def _write(self, group: Group) -> None:
        if self._withholds:
            return
        live = self._live
        if group.events:
            # They are the last of the records: those who follow from here on have not seen the
            # others.
            following = len(group.records) + (1 if live.lease is None else live.lease.next_seq)
            first = following - len(group.events)
            group.events = [
                WorkflowEvent(*event[:-1], first + n) for n, event in enumerate(group.events)
            ]
        written = Acknowledged(live, self._me, group)
        try:
            self._host.write(live, group, written.settle)
        except Exception as error:
            # What cannot be stored at all: the step that returned it must not pass for finished.
            written.error = error
            self._me.tell(written)

    def _acknowledged(self, message: Acknowledged, now: float) -> Orders | None:
        if message.error is None:
            return self._machine.acknowledged(message.group, now)
        if self._host.hold(self._live, message.error):
            return None
        return self._machine.refused(message.group, message.error)

    def _write_again(self, written: int, now: float) -> None:
        """Go on with a store that answers again, and has the first *written* records of the rest."""
        live, machine = self._live, self._machine
        live.outage = live.refused = None
        # What follows from what it has is not given to it before the rest is.
        self._withholds = True
        try:
            for group in machine.unwritten:
                written -= len(group.records)
                if written < 0:
                    break
                if group.records:
                    self._carry_out(machine.acknowledged(group, now), now)
        finally:
            self._withholds = False
        for group in machine.unwritten:
            self._write(group)

    def _start(self, attempt: StepAttempt, now: float) -> None:
        """Have an attempt begin: agents are asked directly, others by a worker."""
        host, live = self._host, self._live
        if live.run.persist and not host.holds(live):
            self._doubtful = [*(self._doubtful or ()), attempt]
            return
        attempts = host.attempts
        attempt.coordinator = self._me
        attempt.spender = live
        if attempts.watched and not attempts.admit(attempt):
            self._hold(attempt)
            return
        attempt.context = WorkContext(live.run, attempt)
        if attempts.watched or self._followed:
            attempts.observe(live, attempt)
        variables = live.variables
        if attempt.span is not None:
            variables = attempts.under_span(attempt, variables)
        target, timeout_s = attempt.target, _own_limit(attempt)
        if attempt.part:
            self._start_part(attempt, timeout_s, variables)
            return
        if isinstance(target, Agent):
            if timeout_s is None:
                timeout_s = attempts.limit_time(attempt, now)
            attempt.request = request = target.request_step(
                with_context(attempt.payload, variables),
                timeout_s,
                self._may_wait_s(attempt),
                context=attempt.context,
                system=host.home,
            )
            refuse_if_circle(request)
            request.notify(attempt)  # which tells this actor of the answer
            return
        if target.__class__ is Coroutine:
            if timeout_s is None:
                timeout_s = attempts.limit_time(attempt, now)
            if timeout_s is not None:
                attempt.timer = host.home.call_later(timeout_s, attempt.expire, timeout_s)
        else:
            attempt.timeout_s = timeout_s or attempts.default_timeout_s
            attempts.inherit(live, attempt)
        worker = self._free.pop() if self._free else self.spawn(StepWorker)
        if self._workers is None:
            self._workers = {}
        self._workers[worker] = attempt
        attempt.worker = worker
        worker.tell(with_context(attempt, variables))

    def _hold(self, attempt: StepAttempt) -> None:
        """Let an attempt wait for its agent's limit, unless it would wait for itself."""
        if self._held is None:
            self._held = set()
        self._held.add(attempt)
        error = circle_of(attempt)
        if error is None:
            self._limit_wait(attempt)
            return
        self._held.discard(attempt)
        attempt.error = error
        self._me.tell(attempt)

    def _start_part(
        self, attempt: StepAttempt, timeout_s: float | None, variables: Context | None
    ) -> None:
        """Have an attempt begin that is a run of its own."""
        host, live = self._host, self._live
        host.attempts.inherit(live, attempt)
        if attempt.undo and timeout_s is not None:
            attempt.timer = host.home.call_later(timeout_s, attempt.expire, timeout_s)
        host.start_part(live, attempt, variables)
        if attempt.stopping:
            host.stop_part(live, attempt, self._machine.cancellation)

    def _limit_wait(self, attempt: StepAttempt) -> None:
        """Limit how long an attempt may wait for a place at its agent, as a part of its wait for that."""
        limit_s = self._may_wait_s(attempt)
        if limit_s is not None:
            home = self._host.home
            attempt.waits_until = home.clock() + limit_s
            attempt.timer = home.call_later(limit_s, attempt.expire, limit_s)

    def _may_wait_s(self, attempt: StepAttempt) -> float | None:
        """Return how long an attempt may wait from now until its agent takes it up."""
        if attempt.waits_until is not None:
            return max(0.0, attempt.waits_until - self._host.home.clock())
        return None if attempt.undo else attempt.plan.queue_timeout_s

    def _begin_held(self, attempt: StepAttempt, now: float) -> None:
        """It is the turn of an attempt that has waited for its agent's limit."""
        if self._held is None or attempt not in self._held:
            self._host.attempts.ended(attempt)
            return
        self._held.discard(attempt)
        if attempt.timer is not None:
            attempt.timer.cancel()
            attempt.timer = None
        self._start(attempt, now)

    # -- resting -----------------------------------------------------------------------------------

    def _arm(self, due: float, now: float) -> None:
        """Have this actor told when the next time comes that the run waits for."""
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self.send_after(max(0.0, due - now), TICK)

    def _rest(self) -> None:
        """Let go of the run: it has ended, or only waits, which needs no actor."""
        live, machine, player = self._live, self._machine, self._player
        if player is not None:
            # The code is put away first; what comes meanwhile is looked at after that.
            player.parked = True
            player.put_away()
            return
        if machine.ended:
            self._conclude()
        elif machine.under_way and self._host.attempts.watched:
            for attempt in sorted(machine.under_way, key=_place):
                self._host.attempts.ended(attempt)  # its part is found again without it
        if isinstance(machine, CodeMachine):
            machine.let_go()
        live.ref = None
        live.under_way = ()
        if machine.uneventful and not self._workers and not self._held:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self.idle = True
            del self._live, self._machine
            if self._host.released(self._me, live):
                return
        self.exit("shutdown")

    def _conclude(self) -> None:
        """Answer the requests that wait for the end of the run."""
        live, machine = self._live, self._machine
        run = live.run
        if run.state is WorkflowState.COMPLETED:
            live.result = machine.result
        elif run.state is WorkflowState.FAILED:
            live.error = machine.failure
        else:
            live.error = WorkflowCancelled(run.plan.name, run.id, run.reason or "cancelled")
        self._host.concluded(live)
        carried_out = machine.cancellation
        if live.cancel is not None:
            live.cancelled(
                CancelReport(
                    run.id,
                    run.state,
                    live.cancel.reason,
                    already_finished=carried_out is None,
                    stopped_steps=machine.stopped_steps,
                    compensated_steps=run.compensated,
                    failed_compensations=run.undo_failed,
                )
            )


_place: Final = attrgetter("place")


def _own_limit(attempt: StepAttempt) -> float | None:
    """Return the time limit that the definition sets the attempt."""
    plan = attempt.plan
    if attempt.undo and plan.definition.compensate is not None:
        return plan.definition.compensate.timeout_seconds
    return plan.timeout_s
