"""The engine's actor: one in each system in which the engine is used.

It gives runs their turn, starts a coordinator for each, watches how those end, and wakes runs that
wait for a time. All state of live runs belongs to the loop of its system. The public calls of
`OrchestrationEngine` come here as messages, and read what they show directly, on the same loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import (
    SHUTDOWN,
    Actor,
    ActorDied,
    Exit,
    Request,
    describe_reason,
)
from agenticaiframework.actors.kernel.cell import leftover_of
from agenticaiframework.actors.kernel.request import Promise, new_request

from ...vocabulary.target import Askable, target_name
from ..definition.templates import compile_template
from ..errors import (
    EngineStopped,
    TooManyWorkflows,
    WorkflowExists,
    WorkflowFailed,
    WorkflowLost,
    describe,
)
from ..runner.coordinator import Coordinator
from ..runner.messages import NUDGE, Acknowledged, Cancellation
from ..runner.waiting import next_due
from ..state.events import EventKind, WorkflowEvent
from ..state.run import Run, ending_of
from ..state.status import CancelReport, WorkflowState
from ..store import Durability, FencedOut, NewRun, Record, RunExists, RunUpdate, StoreError
from .admission import FairQueue
from .attempts import Attempts
from .messages import (
    ADMIT,
    CancelRun,
    Drop,
    End,
    KeeperReady,
    OpenStore,
    Reload,
    Retire,
    SignalRun,
    Start,
    Wake,
)
from .tracing import CANCELLED, OK, Tracer

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, ActorSystem

    from ..definition.config import EngineConfig
    from ..definition.plan import StepPlan
    from ..store import Acknowledge, Owner, Store
    from .keeper import Keeper
    from .setup import Setup

MAX_SIGNALS: Final = 10_000
"""Signals that may wait in one run for a step that takes them."""

MAX_RESTARTS: Final = 3
"""How often a stored run's coordinator that crashed is started again."""


class EngineCore(Actor):
    """Owns the runs of one engine in one system. Linked to their coordinators, which end with it."""

    def __init__(self, setup: Setup, system: ActorSystem) -> None:
        super().__init__()
        self.trap_exit = True
        self.setup = setup
        self.config: EngineConfig = setup.config
        self.home = system
        self.runs: dict[str, Run] = {}
        """Every run that has not ended here, and those kept after their end."""
        self._finished: dict[str, None] = {}
        """Runs that have ended and are kept, the one that ended first in front."""
        self._keep_finished = self.config.keep_finished
        self._durability = Durability(self.config.durability)
        self.coordinators: dict[ActorRef[Any], Run] = {}
        self._bypassing: set[str] = set()
        """Runs that do not count as running, because they belong to one that does."""
        self.idle: list[ActorRef[Any]] = []
        """Coordinators that wait for a run, the last one in front."""
        self._running = 0
        self._retiring = False
        self._queue: FairQueue[Start] = FairQueue(self.config.max_queued_workflows)
        self.keeper: Keeper | None = None
        self._keeper_ref: ActorRef[Any] | None = None
        self._held: Store | None = None
        """The store that keepers are given, until it is let go."""
        self._reloading: dict[str, Run] = {}
        """Runs whose coordinators crashed, and that are on their way back from the store."""
        self._opening: list[Request] = []
        """Those who wait for the store to be opened."""
        # Dates follow the loop's own clock from here on, so that timers and deadlines agree, also
        # where time is simulated.
        self.clock: Callable[[], float] = system.loop.time
        self.epoch = self.config.wall_clock() - self.clock()
        self.tracer: Tracer | None = None
        if self.config.enable_tracing:
            self.tracer = setup.make_tracer(self.now, system.random)
        self.attempts = Attempts(self, setup.limits)
        cores: dict[Setup, EngineCore] = system.data.setdefault(EngineCore, {})
        cores[setup] = self

    def end(self) -> None:
        """Tell this actor to end, from outside."""
        self.actor_ref.tell(End())

    def promise(self) -> Request:
        """Return a request that nobody gets as a message: whoever holds it answers it."""
        return new_request(None, self.actor_ref, self.home.scheduler, Promise)

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self.epoch + self.clock()

    async def on_stop(self) -> None:  # type: ignore[override]
        self.attempts.stop()
        for run in list(self.runs.values()):
            if not run.over:
                self._interrupt(run, "its engine has been stopped")
        self._keeper_failed(EngineStopped(self.setup.name))
        self._turn_away()
        keeper, self.keeper = self.keeper, None
        try:
            if keeper is not None:
                await keeper.close()
        except StoreError as error:
            self.system.log.warning("engine {}: {}", self.setup.name, error)
        finally:
            await self.let_store_go()

    def _turn_away(self) -> None:
        """Answer those whose messages came after the one that ended this actor."""
        for message in leftover_of(self.actor_ref):
            error = EngineStopped(self.setup.name)
            if message.__class__ is Start:
                self._refuse(message.run, message.accepted, error)
            elif message.__class__ is OpenStore:
                message.request.fail(error)
            elif message.__class__ is CancelRun:
                for request in message.cancellation.requests:
                    request.fail(error)

    # -- messages --------------------------------------------------------------------------------

    def on_receive(self, message: Any) -> None:
        cls = message.__class__
        if cls is Start:
            self._start(message)
        elif cls is Exit:
            self._coordinator_ended(message)
        elif cls is SignalRun:
            self._signal(message)
        elif cls is CancelRun:
            self._cancel(message)
        elif cls is Wake:
            self._wake(message.run_id)
        elif cls is Drop:
            self._drop(message)
        elif cls is OpenStore:
            self._open_store(message.request)
        elif cls is KeeperReady:
            self._keeper_ready(message)
        elif cls is End:
            self.exit("shutdown")
        elif cls is Retire:
            self._retiring = True
        elif message == ADMIT:
            self._admit()
        if self._retiring and not self.coordinators and not len(self._queue):
            self._retire()

    # -- the store -------------------------------------------------------------------------------

    def _open_store(self, request: Request) -> None:
        if self.keeper is not None:
            request.reply(self.keeper)
            return
        self._opening.append(request)
        if self._keeper_ref is None:
            self._start_keeper(None)

    def _start_keeper(self, owner: Owner | None) -> None:
        from .keeper import Keeper

        try:
            if self._held is None:
                self._held = self.setup.hold_store(self.home.loop)
            self._keeper_ref = self.spawn(Keeper, self, self._held, owner)
        except Exception as error:
            self._keeper_failed(error)

    def _keeper_ready(self, message: KeeperReady) -> None:
        if message.error is not None:
            self._keeper_failed(message.error)
            return
        self.keeper = message.keeper
        waiting, self._opening = self._opening, []
        for request in waiting:
            request.reply(message.keeper)
        for run in list(self._reloading.values()):
            self._tell_keeper(Reload(run))

    def _keeper_ended(self, reason: Any) -> None:
        """Have another keeper take the place of one that crashed; what it did keeps its owner."""
        self._keeper_ref = None
        if self.keeper is not None:
            self.system.log.error(
                "engine {}: the keeper of its store ended ({}); starting another",
                self.setup.name, describe_reason(reason),
            )  # fmt: skip
            self._start_keeper(self.keeper.owner)
        elif self._opening:
            self._start_keeper(None)

    async def let_store_go(self) -> None:
        """Close the store, unless other actors of this engine use it too."""
        store, self._held = self._held, None
        if store is not None and self.setup.let_store_go(store):
            try:
                await store.close()
            except StoreError as error:
                self.system.log.warning("engine {}: {}", self.setup.name, error)

    def _keeper_failed(self, error: BaseException) -> None:
        waiting, self._opening = self._opening, []
        for request in waiting:
            request.fail(error)

    def _tell_keeper(self, message: Any) -> None:
        if self._keeper_ref is not None:
            try:
                self._keeper_ref.tell(message)
            except ActorDied:
                pass  # its end is on its way here, and the next one is told again

    # -- taking in -------------------------------------------------------------------------------

    def _start(self, start: Start) -> None:
        run = start.run
        there = self.runs.get(run.id)
        if there is not None and there is not run and not there.over:
            self._refuse(run, start.accepted, WorkflowExists(run.id))
            return
        self.runs[run.id] = run
        self._finished.pop(run.id, None)
        self._reloading.pop(run.id, None)
        if start.bypass:
            self._bypassing.add(run.id)
        elif self._running >= self.config.max_concurrent_workflows:
            if self._queue.full and run.started_at is None:
                del self.runs[run.id]
                error = TooManyWorkflows(self._running, len(self._queue))
                self._refuse(run, start.accepted, error)
                return
            self._enqueue(start)
            return
        self._launch(start)

    @staticmethod
    def _refuse(run: Run, accepted: Request | None, error: BaseException) -> None:
        """Tell who started *run* that it is not taken in."""
        run.state = WorkflowState.FAILED
        run.over = True
        run.error = error
        if accepted is not None:
            accepted.fail(error)
        answer(run, error)

    def _enqueue(self, start: Start) -> None:
        run = start.run
        # A run that had its turn before, and was only parked, does not go to the end of the line.
        self._queue.put(run.plan.name, start, first=run.started_at is not None)
        run.queued = start
        if run.persist and run.lease is None:
            run.accepted = start.accepted
            try:
                self.create_run(run, [], lambda error: self._created(run, error))
            except Exception as error:
                self._created(run, error)
        elif start.accepted is not None:
            start.accepted.reply(run.id)

    def _created(self, run: Run, error: BaseException | None) -> None:
        """The store has taken in a run that waits for its turn, or has refused it."""
        if error is not None:
            self._unqueue(run)
            self.store_failed(run, error)
            self._keep(run)
        else:
            run.accept()

    def _launch(self, start: Start) -> None:
        run = start.run
        if run.waking is not None:
            run.waking.cancel()
            run.waking = None
        if run.id not in self._bypassing:
            self._running += 1
        tracer = self.tracer
        if tracer is not None and run.span is None:
            run.span = tracer.start(
                f"invoke_workflow {run.plan.name}",
                "workflow",
                run.id,
                run.parent_span,
                {"gen_ai.operation.name": "invoke_workflow", "workflow.name": run.plan.name,
                 "workflow.id": run.id},
                run.outside,
            )  # fmt: skip
        if start.accepted is not None:
            if run.persist and run.lease is None:
                run.accepted = start.accepted
            else:
                start.accepted.reply(run.id)
        ref = self._free_coordinator()
        if ref is not None:
            ref.tell(start)
        else:
            ref = self.spawn(Coordinator, run, self, start.opening)
        run.ref = ref
        self.coordinators[ref] = run

    def _free_coordinator(self) -> ActorRef[Any] | None:
        while self.idle:
            ref = self.idle.pop()
            if ref._actor is not None and not ref._phase:  # nobody has killed it
                return ref
        return None

    def create_run(self, run: Run, records: list[Record], done: Acknowledge) -> None:
        """Have the store take *run* in, with its first events."""
        keeper = self.keeper
        if keeper is None:
            raise EngineStopped(self.setup.name)
        plan = run.plan
        new = NewRun(
            run.id,
            plan.name,
            plan.hash,
            plan.text,
            run.input,
            str(run.state),
            self._durability,
            run.parent,
            run.labels,
        )
        run.lease = keeper.store.submit_run(keeper.owner, new, done, records)

    # -- ending ----------------------------------------------------------------------------------

    def _coordinator_ended(self, exit: Exit) -> None:
        ref = exit.ref
        run = None if ref is None else self.coordinators.pop(ref, None)
        if run is None or ref is None:
            if ref is not None and ref is self._keeper_ref:
                self._keeper_ended(exit.reason)
            elif ref in self.idle:
                self.idle.remove(ref)
            return
        if run.ref is ref:
            run.ref = None
        self._let_go(ref, run, exit.reason)
        self._admit()

    def released(self, ref: ActorRef[Any], run: Run) -> None:
        """Take note that a coordinator is done with its run, and free for another.

        Called in the coordinator's turn, like the rest of what coordinators call here.
        """
        self.coordinators.pop(ref, None)
        self.idle.append(ref)
        self._let_go(ref, run, SHUTDOWN)
        if self._retiring or self._queue.size:
            try:
                self.actor_ref.tell(ADMIT)
            except ActorDied:
                pass  # the engine has stopped meanwhile, and its coordinators end with it

    def _let_go(self, ref: ActorRef[Any], run: Run, reason: Any) -> None:
        """Find out what is to become of a run that has no coordinator any more."""
        if run.id not in self._bypassing:
            self._running -= 1
        self.attempts.drop(ref)
        if run.over:
            self._settle_late_cancel(run)
            self._keep(run)
        elif run.ref is not None:
            pass  # a signal has brought it another coordinator already
        elif reason == SHUTDOWN:
            self._park(run)
        else:
            self._crashed(run, reason)

    def _admit(self) -> None:
        while len(self._queue) and self._running < self.config.max_concurrent_workflows:
            start = self._queue.get()
            start.run.queued = None
            self._launch(start)

    def _park(self, run: Run) -> None:
        """Keep a run that waits, without an actor, until a signal or its time comes."""
        if run.cancel is not None or run.unseen_signals:
            self._start(Start(run, bypass=run.id in self._bypassing))
            return
        run.shrink()
        due = next_due(run)
        if due is not None:
            run.waking = self.system.call_later(max(0.0, due - self.now()), self._tell_wake, run.id)

    def _tell_wake(self, run_id: str) -> None:
        try:
            self.actor_ref.tell(Wake(run_id))
        except ActorDied:
            pass  # the engine has stopped meanwhile

    def _wake(self, run_id: str) -> None:
        run = self.runs.get(run_id)
        if run is not None and run.ref is None and not run.over:
            run.waking = None
            self._start(Start(run, bypass=run_id in self._bypassing))

    def _crashed(self, run: Run, reason: Any) -> None:
        """A coordinator ended before its run: by a defect, or because somebody killed it."""
        if run.persist and run.restarts < MAX_RESTARTS:
            run.restarts += 1
            self.system.log.warning(
                "engine {}: the coordinator of {} ended ({}); starting it again from the journal",
                self.setup.name, run.id, describe_reason(reason),
            )  # fmt: skip
            self._reloading[run.id] = run
            self._tell_keeper(Reload(run))
            return
        cause = reason if isinstance(reason, BaseException) else describe_reason(reason)
        error = WorkflowFailed(run.plan.name, run.id, "", "", cause, stored=run.persist)
        run.apply(EventKind.WORKFLOW_FAILED, "", 0, {"error": describe(cause)}, self.now())
        run.error = error
        self.publish(run, [self._last_event(run)])
        self.concluded(run)
        self._settle_late_cancel(run)
        self._keep(run)
        # Its parts are runs of their own, and nobody waits for them any more.
        for part in [r for r in self.runs.values() if r.parent == run.id and not r.over]:
            gone = Cancellation("the run around it is gone", graceful=False, compensate=True)
            self._cancel(CancelRun(part.id, gone))

    def _last_event(self, run: Run) -> WorkflowEvent:
        kind = {
            WorkflowState.COMPLETED: EventKind.WORKFLOW_COMPLETED,
            WorkflowState.CANCELLED: EventKind.WORKFLOW_CANCELLED,
        }.get(run.state, EventKind.WORKFLOW_FAILED)
        return WorkflowEvent(kind, run.id, data=run.ending(), at=self.now())

    def _settle_late_cancel(self, run: Run) -> None:
        """Answer a cancellation that came too late."""
        cancellation: Cancellation | None = run.cancel
        if cancellation is not None:
            run.cancel = None
            report = CancelReport(run.id, run.state, cancellation.reason, already_finished=True)
            for request in cancellation.requests:
                request.reply(report)

    def _keep(self, run: Run) -> None:
        """Keep a finished run for a while, so that it can be asked about."""
        self._bypassing.discard(run.id)
        run.ref = None
        if self.runs.get(run.id) is not run:
            return
        finished = self._finished
        finished.pop(run.id, None)
        finished[run.id] = None
        if len(finished) > self._keep_finished:
            oldest = next(iter(finished))
            del finished[oldest]
            self.runs.pop(oldest, None)

    def _interrupt(self, run: Run, why: str) -> None:
        """Stop knowing about a run that has not ended; a stored one goes on elsewhere."""
        self._reloading.pop(run.id, None)
        run.state = WorkflowState.INTERRUPTED
        run.over = True
        run.error = WorkflowLost(run.plan.name, run.id, why)
        if run.waking is not None:
            run.waking.cancel()
            run.waking = None
        if run.span is not None and self.tracer is not None:
            self.tracer.end(run.span, why, CANCELLED)
        if run.listeners is not None:
            for listener in run.listeners:
                listener(WorkflowEvent(EventKind.WORKFLOW_FAILED, run.id, data={"error": why}))
        answer(run, run.error)
        cancellation: Cancellation | None = run.cancel
        if cancellation is not None:
            run.cancel = None
            for request in cancellation.requests:
                request.fail(run.error)

    def _drop(self, drop: Drop) -> None:
        run = self.runs.get(drop.run_id)
        if run is None or run.over:
            return
        self._interrupt(run, drop.why)
        if run.ref is not None:
            run.ref.kill()
        else:
            self._keep(run)

    # -- signals and cancellations -----------------------------------------------------------------

    def _signal(self, message: SignalRun) -> None:
        run = self.runs.get(message.run_id)
        if run is None or run.over:
            return
        if run.signals is None:
            run.signals = []
        known = {signal.number for signal in run.signals if signal.number}
        run.signals += [s for s in message.signals if not s.number or s.number not in known]
        del run.signals[:-MAX_SIGNALS]
        run.unseen_signals = True
        self._nudge(run)

    def _cancel(self, message: CancelRun) -> None:
        cancellation = message.cancellation
        run = self.runs.get(message.run_id)
        if run is None or run.over:
            state = WorkflowState.INTERRUPTED if run is None else run.state
            report = CancelReport(
                message.run_id, state, cancellation.reason, already_finished=run is not None
            )
            for request in cancellation.requests:
                request.reply(report)
            return
        if run.cancel is not None:
            run.cancel.requests += cancellation.requests
            return
        run.cancel = cancellation
        self._nudge(run)

    def _unqueue(self, run: Run) -> None:
        """Take a run out of the queue, if it is in there."""
        start, run.queued = run.queued, None
        if start is not None:
            self._queue.remove(start)

    def _nudge(self, run: Run) -> None:
        if run.ref is not None:
            try:
                run.ref.tell(NUDGE)
            except ActorDied:
                pass  # its end is on its way here, and looks at the run again
        elif run.cancel is not None:
            # Being cancelled needs no turn.
            self._unqueue(run)
            self._launch(Start(run, bypass=run.id in self._bypassing))
        elif run.state is not WorkflowState.PENDING and run.queued is None:
            self._start(Start(run, bypass=run.id in self._bypassing))

    # -- for coordinators --------------------------------------------------------------------------

    def resolve_fallback(self, plan: StepPlan) -> Askable:
        """Return who is asked when a step has failed for good."""
        fallback = plan.fallback
        assert fallback is not None, "only steps that have it fall back"
        return self.resolve(fallback.fallback)

    def resolve_compensation(self, plan: StepPlan) -> Askable:
        """Return who undoes a step."""
        compensation = plan.definition.compensate
        assert compensation is not None, "only steps that have it are undone"
        return self.resolve(compensation.agent)

    def compensation_input(self, plan: StepPlan, scope: Mapping[str, Any]) -> Any:
        """Return what the agent gets that undoes a step: by default the step's own output."""
        compensation = plan.definition.compensate
        assert compensation is not None, "only steps that have it are undone"
        if "input" in compensation.model_fields_set:
            return compile_template(compensation.input).build(scope)
        return scope["output"]

    def resolve(self, target: Any) -> Askable:
        """Return who *target* is or names."""
        return self.setup.resolve(target)

    def agent_name(self, run: Run, plan: StepPlan) -> str:
        """Return who works on a step, for people."""
        target = plan.definition.target
        if target is not None:
            return target_name(target)
        if plan.definition.workflow is not None:
            return target_name(run.bound[plan.index]) if run.bound else ""
        return ""

    def publish(self, run: Run, events: Iterable[WorkflowEvent]) -> None:
        """Tell those who follow the run."""
        if run.listeners is not None:
            for event in events:
                for listener in tuple(run.listeners):
                    listener(event)

    def store_events(
        self,
        run: Run,
        records: list[Record],
        update: RunUpdate | None,
        used: tuple[int, ...],
        group: Acknowledged,
    ) -> None:
        """Have a group of events written; its coordinator is told when it is, or has failed."""
        keeper, lease = self.keeper, run.lease
        if keeper is None:
            raise EngineStopped(self.setup.name)
        if run.refused is not None:
            raise run.refused
        if lease is None:
            self.create_run(run, records, group.settle)
        else:
            keeper.store.submit(lease, records, group.settle, update, used)

    def store_failed(self, run: Run, error: BaseException) -> None:
        """The store did not take what happened in a run: stop it here, and say so."""
        if isinstance(error, RunExists):
            # Whoever came first has the id; this one has never been.
            if self.runs.get(run.id) is run:
                del self.runs[run.id]
            accepted, run.accepted = run.accepted, None
            self._refuse(run, accepted, WorkflowExists(run.id))
            return
        if run.over:
            return  # interrupted meanwhile: what it had still to say is said by whoever goes on
        if run.accepted is not None:
            run.accept(error)
        if isinstance(error, FencedOut):
            self._interrupt(run, "another engine has taken it over")
            return
        run.state = WorkflowState.FAILED
        run.finished_at = self.now()
        run.last_error = describe(error)
        # Its first record comes with the run itself: without one, it is not in the store.
        kept = run.lease is not None and run.lease.next_seq > 1
        run.error = WorkflowFailed(run.plan.name, run.id, "", "", error, stored=kept)
        self.system.log.error("engine {}: {}: {}", self.setup.name, run.id, error)
        self.publish(run, [self._last_event(run)])
        self.concluded(run)

    def concluded(self, run: Run) -> None:
        """Answer everybody who waits for the end of a run."""
        self._reloading.pop(run.id, None)
        run.over = True
        if run.span is not None and self.tracer is not None:
            status = CANCELLED if run.state is WorkflowState.CANCELLED else OK
            self.tracer.end(run.span, run.error, status)
        if run.state is WorkflowState.COMPLETED:
            waiters, run.waiters = run.waiters, None
            for request in waiters or ():
                request.reply(run.result)
        else:
            answer(run, run.error or WorkflowLost(run.plan.name, run.id, "it ended unseen"))

    def tell_end(self, run: Run) -> None:
        """Tell everybody how a run ended that was found ended in the store."""
        if run.state is not WorkflowState.COMPLETED:
            run.error = ending_of(run)
        self.publish(run, [self._last_event(run)])
        self.concluded(run)
        self._settle_late_cancel(run)
        self._keep(run)

    # -- what is seen from outside -----------------------------------------------------------------

    def _retire(self) -> None:
        """End, unless runs in memory still wait for something: those can only go on here."""
        if not any(not run.over and not run.persist for run in self.runs.values()):
            self.exit("shutdown")

    @property
    def live(self) -> int:
        """How many runs have not ended."""
        return sum(1 for run in self.runs.values() if not run.over)


def answer(run: Run, error: BaseException) -> None:
    """Let everybody who waits for *run* have *error*."""
    waiters, run.waiters = run.waiters, None
    for request in waiters or ():
        request.fail(error)
