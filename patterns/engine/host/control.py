"""Runs looked up, steered and made to go on, wherever they are: in memory or in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import ActorDied, near_names

from ...definition.errors import DefinitionError
from ..errors import (
    EngineDraining,
    EngineStopped,
    NotStored,
    RunUnreadable,
    TooManySignals,
    UnknownWorkflow,
    WorkflowEnded,
    WorkflowExists,
    WorkflowFailed,
    WorkflowLost,
    WorkflowTimedOut,
)
from ..state.cancellation import Cancellation
from ..state.events import EventKind
from ..state.part_names import MARK, place_of
from ..state.status import CancelReport, SignalReport, WorkflowState
from ..state.stream import LiveEvents
from ..state.views import ending_of
from ..store import (
    MAX_SIGNALS,
    RunHeld,
    RunOver,
    Signal,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    TooManyPending,
    UnknownRun,
)
from .bulk import for_each_run, forget_runs
from .enqueueing import enqueue, refuse_own_place
from .following import StoredEvents
from .inspecting import inspect
from .launching import CANCEL_GRACE_S, follow, launch, refuse_if_draining, start
from .messages import CancelRun, SignalRun, StartRun
from .parts import awaited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..code.workflow import AnyWorkflow
    from ..definition.plan import Plan
    from ..runner.opening import Opening
    from ..state.live import LiveRun
    from ..state.status import BulkReport, WorkflowStatus
    from ..state.stream import EventSource
    from ..store import Progress, RunFilter, Store
    from .core import EngineCore
    from .cores import Cores
    from .enqueueing import QueuePlace
    from .keeper import StoreKeeper

MAX_CHILDREN: Final = 200
"""Parts that a status reads from the store, the newest."""

_RESUMABLE: Final = frozenset({WorkflowState.FAILED, WorkflowState.INTERRUPTED})


class RunControl:
    """Does what the public calls of an engine ask for with a run that there is. Has no state."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores

    # -- finding runs ----------------------------------------------------------------------------

    async def find(self, run_id: str) -> LiveRun:
        """Return a run as it is here, or as the store has it; raises `UnknownWorkflow`."""
        core = self._cores.here()
        live = core.roster.get(run_id)
        if live is None or live.interrupted or await self._moved_on(core, live):
            return await self._stored(core, run_id)
        return live

    @staticmethod
    def _blocked(live: LiveRun) -> bool:
        """Tell whether a run that is known here belongs to no engine: the store knows more of it."""
        return live.blocked and not live.over

    async def status(self, run_id: str, *, outputs: bool) -> WorkflowStatus:
        """Return where a run stands; raises `UnknownWorkflow`."""
        live = await self.find(run_id)
        return await inspect(self._cores.here(), live, outputs=outputs)

    async def store(self, core: EngineCore, persisted: bool | None) -> Store | None:
        """Return the store for a list of runs, if there is one and it is wanted."""
        if persisted is False:
            return None
        keeper = await (self._cores.ready(core) if persisted else self._keeper(core))
        return None if keeper is None else keeper.store

    async def each(self, where: RunFilter, do: Callable[[str], Awaitable[bool]]) -> BulkReport:
        """Do *do* for each of the runs there are; it returns whether it has changed anything."""
        core = self._cores.here()
        return await for_each_run(core.roster, await self.store(core, None), where, do)

    async def forget(self, where: RunFilter) -> BulkReport:
        """Forget those of the runs that have ended."""
        core = self._cores.here()
        return await forget_runs(core, await self.store(core, None), where)

    async def check_step(self, run_id: str, step: str) -> None:
        """Raise ValueError if a run has no step that the path *step* names."""
        live = await self.find(run_id)
        plan: Plan | None = live.run.plan
        bound: Sequence[Any] = live.bound
        for unit in step.split("/"):
            if plan is None:
                return
            name, _ = place_of(f"{MARK}{unit}", "")
            if name not in plan.by_id:
                raise ValueError(
                    f"workflow {plan.name!r} has no step {name!r}, as in step={step!r}. "
                    f"{near_names(name, plan.by_id)}"
                )
            target = bound[plan.by_id[name].index] if bound else None
            plan = getattr(target, "plan", None)
            bound = ()

    async def _moved_on(self, core: EngineCore, live: LiveRun) -> bool:
        """Tell whether another engine has taken a run since it ended here."""
        keeper, lease = core.gate.keeper, live.lease
        if not (live.over or self._blocked(live)) or lease is None or keeper is None:
            return False
        try:
            row = await keeper.store.load_run(live.id)
        except StoreError:
            return False  # it is forgotten there, or the store fails: what is known here remains
        return row.fence != lease.fence

    async def _stored(self, core: EngineCore, run_id: str) -> LiveRun:
        """Return a run as the store has it; raises `UnknownWorkflow`."""
        keeper = await self._keeper(core)
        if keeper is None:
            raise UnknownWorkflow(run_id, core.roster.ids())
        try:
            return await keeper.recovery.read(run_id)
        except UnknownRun:
            raise UnknownWorkflow(run_id, core.roster.ids()) from None

    async def _keeper(self, core: EngineCore) -> StoreKeeper | None:
        """Return the way to the store; None if there is no store, and to look must not make one."""
        if core.gate.keeper is None and not self._cores.setup.store.is_there():
            return None
        return await self._cores.ready(core)

    async def _open(self, core: EngineCore, run_id: str) -> StoreKeeper:
        """Return the way to the store for a run that may be in there.

        Raises `NotStored`, and `UnknownWorkflow` if there is no store.
        """
        live = core.roster.get(run_id)
        if live is not None and not live.run.persist:
            raise NotStored(run_id, "This")
        keeper = await self._keeper(core)
        if keeper is None:
            raise UnknownWorkflow(run_id, core.roster.ids())
        return keeper

    # -- waiting and following -------------------------------------------------------------------

    async def wait(self, run_id: str) -> Any:
        """Return the result of a run, when it has ended; raises what it failed with."""
        known: Progress | None = None
        while True:
            core = self._cores.here()
            live = core.roster.get(run_id)
            if live is not None and not live.interrupted and not self._blocked(live):
                # A completed run has its result, whichever engine has it now.
                completed = live.run.state is WorkflowState.COMPLETED
                if completed or not await self._moved_on(core, live):
                    try:
                        return await follow(core, live)
                    except WorkflowExists:
                        continue  # it has never been: the run of its id that came first is in the store
                    except WorkflowLost:
                        if (
                            not live.run.persist
                            or self._cores.setup.stopped
                            or self._cores.setup.draining
                            or not core.home.running
                        ):
                            raise
                        continue
            known = await self._further(core, run_id, known)
            if not known.finished or self._went_on(core, run_id, known):
                continue
            try:
                live = await self._stored(core, run_id)
            except StoreUnavailable:
                await core.watch.pause()  # an outage ends no wait
                known = None  # or the end, which is known, would be waited for again
                continue
            if live.run.state is WorkflowState.COMPLETED:
                if live.error is not None:
                    raise live.error  # it was completed, and cannot be read any more
                return live.result
            if live.run.state.finished:
                raise ending_of(live.run)

    async def attend_queued(
        self, core: EngineCore, live: LiveRun, place: QueuePlace, timeout: float | None
    ) -> Any:
        """Put a run into a queue and return its result; it ends with its caller, and after *timeout*."""
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                keeper = await self._cores.ready(core)
                refuse_own_place(core, keeper, live, place)
                await enqueue(core, keeper, live, place)
                return await self.wait(live.id)
        except TimeoutError as error:
            if isinstance(error, WorkflowFailed) or not limit.expired():
                raise
            said = f"it took longer than timeout={timeout:g} s, the time in the queue included"
            report = await self._cancel_left(core, live, said)
            if report is not None and report.already_finished:
                return await self.wait(live.id)
            run = live.run
            raise WorkflowTimedOut(run.plan.name, run.id, "", "", TimeoutError(said)) from None
        except asyncio.CancelledError:
            await self._cancel_left(core, live, "its caller was cancelled")
            raise

    async def _cancel_left(
        self, core: EngineCore, live: LiveRun, reason: str
    ) -> CancelReport | None:
        """Cancel a run of a queue that is not waited for any more; None: its end is not seen here."""
        try:
            async with asyncio.timeout(CANCEL_GRACE_S):
                return await self.cancel(live.id, Cancellation(reason))
        except UnknownWorkflow:
            return None  # it had not been stored yet
        except (TimeoutError, EngineDraining):
            return None  # it is stored, and whichever engine has the run carries it out
        except (ActorDied, EngineStopped, StoreError) as error:
            core.home.log.warning(
                "engine {}: workflow {} stays in its queue, though {}: {}",
                *(core.setup.name, live.id, reason, error),
            )
            return None

    def _went_on(self, core: EngineCore, run_id: str, known: Progress) -> bool:
        """Tell whether a run has gone on here after the end that is *known*, and was blocked at once: what
        says so in the store is on its way.
        """
        live = core.roster.get(run_id)
        lease = None if live is None or not self._blocked(live) else live.lease
        return lease is not None and known.fence == lease.fence and known.seq < lease.next_seq

    async def _further(self, core: EngineCore, run_id: str, known: Progress | None) -> Progress:
        """Return how far a stored run is that is not here, once that is not what is *known*."""
        if await self._keeper(core) is None:
            raise UnknownWorkflow(run_id, core.roster.ids())
        progress = await core.watch.other_than(run_id, known)
        if progress is None:
            raise UnknownWorkflow(run_id, core.roster.ids())
        return progress

    async def follow(self, run_id: str, after: int) -> EventSource:
        """Return the events of a run that there is: what has happened, and what happens."""
        core = self._cores.here()
        live = core.roster.get(run_id)
        if live is not None and not live.run.persist:
            if after:
                raise NotStored(run_id, f"stream(..., after={after})")
            return LiveEvents(live)
        keeper = await self._keeper(core)
        if keeper is None:
            raise UnknownWorkflow(run_id, core.roster.ids())
        events = StoredEvents(core, keeper.store, run_id, after)
        live = core.roster.get(run_id)
        if live is not None and not live.over:
            events.follow(live)
        return events

    def follow_new(self, core: EngineCore, live: LiveRun) -> EventSource:
        """Return the events of a run that is about to begin here."""
        keeper = core.gate.keeper
        if not live.run.persist or keeper is None:
            return LiveEvents(live)
        events = StoredEvents(core, keeper.store, live.id, 0)
        events.follow_new(live)
        return events

    # -- cancelling ------------------------------------------------------------------------------

    async def cancel(self, run_id: str, cancellation: Cancellation) -> CancelReport:
        """Cancel a run, and return what that did once it has ended."""
        core = self._cores.here()
        live = core.roster.get(run_id)
        gone = live is None or live.interrupted or self._blocked(live)
        if live is None or gone or await self._moved_on(core, live):
            return await self._cancel_stored(core, run_id, cancellation)
        keeper = core.gate.keeper
        if live.run.persist and not live.over and keeper is not None:
            try:
                await keeper.store.request_cancel(run_id, cancellation.reason, cancellation.options)
            except UnknownRun:
                pass  # it is only about to be stored, and is cancelled all the same
            if core.roster.get(run_id) is not live:
                return await self._cancel_stored(core, run_id, cancellation)
        return await self._cancel_here(core, run_id, cancellation)

    async def _cancel_here(
        self, core: EngineCore, run_id: str, cancellation: Cancellation
    ) -> CancelReport:
        done = core.actor_ref.promise()
        cancellation.requests.append(done)
        launch(core, CancelRun(run_id, cancellation))
        report: CancelReport = await done
        return report

    async def _cancel_stored(
        self, core: EngineCore, run_id: str, cancellation: Cancellation
    ) -> CancelReport:
        """Cancel a run that is not in memory: take it over, or leave it to the engine that has it."""
        reason = cancellation.reason
        keeper = await self._open(core, run_id)
        try:
            open_ = await keeper.store.request_cancel(run_id, reason, cancellation.options)
        except UnknownRun:
            raise UnknownWorkflow(run_id, core.roster.ids()) from None
        if not open_:
            state = (await self._stored(core, run_id)).run.state
            return CancelReport(run_id, state, reason, already_finished=True)
        refuse_if_draining(core)  # it is stored, and another engine carries it out
        try:
            # Nothing of it is begun any more, and an undo whose agent is not here fails alone.
            live = await keeper.recovery.claim(run_id, "old", (), missing="all")
        except (StoreCorrupt, RunUnreadable, DefinitionError):
            # What it did is not known, so nothing of it can be undone.
            await keeper.recovery.cancel_unread(run_id, reason)
            return CancelReport(run_id, WorkflowState.CANCELLED, reason)
        except RunHeld:
            live = await self._until_finished(core, run_id)
        if live.over:
            run = live.run
            return CancelReport(
                run_id,
                run.state,
                reason,
                already_finished=run.state is not WorkflowState.CANCELLED,
                compensated_steps=run.compensated,
                failed_compensations=run.undo_failed,
            )
        return await self._cancel_here(core, run_id, cancellation)

    async def _until_finished(self, core: EngineCore, run_id: str) -> LiveRun:
        """Wait until another engine has carried out what was asked of it."""
        known: Progress | None = None
        while True:
            known = await self._further(core, run_id, known)
            if known.finished:
                try:
                    return await self._stored(core, run_id)
                except StoreUnavailable:
                    await core.watch.pause()
                    known = None

    # -- going on --------------------------------------------------------------------------------

    async def resume(self, run_id: str, choice: str | None, newest: AnyWorkflow | None) -> LiveRun:
        """Let a run that failed, or was cut off, go on; leave any other as it is."""
        core = self._cores.here()
        refuse_if_draining(core)
        opening: Opening = ((EventKind.WORKFLOW_RESUMED, None),)
        live = core.roster.get(run_id)
        if live is not None and not live.run.persist:
            if live.run.state is WorkflowState.FAILED and live.over:
                await self._again(core, live, opening)
            return live
        settled = live is not None and (live.state not in _RESUMABLE or not live.over)
        settled = settled and live is not None and not self._blocked(live)
        if live is not None and settled and not await self._moved_on(core, live):
            return live
        keeper = await self._open(core, run_id)
        found = await self._stored(core, run_id)
        if found.run.state in (WorkflowState.COMPLETED, WorkflowState.CANCELLED):
            if live is not None:
                # Its end was written, but the store could not say so any more.
                core.roster.add(found)
                core.roster.keep(found)
            return found
        try:
            again = await keeper.recovery.claim(
                run_id, choice, opening if found.run.state.finished else (), newest
            )
        except RunHeld:
            return found
        await self._until_taken_in(core, again)
        return again

    async def retry_from(
        self, run_id: str, step: str, choice: str | None, newest: AnyWorkflow | None
    ) -> LiveRun:
        """Run *step*, and every step that depends on it, again."""
        core = self._cores.here()
        refuse_if_draining(core)
        live = core.roster.get(run_id)
        if live is not None and not live.over:
            raise ValueError(
                f"workflow {run_id!r} still runs; cancel it first, or wait for its end"
            )
        if live is None or live.interrupted:
            live = await self._stored(core, run_id)
        plan = live.run.plan
        if step not in plan.by_id:
            raise ValueError(
                f"workflow {plan.name!r} has no step {step!r}. {near_names(step, plan.by_id)}"
            )
        steps = [step, *sorted(plan.after(step))]
        opening: Opening = ((EventKind.WORKFLOW_REWOUND, {"step": step, "steps": steps}),)
        if not live.run.persist:
            await self._again(core, live, opening)
            return live
        keeper = await self._open(core, run_id)
        again = await keeper.recovery.claim(run_id, choice, opening, newest)
        await self._until_taken_in(core, again)
        return again

    async def _again(self, core: EngineCore, live: LiveRun, opening: Opening) -> None:
        """Let a run in memory that has ended go on."""
        live.resolve = core.setup.names_of(live.run.plan)
        live.bound = core.setup.bind(live.run.plan, live.resolve)
        live.reopen()  # from now on, so that another call for the same meanwhile finds it running
        await start(core, StartRun(live, opening=opening))
        await self._until_taken_in(core, live)

    async def _until_taken_in(self, core: EngineCore, live: LiveRun) -> None:
        """Wait until the engine's actor, and the run's coordinator, have seen the run."""
        for _ in range(100):
            if core.roster.get(live.id) is live and not live.over and not live.run.state.finished:
                return
            await asyncio.sleep(0)

    # -- signals -----------------------------------------------------------------------------------

    async def signal(self, run_id: str, name: str, payload: Any, late: bool) -> SignalReport:
        """Send a run a signal, which is kept until a step takes it."""
        core = self._cores.here()
        live = core.roster.get(run_id)
        waits_for: tuple[str, ...] = ()
        if live is not None and not live.over:
            waits_for = awaited(live)
        if live is not None and not live.run.persist:
            self._signal_here(core, live, name, payload)
            _tell_near(core, live, name, waits_for)
            return SignalReport(run_id, name, live.state, waits_for=waits_for)
        keeper = await self._open(core, run_id)
        store = keeper.store
        what = f"the payload of signal {name!r} for run {run_id!r}"
        payload = store.stored_form(payload, lambda: what)
        try:
            # The store decides whether it came before the run's end, and before which other signal.
            number = await store.put_signal(run_id, name, payload, late)
            live = core.roster.get(run_id)
            if live is None or live.over:
                row = await store.load_run(run_id)
                state, reason = WorkflowState(row.state), row.error
                if row.finished and not late:
                    left = await store.pending_signals(run_id)
                    found = live or await keeper.recovery.read(run_id)
                    if unused := [one for one in left if one.number == number]:
                        core.signals_unused(found, unused)
            else:
                state, reason = live.state, live.run.blocked
                await keeper.recovery.deliver_signals(run_id)
                _tell_near(core, live, name, waits_for)
        except UnknownRun:
            raise UnknownWorkflow(run_id, core.roster.ids()) from None
        except RunOver as error:
            raise WorkflowEnded(run_id, error.state) from None
        except TooManyPending as error:
            raise TooManySignals(run_id, error.limit) from None
        blocked = reason if state is WorkflowState.BLOCKED else None
        return SignalReport(run_id, name, state, blocked, number, waits_for)

    # -- answers -----------------------------------------------------------------------------------

    async def pending(self, run_id: str, name: str) -> list[int]:
        """Return the numbers of the stored signals of that name that no step has taken, oldest first."""
        keeper = await self._keeper(self._cores.here())
        if keeper is None:
            return []
        return [
            one.number for one in await keeper.store.pending_signals(run_id) if one.name == name
        ]

    async def is_pending(self, run_id: str, name: str) -> bool:
        """Tell whether a signal of that name waits in a run until it is taken."""
        live = self._cores.here().roster.get(run_id)
        if live is not None and any(one.name == name for one in live.signals or ()):
            return True
        if live is not None and not live.run.persist:
            return False
        return bool(await self.pending(run_id, name))

    async def answered(self, run_id: str) -> Mapping[str, int]:
        """Return the questions of a run that were answered, each with the number of the answer's signal."""
        return (await self.find(run_id)).run.answered

    def _signal_here(self, core: EngineCore, live: LiveRun, name: str, payload: Any) -> None:
        """Give a run that is kept in memory a signal; it looks at it in a turn of its own."""
        if live.over:
            raise WorkflowEnded(live.id, str(live.state))
        if len(live.signals or ()) >= MAX_SIGNALS:
            raise TooManySignals(live.id, MAX_SIGNALS)
        live.put_signals([Signal(0, live.id, name, payload, core.now())])
        launch(core, SignalRun(live.id))


def _tell_near(core: EngineCore, live: LiveRun, name: str, waits_for: Sequence[str]) -> None:
    """Log that a signal was kept whose name is nearly that of one that the run waits for.

    One that another step of the run waits for later has only come early.
    """
    named = name.rpartition("/")[2]
    waits = (step.definition.wait_for for step in live.run.plan.steps)
    if {name, named} & {*waits_for, *(wait.signal for wait in waits if wait is not None)}:
        return
    if near := get_close_matches(named, waits_for, n=1):
        core.home.log.info(
            "engine {}: {} keeps the signal {!r} until a step waits for it; it waits for {} now. "
            "Did you mean {!r}?",
            core.setup.name, live.id, name, " and ".join(map(repr, waits_for)), near[0],
        )  # fmt: skip
