"""The engine's actor: one in each system in which the engine is used.

It gives runs their turn, starts a coordinator for each, watches how those end, and wakes runs that
wait for a time. All state of live runs belongs to the loop of its system. The public calls of
`OrchestrationEngine` come here as messages, and read what they show directly, on the same loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from agenticaiframework.actors import (
    SHUTDOWN,
    Actor,
    ActorDied,
    Exit,
    describe_reason,
    is_word,
    refuse_if_circle,
)

from ..errors import (
    EngineDraining,
    EngineStopped,
    TooManyWorkflows,
    WorkflowExists,
    WorkflowFailed,
    WorkflowLost,
    describe,
)
from ..runner.coordinator import RunCoordinator
from ..runner.messages import HELD, NUDGE, TakeOn, WriteAgain
from ..runner.notes import Notes
from ..runner.opening import begin_with, told_span
from ..runner.waiting import next_due
from ..state.cancellation import Cancellation
from ..state.events import EventKind, WorkflowEvent
from ..state.instants import instant
from ..state.status import CancelReport, WorkflowState
from ..state.transitions import apply
from ..state.views import ending_of
from ..store import Durability, FencedOut, RunExists, queue_of
from .admission import Admission
from .attempts import Attempts
from .draining import Drainage, Drainer
from .gate import StoreGate
from .health import add_checks
from .keeper import STORE_ANSWERS, KeeperReady, StoreFailed
from .lease import LEASE_RENEWED
from .messages import (
    ADMIT,
    LOOK_AT_SCHEDULES,
    CancelRun,
    DrainEngine,
    DropRun,
    OpenStore,
    Retire,
    SignalRun,
    StartRun,
    StopEngine,
    WakeRun,
)
from .parts import Parts
from .pool import CoordinatorPool
from .roster import Roster
from .run_log import RunLog
from .scheduler import LOOK, LOOK_S, Scheduler
from .seeking import LeaseReturn, PartFound
from .takeover import is_active
from .watch import RunWatch

if TYPE_CHECKING:
    from contextvars import Context

    from agenticaiframework.actors import ActorRef, ActorSystem, Request

    from ...vocabulary.target import Askable
    from ..runner.attempt import StepAttempt
    from ..runner.orders import Group
    from ..state.live import LiveRun
    from ..store import Lease, Record, Signal
    from .outage import Outage
    from .setup import Setup
    from .unread import Unread

MAX_RESTARTS: Final = 3
"""How often a stored run's coordinator that crashed is started again."""


class EngineCore(Actor):
    """Owns the runs of one engine in one system. Linked to their coordinators, which end with it."""

    exit_is_crash = True

    def __init__(self, setup: Setup, system: ActorSystem) -> None:
        super().__init__()
        self.trap_exit = True
        self.setup = setup
        self.home = system
        # Dates follow the loop's own clock from here on, so that timers and deadlines agree, also
        # where time is simulated.
        self.clock: Callable[[], float] = system.loop.time
        began = self.clock()
        self.epoch = setup.config.wall_clock() - began
        self.chance: Callable[[], float] = system.random.random
        self.resolve: Callable[[Any], Askable] = setup.resolve
        config = setup.config
        self.tracer = setup.make_tracer(self.now, system.random) if config.enable_tracing else None
        self.roster = Roster(config.keep_finished)
        self.run_log = RunLog(setup.name, system.log)
        self.gate = StoreGate(self, setup, system, self.spawn)
        self.watch = RunWatch(setup, self.gate, system)
        self._pool = CoordinatorPool()
        self._admission = Admission(
            config.max_concurrent_workflows, config.max_queued_workflows, config.reserved
        )
        self.attempts = Attempts(setup, system, self.tracer, lambda: self._pool.runs, self.now)
        self.arriving: dict[Any, None] = {}
        """What this actor was told and has not handled: those who wait for it are told, if it never is."""
        self.parts = Parts(self, config.max_nested_workflows)
        self._scheduler: ActorRef[Any] | None = None
        """Starts what is due by the schedules in the store, once that is open."""
        self._retiring = False
        self._drainage: Drainage | None = None
        """Set while the engine is drained, and from then on."""
        self._doubtful: dict[str, LiveRun] = {}
        """Runs whose steps wait until it is known that the engine still holds them."""
        cores_of(system)[id(setup)] = self
        self._end_checks = add_checks(self)

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return instant(self.epoch + self.clock())

    @property
    def ending(self) -> bool:
        """Whether the engine, or the whole system, is about to end."""
        return self.setup.stopped or not self.home.running

    def ahead_of_run(self, live: LiveRun) -> list[LiveRun]:
        """Return the runs that all must get on before *live* can end: itself, once it has its turn."""
        if live.queued is None:
            return [live]
        turns = (self.roster.get(run_id) for run_id in self._admission.turns)
        return [run for run in turns if run is not None]

    # -- messages --------------------------------------------------------------------------------

    def on_receive(self, message: Any) -> None:
        cls = message.__class__
        if cls is StartRun:
            self._take_in(message)
            self.arriving.pop(message, None)
        elif cls is Exit:
            self._actor_ended(message)
        elif cls is SignalRun:
            self._signal(message)
        elif cls is CancelRun:
            self._cancel(message)
            self.arriving.pop(message, None)
        elif cls is WakeRun:
            self._wake(message.run_id)
        elif cls is DropRun:
            self._drop(message)
        elif cls is PartFound:
            self.parts.found(message)
        elif cls is OpenStore:
            self.gate.open(message.request)
            self.arriving.pop(message, None)
        elif cls is KeeperReady:
            self.gate.ready(message)
            self._look_at_schedules()
        elif cls is StoreFailed:
            self.gate.failed(message.error)
        elif cls is DrainEngine:
            self._drain(message)
            self.arriving.pop(message, None)
        elif cls is StopEngine:
            self.exit("shutdown")
        elif cls is Retire:
            self._retiring = True
        elif message == ADMIT:
            self._admit()
        elif message == STORE_ANSWERS:
            self.gate.answers()
            self._look_at_schedules()
        elif message == LEASE_RENEWED:
            self._held_again()
        elif message == LOOK_AT_SCHEDULES:
            self._look_at_schedules()
        if self._retiring and not self._pool.runs and not self._admission.waiting:
            self._retire()

    def tell(self, message: Any) -> None:
        """Send this actor a message; one that has ended needs none."""
        try:
            self.actor_ref.tell(message)
        except ActorDied:
            pass  # the engine has stopped meanwhile, and what belongs to it ends, too

    async def on_stop(self) -> None:  # type: ignore[override]
        for end_check in self._end_checks:
            end_check()
        self.attempts.stop()
        for live in self.roster:
            if not live.over:
                if self.ending:
                    self._note_survival(live)
                self._interrupt(live, "its engine has been stopped")
        if self._drainage is not None:
            self._drainage.conclude()
        error = EngineStopped(self.setup.name)
        arriving, self.arriving = self.arriving, {}
        for message in arriving:
            self._turn_away(message, error)
        self.watch.close()
        await self.gate.close()
        for live in self.roster:
            live.accept(error)  # a store that does not answer has not decided it, and never will

    def _note_survival(self, live: LiveRun) -> None:
        """Note that a run has survived until its engine was stopped in good order."""
        if live.run.takeovers and not live.blocked and is_active(live.run):
            self.gate.note_interruption(live)

    async def on_failure(self, *_error: Any) -> None:  # type: ignore[override]
        await self.on_stop()

    def _turn_away(self, message: Any, error: EngineStopped) -> None:
        """Answer a message that is never handled."""
        if message.__class__ is StartRun:
            self._refuse(message.live, message.accepted, error)
        elif message.__class__ in (OpenStore, DrainEngine):
            message.request.fail(error)
        elif message.__class__ is CancelRun:
            message.cancellation.fail(error)

    def _retire(self) -> None:
        """End, unless runs in memory still wait for something: those can only go on here."""
        if not any(not live.over and not live.run.persist for live in self.roster):
            self.exit("shutdown")

    # -- taking in -------------------------------------------------------------------------------

    def _take_in(self, start: StartRun) -> None:
        """Let a run begin or go on: now, or when it is its turn."""
        live = start.live
        live.coming = False
        there = self.roster.get(live.id)
        if live.ref is not None and there is live:
            return  # it goes on already: a signal came before its turn, for example
        if there is not None and there is not live and not there.over:
            if there.accepted is not None and there.being_stored:
                there.accepted.add_done_callback(partial(self._decided, start))
            else:
                self._refuse(live, start.accepted, WorkflowExists(live.id))
            return
        self._read(live)
        if live.lease is not None:
            self.watch.heard(live.id)
        drainage = self._drainage
        if drainage is not None and drainage.report is not None:
            # It came too late to be given back with the others, and nothing would.
            self._refuse(live, start.accepted, EngineDraining(self.setup.name))
            if live.lease is not None and self.gate.keeper is not None:
                self.spawn(LeaseReturn, self.gate.keeper.store, live.lease)
            self.roster.remove(live)
            return
        admission = self._admission
        if admission.may_run(live.turn or live.id):
            self.roster.add(live)
            self._launch(start)
            return
        # One that comes out of the store has been taken by this engine: it can be refused no more.
        if live.run.started_at is None and live.lease is None:
            try:
                admission.check_room(live.run.plan.name)
            except TooManyWorkflows as error:
                self.roster.remove(live)
                self._refuse(live, start.accepted, error)
                return
        self.roster.add(live)
        self._enqueue(start)

    def _decided(self, start: StartRun, first: Request) -> None:
        """The store has taken in a run, or has refused it, behind which another start waits for its id.

        What is told to exist could be gone with this process before that.
        """
        if not first.cancelled() and first.exception() is None:
            self._refuse(start.live, start.accepted, WorkflowExists(start.live.id))
        elif self.ending:
            self._refuse(start.live, start.accepted, EngineStopped(self.setup.name))
        else:
            self.tell(start)

    def _refuse(self, live: LiveRun, accepted: Request | None, error: BaseException) -> None:
        """Tell the caller that started a run that it is not taken in."""
        now, data = self.now(), {"error": describe(error)}
        apply(live.run, EventKind.WORKFLOW_FAILED, "", 0, data, now)
        live.error = error
        if accepted is not None:
            accepted.fail(error)
        # It has never been, which is not an end: there may be another run of its id, in the store.
        live.publish([WorkflowEvent(EventKind.WORKFLOW_INTERRUPTED, live.id, data=data, at=now)])
        live.cancelled()
        live.conclude()

    def _enqueue(self, start: StartRun) -> None:
        live = start.live
        self._admission.put(start)
        for request in live.waiters or ():
            refuse_if_circle(request)
        if live.run.persist and live.lease is None:
            live.accepted = start.accepted or live.accepted
            notes = Notes(live.run)
            notes.now = self.now()
            # With the run itself, or a crash would leave one that had never been forked.
            begin_with(notes, start.opening)
            start.opening = ()
            try:
                self.gate.create(live, notes.records, lambda error: self._created(live, error))
            except Exception as error:
                self._created(live, error)
        elif start.accepted is not None:
            start.accepted.reply(live.id)

    def _created(self, live: LiveRun, error: BaseException | None) -> None:
        """The store has taken in a run that waits for its turn, or has refused it."""
        if error is None:
            live.accept()
        else:
            self._admission.remove(live)
            self.write_failed(live, error)
            if live.over:
                self._keep(live)

    def _launch(self, start: StartRun) -> None:
        """Give a run to a coordinator."""
        live = start.live
        live.stop_waking()
        live.resting = False
        opening = start.opening
        if live.opening is not None:
            opening, live.opening = opening or live.opening, None
        self._admission.begin(live.id, live.turn or live.id)
        if live.around is not None:
            self.parts.woken(live)
        if self.tracer is not None:
            self.tracer.begin_run(live)
            opening = told_span(opening, live.run.span)
        accepted = start.accepted
        # One that has waited for its turn may be about to be stored still: its caller is told then.
        if accepted is not None and accepted is not live.accepted:
            if live.run.persist and live.lease is None:
                live.accepted = accepted
            else:
                accepted.reply(live.id)
        ref = self._pool.take()
        if ref is None:
            ref = self.spawn(RunCoordinator, self, live, opening)
            self._pool.give(ref, live)
            live.ref = ref
        else:
            self._pool.give(ref, live)
            live.ref = ref
            task = TakeOn(live, opening)
            if not ref.handle_now(task):
                ref.tell(task)

    def _admit(self) -> None:
        while (start := self._admission.next()) is not None:
            self._launch(start)

    # -- ending ----------------------------------------------------------------------------------

    def _actor_ended(self, exit: Exit) -> None:
        ref = exit.ref
        if ref is None or self.gate.ended(ref, exit.reason):
            return
        if ref is self._scheduler:
            self._scheduler = None
            self.home.call_later(LOOK_S, self.tell, LOOK_AT_SCHEDULES)
            return
        live = self._pool.ended(ref)
        if live is not None:
            if live.ref is ref:
                live.ref = None
            self._let_go(ref, live, exit.reason)
            self._admit()

    def released(self, coordinator: ActorRef[Any], live: LiveRun) -> bool:
        """Take note that a coordinator is done with its run; return whether it is to be kept.

        Called in the coordinator's turn, like the rest of what coordinators call here.
        """
        if not self._pool.release(coordinator):
            return False
        self._let_go(coordinator, live, SHUTDOWN)
        if self._retiring or self._admission.waiting:
            self.tell(ADMIT)
        return True

    def _let_go(self, ref: ActorRef[Any], live: LiveRun, reason: Any) -> None:
        """Find out what is to become of a run that has no coordinator any more."""
        self._admission.end(live.id, live.turn or live.id)
        self._look_for_more(live)
        if self.attempts.watched:
            self.attempts.drop(ref)
        if live.over:
            if live.cancel is not None:
                live.cancelled()  # it came too late
            self._keep(live)
        elif live in self.gate.unread:
            self.gate.reload(live)
        elif live.ref is not None:
            pass  # a signal has brought it another coordinator already
        elif live.blocked:
            pass  # what can go on with it takes it from the store
        elif is_word(reason, SHUTDOWN):
            self._park(live)
        else:
            self._crashed(live, reason)

    def _look_for_more(self, live: LiveRun) -> None:
        """Have runs of queues taken: the end of one makes a place in its queue, and any makes room."""
        keeper = self.gate.keeper
        if keeper is not None and (
            (live.over and live.run.queue is not None) or keeper.queues.starved
        ):
            keeper.take_soon()

    def _park(self, live: LiveRun) -> None:
        """Keep a run that waits, without an actor, until a signal or its time comes."""
        if live.cancel is not None or live.unseen_signals:
            self._take_in(StartRun(live))
            return
        due = next_due(live.run)
        live.run.shrink()
        if due is not None:
            delay_s = max(0.0, due - self.now())
            live.waking = self.home.call_later(delay_s, self.tell, WakeRun(live.id))
        live.resting = True
        if live.around is not None:
            self.parts.parked(live)

    def _wake(self, run_id: str) -> None:
        live = self.roster.get(run_id)
        if live is not None and live.ref is None and not live.over:
            if live.blocked or live.coming:
                return
            live.waking = None
            self._take_in(StartRun(live))

    def _crashed(self, live: LiveRun, reason: Any) -> None:
        """A coordinator ended before its run: by a defect, or because it was killed."""
        run = live.run
        if run.persist and live.restarts < MAX_RESTARTS:
            live.restarts += 1
            self.run_log.coordinator_crashed(live, reason, MAX_RESTARTS)
            self.gate.reload(live)
            return
        cause = reason if isinstance(reason, BaseException) else describe_reason(reason)
        failure = WorkflowFailed(run.plan.name, run.id, "", "", cause, stored=run.persist)
        self._fail(live, failure, describe(cause))
        # Its parts are runs of their own, and are of no use any more.
        for part in tuple((live.parts or {}).values()):
            if not part.over:
                self._cancel(CancelRun(part.id, Cancellation("the run around it is gone")))

    def _fail(self, live: LiveRun, failure: WorkflowFailed, text: str) -> None:
        """Let a run fail here, which can write nothing more."""
        apply(live.run, EventKind.WORKFLOW_FAILED, "", 0, {"error": text}, self.now())
        live.error = failure
        self._tell_end(live)

    def _tell_end(self, live: LiveRun, *, is_news: bool = True) -> None:
        live.tell_last_event(self.now())
        self.concluded(live, is_news=is_news)
        live.cancelled()
        self._keep(live)

    def _keep(self, live: LiveRun) -> None:
        """Keep a finished run for a while, so that it can be asked about."""
        live.ref = None
        self.roster.keep(live)
        if live.around is not None:
            self.parts.ended(live)

    def _interrupt(self, live: LiveRun, why: str, *, reconnect: bool = False) -> None:
        """Stop knowing about a run that has not ended; a stored one goes on elsewhere."""
        self.gate.unread.discard(live)
        live.outage = None
        error = WorkflowLost(live.run.plan.name, live.id, why)
        # One in memory ends with its engine.
        kind = EventKind.WORKFLOW_INTERRUPTED if live.run.persist else EventKind.WORKFLOW_FAILED
        data: dict[str, Any] = {"error": why}
        if reconnect and live.run.persist:
            data["reconnect"] = True
        live.publish([WorkflowEvent(kind, live.id, data=data)])
        if self.tracer is not None and live.run.persist:
            self.tracer.give_up(live)
        live.interrupt(error)
        if self.setup.watchers:
            self.setup.watchers.run_ended(live, self.now())
        if self.tracer is not None:
            self.tracer.end_run(live)

    def _drop(self, drop: DropRun) -> None:
        live = self.roster.get(drop.run_id)
        if live is None or live.over:
            return
        self._interrupt(live, drop.why)
        if live.ref is not None:
            live.ref.kill()
        else:
            self._keep(live)
        self._drop_parts(live)

    def _drop_parts(self, live: LiveRun) -> None:
        """Let the parts of a run go with it: the engine that has it now goes on with them."""
        for part in tuple((live.parts or {}).values()):
            if not part.over:
                self._drop(DropRun(part.id, "the run around it is run elsewhere"))
                if part.lease is not None and self.gate.keeper is not None:
                    self.spawn(LeaseReturn, self.gate.keeper.store, part.lease)

    @property
    def scheduler(self) -> ActorRef[Any] | None:
        """What starts the workflows that are due, if this engine does so."""
        return self._scheduler

    # -- schedules -------------------------------------------------------------------------------

    def _look_at_schedules(self) -> None:
        """Have what is due by the schedules in the store started, if that is for this engine to do."""
        if self.gate.keeper is None or self.ending or not self.setup.starts_scheduled:
            return
        if self._scheduler is None:
            self._scheduler = self.spawn(Scheduler, self)
            return
        try:
            self._scheduler.tell(LOOK)
        except ActorDied:
            pass  # its end is on its way here, and another one takes its place

    # -- draining ----------------------------------------------------------------------------------

    def _drain(self, message: DrainEngine) -> None:
        """Begin to drain, or have *message* answered by what has begun already."""
        if self._drainage is None:
            self._drainage = Drainage(self, message.limit_s)
            # What waits here for runs of other engines is to ask those.
            self.watch.close(EngineDraining)
            self.spawn(Drainer, self._drainage)
        self._drainage.add(message.request, message.limit_s)

    def stands_still(self, live: LiveRun) -> None:
        """Take note that nothing of a run is under way, while the engine is drained."""
        if self._drainage is not None:
            self._drainage.stands_still(live)

    def let_go(self, live: LiveRun, why: str) -> list[Lease]:
        """Stop knowing about a run and its parts; return what they were held by, the innermost first."""
        self._admission.remove(live)
        self._note_survival(live)
        for attempt in live.under_way:
            if attempt.request is not None:
                attempt.request.abandon()
        self._interrupt(live, why, reconnect=True)
        if live.ref is not None:
            live.ref.kill()
        else:
            self._keep(live)
        leases: list[Lease] = []
        for part in tuple((live.parts or {}).values()):
            if not part.over:
                leases += self.let_go(part, why)
        if live.lease is not None:
            leases.append(live.lease)
        return leases

    # -- signals and cancellations -----------------------------------------------------------------

    def _signal(self, message: SignalRun) -> None:
        live = self.roster.get(message.run_id)
        if live is None:
            return
        if live.over:
            if message.signals and not live.interrupted:
                self.signals_unused(live, message.signals)
            return
        if live.blocked:
            return  # they are kept in the store, and read again when it goes on
        live.put_signals(message.signals)
        if live.parts is None:
            self._nudge(live)
            return
        for taker in self.parts.takers(live, message.signals or tuple(live.signals or ())):
            taker.unseen_signals = True
            self._nudge(taker)

    def _cancel(self, message: CancelRun) -> None:
        cancellation = message.cancellation
        live = self.roster.get(message.run_id)
        if live is None or live.over:
            state = WorkflowState.INTERRUPTED if live is None else live.state
            cancellation.answer(
                CancelReport(
                    message.run_id, state, cancellation.reason, already_finished=live is not None
                )
            )
        elif live.cancel is not None:
            live.cancel.requests += cancellation.requests
        else:
            live.cancel = cancellation
            self._nudge(live)

    def _nudge(self, live: LiveRun) -> None:
        """Have a run look at what came for it."""
        if live.coming or (live.ref is None and live in self.gate.unread):
            return  # it looks at everything when it goes on, from what is stored
        if live.blocked and live.cancel is None:
            return
        if live.ref is not None:
            try:
                live.ref.tell(NUDGE)
            except ActorDied:
                pass  # its end is on its way here, and looks at the run again
        elif live.cancel is not None:
            # Being cancelled needs no turn.
            self._admission.remove(live)
            self._launch(StartRun(live))
        elif live.run.started_at is not None and live.queued is None:
            self._take_in(StartRun(live))

    # -- for parts -----------------------------------------------------------------------------------

    @property
    def waiting_for_turn(self) -> int:
        """How many runs wait for their turn."""
        return self._admission.queued

    @property
    def turns(self) -> int:
        """How many runs have their turn."""
        return len(self._admission.turns)

    @property
    def launch_host(self) -> EngineCore:
        """What makes and starts runs: this actor."""
        return self

    def take_in(self, start: StartRun) -> None:
        """Let a run begin or go on, in the turn of whatever calls."""
        self._take_in(start)

    def cancel(self, message: CancelRun) -> None:
        """Cancel a run, in the turn of whatever calls."""
        self._cancel(message)

    def nudge(self, live: LiveRun) -> None:
        """Have a run look at what there is for it."""
        self._nudge(live)

    def expedite(self, live: LiveRun) -> None:
        """Let a run that waits for its turn begin now: the run around it has one."""
        start = live.queued
        if start is not None:
            self._admission.remove(live)
            self._launch(start)

    def wake(self, live: LiveRun) -> None:
        """Take up a run again that is parked."""
        self._wake(live.id)

    def start_part(self, live: LiveRun, attempt: StepAttempt, variables: Context | None) -> None:
        """Begin, or find, the run that works on an attempt; its end ends the attempt."""
        self.parts.start(live, attempt, variables)

    def stop_part(
        self, live: LiveRun, attempt: StepAttempt, cancellation: Cancellation | None
    ) -> None:
        """Cancel the run that works on an attempt; its end ends the attempt."""
        self.parts.stop(live, attempt, cancellation)

    # -- for coordinators and keepers --------------------------------------------------------------

    def write(
        self, live: LiveRun, group: Group, done: Callable[[BaseException | None], None]
    ) -> None:
        """Have a group of events stored; its coordinator is told when it is, or has failed."""
        self.gate.write(live, group, done)

    def hold(self, live: LiveRun, error: BaseException) -> bool:
        """Tell whether a coordinator keeps what was not written until the store answers again."""
        if isinstance(error, RunExists) and live.in_doubt is not None:
            self.gate.reload(live)  # it was written before, although the answer was lost
            return True
        # What the store has acknowledged and lost can only be read again.
        kept = self.gate.durability is not Durability.NONE
        return kept and self.gate.suspend(live, error)

    def written(self, live: LiveRun, lease: Lease | None, count: int) -> None:
        """Have a run go on writing under *lease*; the store has *count* records more than was known."""
        if live.ref is None or not self.gate.unread.discard(live):
            return
        live.lease = lease
        if count and live.accepted is not None:
            live.accept()
        live.go_on(self.now(), writing=True)
        try:
            live.ref.tell(WriteAgain(count))
        except ActorDied:
            self.gate.unread.add(live)  # its end is on its way here, and has it read

    @property
    def stored_form(self) -> Callable[[Any, Callable[[], str]], Any]:
        """What returns the form that the store keeps of a value, as `Store.stored_form` does."""
        return self.gate.stored_form

    def room(self) -> int:
        """Return how many runs more can begin."""
        return self._admission.room

    def holds(self, live: LiveRun) -> bool:
        """Tell whether the engine holds a stored run for sure, so that a step of it may begin."""
        keeper = self.gate.keeper
        drainage = self._drainage
        if drainage is not None and drainage.withholds(live):
            return False  # another engine begins it
        if keeper is None or not keeper.lease.in_doubt:
            return True
        self._doubtful[live.id] = live
        keeper.look_at_lease()
        return False

    def _held_again(self) -> None:
        """Let steps begin that waited for the lease; runs that are lost have been let go of."""
        doubtful, self._doubtful = self._doubtful, {}
        for live in doubtful.values():
            if not live.over and live.ref is not None:
                try:
                    live.ref.tell(HELD)
                except ActorDied:
                    pass  # its end is on its way here

    def write_failed(self, live: LiveRun, error: BaseException) -> None:
        """The store did not take what happened in a run: stop it here, and say so."""
        if isinstance(error, RunExists) and live.in_doubt is None:
            self.taken(live)
            return
        if live.over or live in self.gate.unread:
            return  # interrupted meanwhile: what goes on with it says what it had still to say
        if self.gate.suspend(live, error):
            live.ref, live.under_way = None, ()
            return
        if live.accepted is not None:
            live.accept(error)
        if isinstance(error, FencedOut):
            self.run_log.taken_over(live)
            self._interrupt(live, "another engine has taken it over")
            self._drop_parts(live)
            return
        # Its first record comes with the run itself: without one, it is not in the store.
        kept = live.lease is not None and live.lease.next_seq > 1
        live.never_stored = not kept
        run = live.run
        live.error = WorkflowFailed(run.plan.name, run.id, "", "", error, stored=kept)
        apply(run, EventKind.WORKFLOW_FAILED, "", 0, {"error": describe(error)}, self.now())
        live.tell_last_event(self.now())
        self.concluded(live)

    def blocked(self, live: LiveRun, reason: str, reopening: Sequence[Record] = ()) -> None:
        """Take note that a run cannot go on as things are, and end its coordinator.

        It is written as blocked and given back to the store, so that it holds neither a turn nor its
        lease; what waits for its end waits on. One that had ended has gone on with the records of
        *reopening*. A run that is not stored has nowhere to wait: it fails.
        """
        if live.over or live.blocked:
            return
        ref = live.ref
        if not live.run.persist or live.lease is None:
            failure = WorkflowFailed(live.run.plan.name, live.id, "", "", reason)
            self._fail(live, failure, reason)
        else:
            self._read(live)
            live.block(reason, self.now())
            self._admission.end(live.id, live.turn or live.id)
            self.gate.block(live, reason, reopening)
            if live.around is not None:
                self.parts.parked(live)  # or the run around it would hold their turn for it
        if ref is not None:
            ref.kill()

    def taken(self, live: LiveRun) -> None:
        """Refuse a run whose id another one has: that came first, and this one has never been."""
        accepted, live.accepted = live.accepted, None
        self._read(live)
        self.roster.remove(live)
        if live.ref is not None:
            live.ref.kill()
        self._refuse(live, accepted, WorkflowExists(live.id))

    @property
    def unread(self) -> Unread:
        """The runs that have to be read from the store before they go on."""
        return self.gate.unread

    @property
    def outage(self) -> Outage | None:
        """Set while the store does not answer."""
        return self.gate.outage

    def _read(self, live: LiveRun) -> None:
        """Take note that a run has been read from the store, or is over."""
        if self.gate.unread and self.gate.unread.discard(live):
            live.go_on(self.now())
            if live.accepted is not None and live.lease is not None:
                live.accept()

    def concluded(self, live: LiveRun, *, is_news: bool = True) -> None:
        """Take note that a run has ended, and complete the requests that wait for that.

        Unless *is_news*, what has run it has written a record of it.
        """
        if is_news and live.run.state is not WorkflowState.COMPLETED:
            self.run_log.ended(live)
        self._read(live)
        if self._drainage is not None:
            self._drainage.ended(live)
        if live.signals:
            signals, live.signals = live.signals, None
            self.signals_unused(live, signals)
        live.conclude()
        if self.setup.watchers:
            self.setup.watchers.run_ended(live, self.now())
        if self.tracer is not None:
            self.tracer.end_run(live)

    def signals_unused(self, live: LiveRun, signals: Iterable[Signal]) -> None:
        """Tell that a run has ended, and no step has taken these signals."""
        recipient = f"the workflow {live.run.plan.name!r} ({live.id})"
        why = f"the workflow has ended ({live.run.state})"
        for signal in signals:
            self.home.dead_letter(signal, recipient, why)
        self.home.log.warning(
            "engine {}: {} has ended ({}), and nothing has taken its signals {}",
            self.setup.name, live.id, live.run.state,
            ", ".join(sorted({repr(signal.name) for signal in signals})),
        )  # fmt: skip

    def tell_end(self, live: LiveRun) -> None:
        """Tell all that wait for a run how it ended: it was found ended in the store."""
        if live.run.state is not WorkflowState.COMPLETED:
            live.error = ending_of(live.run)
        self._tell_end(live, is_news=False)

    def heard(self, run_id: str) -> None:
        """Take note that something has happened in the store to a run, in whichever process."""
        queue = queue_of(run_id)
        if queue is not None:
            if queue in self.setup.served and self.gate.keeper is not None:
                self.gate.keeper.take_soon()
            return
        self.watch.heard(run_id)
        live = self.roster.get(run_id)
        if live is not None and live.run.persist and not live.over:
            self.gate.look()

    async def let_store_go(self) -> None:
        """Close the store, unless other actors of this engine use it too."""
        await self.gate.let_go()


def cores_of(system: ActorSystem) -> MutableMapping[int, EngineCore]:
    """Return the engines' actors in *system*, by the id of their setup, which each keeps alive.

    Weakly: an engine that was dropped leaves nothing when its workflows have ended.
    """
    cores: MutableMapping[int, EngineCore] = system.data.setdefault(
        EngineCore, WeakValueDictionary()
    )
    return cores
