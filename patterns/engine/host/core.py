"""The engine's actor: one in each system in which the engine is used.

It gives runs their turn, starts a coordinator for each, watches how those end, and wakes runs that
wait for a time. All state of live runs belongs to the loop of its system. The public calls of
`OrchestrationEngine` come here as messages, and read what they show directly, on the same loop.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
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
    EngineStopped,
    TooManyWorkflows,
    WorkflowExists,
    WorkflowFailed,
    WorkflowLost,
    describe,
)
from ..runner.coordinator import RunCoordinator
from ..runner.messages import NUDGE, TakeOn
from ..runner.waiting import next_due
from ..state.cancellation import Cancellation
from ..state.events import EventKind, WorkflowEvent
from ..state.status import CancelReport, WorkflowState
from ..state.transitions import apply
from ..state.views import ending_of
from ..store import FencedOut, RunExists
from .admission import Admission
from .attempts import Attempts
from .gate import StoreGate
from .keeper import KeeperReady
from .messages import (
    ADMIT,
    CancelRun,
    DropRun,
    OpenStore,
    Retire,
    SignalRun,
    StartRun,
    StopEngine,
    WakeRun,
)
from .pool import CoordinatorPool
from .roster import Roster

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, ActorSystem, Request

    from ...vocabulary.target import Askable
    from ..runner.orders import Group
    from ..state.live import LiveRun
    from .setup import Setup

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
        self.epoch = setup.config.wall_clock() - self.clock()
        self.chance: Callable[[], float] = system.random.random
        self.resolve: Callable[[Any], Askable] = setup.resolve
        config = setup.config
        self.tracer = setup.make_tracer(self.now, system.random) if config.enable_tracing else None
        self.roster = Roster(config.keep_finished)
        self.gate = StoreGate(self, setup, system, self.spawn)
        self._pool = CoordinatorPool()
        self._admission = Admission(config.max_concurrent_workflows, config.max_queued_workflows)
        self.attempts = Attempts(setup, system, self.tracer, lambda: self._pool.runs, self.now)
        self._retiring = False
        cores_of(system)[id(setup)] = self

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self.epoch + self.clock()

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
        elif cls is Exit:
            self._actor_ended(message)
        elif cls is SignalRun:
            self._signal(message)
        elif cls is CancelRun:
            self._cancel(message)
        elif cls is WakeRun:
            self._wake(message.run_id)
        elif cls is DropRun:
            self._drop(message)
        elif cls is OpenStore:
            self.gate.open(message.request)
        elif cls is KeeperReady:
            self.gate.ready(message)
        elif cls is StopEngine:
            self.exit("shutdown")
        elif cls is Retire:
            self._retiring = True
        elif message == ADMIT:
            self._admit()
        if self._retiring and not self._pool.runs and not self._admission.waiting:
            self._retire()

    def tell(self, message: Any) -> None:
        """Send this actor a message; one that has ended needs none."""
        try:
            self.actor_ref.tell(message)
        except ActorDied:
            pass  # the engine has stopped meanwhile, and what belongs to it ends, too

    async def on_stop(self) -> None:  # type: ignore[override]
        self.attempts.stop()
        for live in self.roster:
            if not live.over:
                self._interrupt(live, "its engine has been stopped")
        error = EngineStopped(self.setup.name)
        for message in self.unhandled:
            self._turn_away(message, error)
        await self.gate.close()

    def _turn_away(self, message: Any, error: EngineStopped) -> None:
        """Answer a message that came after the one that ended this actor."""
        if message.__class__ is StartRun:
            self._refuse(message.live, message.accepted, error)
        elif message.__class__ is OpenStore:
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
        there = self.roster.get(live.id)
        if there is not None and there is not live and not there.over:
            self._refuse(live, start.accepted, WorkflowExists(live.id))
            return
        if live.restarts:
            self.gate.reloaded(live)
        admission = self._admission
        if start.part:
            admission.join(live.id)
        if admission.may_run(live.id):
            self.roster.add(live)
            self._launch(start)
            return
        if live.run.started_at is None:
            try:
                admission.check_room()
            except TooManyWorkflows as error:
                self.roster.remove(live)
                self._refuse(live, start.accepted, error)
                return
        self.roster.add(live)
        self._enqueue(start)

    def _refuse(self, live: LiveRun, accepted: Request | None, error: BaseException) -> None:
        """Tell the caller that started a run that it is not taken in."""
        data = {"error": describe(error)}
        apply(live.run, EventKind.WORKFLOW_FAILED, "", 0, data, self.now())
        live.error = error
        if accepted is not None:
            accepted.fail(error)
        live.conclude()

    def _enqueue(self, start: StartRun) -> None:
        live = start.live
        self._admission.put(start)
        for request in live.waiters or ():
            refuse_if_circle(request)
        if live.run.persist and live.lease is None:
            live.accepted = start.accepted
            try:
                self.gate.create(live, [], lambda error: self._created(live, error))
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
            self._keep(live)

    def _launch(self, start: StartRun) -> None:
        """Give a run to a coordinator."""
        live = start.live
        live.stop_waking()
        self._admission.begin(live.id)
        if self.tracer is not None:
            self.tracer.begin_run(live)
        accepted = start.accepted
        if accepted is not None:
            if live.run.persist and live.lease is None:
                live.accepted = accepted
            else:
                accepted.reply(live.id)
        ref = self._pool.take()
        if ref is None:
            ref = self.spawn(RunCoordinator, self, live, start.opening)
            self._pool.give(ref, live)
            live.ref = ref
        else:
            self._pool.give(ref, live)
            live.ref = ref
            task = TakeOn(live, start.opening)
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
        self._admission.end(live.id)
        if self.attempts.watched:
            self.attempts.drop(ref)
        if live.over:
            if live.cancel is not None:
                live.cancelled()  # it came too late
            self._keep(live)
        elif live.ref is not None:
            pass  # a signal has brought it another coordinator already
        elif is_word(reason, SHUTDOWN):
            self._park(live)
        else:
            self._crashed(live, reason)

    def _park(self, live: LiveRun) -> None:
        """Keep a run that waits, without an actor, until a signal or its time comes."""
        if live.cancel is not None or live.unseen_signals:
            self._take_in(self._again(live))
            return
        live.run.shrink()
        due = next_due(live.run)
        if due is not None:
            delay_s = max(0.0, due - self.now())
            live.waking = self.home.call_later(delay_s, self.tell, WakeRun(live.id))

    def _wake(self, run_id: str) -> None:
        live = self.roster.get(run_id)
        if live is not None and live.ref is None and not live.over:
            live.waking = None
            self._take_in(self._again(live))

    def _again(self, live: LiveRun) -> StartRun:
        return StartRun(live, part=self._admission.is_part(live.id))

    def _crashed(self, live: LiveRun, reason: Any) -> None:
        """A coordinator ended before its run: by a defect, or because it was killed."""
        run = live.run
        if run.persist and live.restarts < MAX_RESTARTS:
            live.restarts += 1
            self.system.log.warning(
                "engine {}: the coordinator of {} ended ({}); starting it again from the journal",
                self.setup.name, run.id, describe_reason(reason),
            )  # fmt: skip
            self.gate.reload(live)
            return
        cause = reason if isinstance(reason, BaseException) else describe_reason(reason)
        failure = WorkflowFailed(run.plan.name, run.id, "", "", cause, stored=run.persist)
        self._fail(live, failure, describe(cause))
        # Its parts are runs of their own, and are of no use any more.
        for part in self.roster:
            if part.run.parent == run.id and not part.over:
                self._cancel(CancelRun(part.id, Cancellation("the run around it is gone")))

    def _fail(self, live: LiveRun, failure: WorkflowFailed, text: str) -> None:
        """Let a run fail here, which can write nothing more."""
        apply(live.run, EventKind.WORKFLOW_FAILED, "", 0, {"error": text}, self.now())
        live.error = failure
        self._tell_end(live)

    def _tell_end(self, live: LiveRun) -> None:
        live.tell_last_event(self.now())
        self.concluded(live)
        live.cancelled()
        self._keep(live)

    def _keep(self, live: LiveRun) -> None:
        """Keep a finished run for a while, so that it can be asked about."""
        self._admission.forget(live.id)
        live.ref = None
        self.roster.keep(live)

    def _interrupt(self, live: LiveRun, why: str) -> None:
        """Stop knowing about a run that has not ended; a stored one goes on elsewhere."""
        self.gate.reloaded(live)
        error = WorkflowLost(live.run.plan.name, live.id, why)
        live.publish([WorkflowEvent(EventKind.WORKFLOW_FAILED, live.id, data={"error": why})])
        live.interrupt(error)
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

    # -- signals and cancellations -----------------------------------------------------------------

    def _signal(self, message: SignalRun) -> None:
        live = self.roster.get(message.run_id)
        if live is not None and not live.over:
            live.put_signals(message.signals)
            self._nudge(live)

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
        if live.ref is not None:
            try:
                live.ref.tell(NUDGE)
            except ActorDied:
                pass  # its end is on its way here, and looks at the run again
        elif live.cancel is not None:
            # Being cancelled needs no turn.
            self._admission.remove(live)
            self._launch(self._again(live))
        elif live.run.started_at is not None and live.queued is None:
            self._take_in(self._again(live))

    # -- for coordinators and keepers --------------------------------------------------------------

    def write(
        self, live: LiveRun, group: Group, done: Callable[[BaseException | None], None]
    ) -> None:
        """Have a group of events stored; its coordinator is told when it is, or has failed."""
        self.gate.write(live, group, done)

    def write_failed(self, live: LiveRun, error: BaseException) -> None:
        """The store did not take what happened in a run: stop it here, and say so."""
        if isinstance(error, RunExists):
            # The one that came first has the id; this one has never been.
            self.roster.remove(live)
            accepted, live.accepted = live.accepted, None
            self._refuse(live, accepted, WorkflowExists(live.id))
            return
        if live.over:
            return  # interrupted meanwhile: what goes on with it says what it had still to say
        if live.accepted is not None:
            live.accept(error)
        if isinstance(error, FencedOut):
            self._interrupt(live, "another engine has taken it over")
            return
        # Its first record comes with the run itself: without one, it is not in the store.
        kept = live.lease is not None and live.lease.next_seq > 1
        self.system.log.error("engine {}: {}: {}", self.setup.name, live.id, error)
        run = live.run
        live.error = WorkflowFailed(run.plan.name, run.id, "", "", error, stored=kept)
        apply(run, EventKind.WORKFLOW_FAILED, "", 0, {"error": describe(error)}, self.now())
        live.tell_last_event(self.now())
        self.concluded(live)

    def concluded(self, live: LiveRun) -> None:
        """Take note that a run has ended, and complete the requests that wait for that."""
        if live.restarts:
            self.gate.reloaded(live)
        live.conclude()
        if self.tracer is not None:
            self.tracer.end_run(live)

    def tell_end(self, live: LiveRun) -> None:
        """Tell everybody how a run ended that was found ended in the store."""
        if live.run.state is not WorkflowState.COMPLETED:
            live.error = ending_of(live.run)
        self._tell_end(live)

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
