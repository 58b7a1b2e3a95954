"""Runs looked up, steered and made to go on, wherever they are: in memory or in the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import near

from ..errors import NotStored, UnknownWorkflow, WorkflowLost
from ..state.cancellation import Cancellation
from ..state.events import EventKind, WorkflowEvent
from ..state.status import CancelReport, WorkflowState
from ..state.views import ending_of
from ..store import RunHeld, Signal, StoreError, UnknownRun
from .launching import follow, launch, start
from .messages import CancelRun, SignalRun, StartRun

if TYPE_CHECKING:
    from ..definition.workflow import WorkflowDefinition
    from ..runner.machine import Opening
    from ..state.live import LiveRun
    from ..state.stream import WorkflowStream
    from .core import EngineCore
    from .cores import Cores
    from .keeper import StoreKeeper

_RESUMABLE: Final = frozenset({WorkflowState.FAILED, WorkflowState.INTERRUPTED})


class RunControl:
    """Does what the public calls of an engine ask for with a run that there is. Has no state."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores
        self._poll_s = cores.setup.config.poll_seconds

    # -- finding runs ----------------------------------------------------------------------------

    async def find(self, run_id: str) -> LiveRun:
        """Return a run as it is here, or as the store has it; raises `UnknownWorkflow`."""
        core = self._cores.here()
        live = core.roster.get(run_id)
        if live is None or live.interrupted or await self._moved_on(core, live):
            return await self._stored(core, run_id)
        return live

    async def _moved_on(self, core: EngineCore, live: LiveRun) -> bool:
        """Tell whether another engine has taken a run since it ended here."""
        keeper, lease = core.gate.keeper, live.lease
        if not live.over or lease is None or keeper is None:
            return False
        try:
            row = await keeper.store.load_run(live.id)
        except StoreError:
            return False  # it is forgotten there, or the store fails: what is known here remains
        return row.fence != lease.fence

    async def _stored(self, core: EngineCore, run_id: str) -> LiveRun:
        """Return a run as the store has it; raises `UnknownWorkflow`."""
        keeper = await self._cores.ready(core)
        try:
            return await keeper.recovery.read(run_id)
        except UnknownRun:
            raise UnknownWorkflow(run_id, core.roster.ids()) from None

    async def _open(self, core: EngineCore, run_id: str) -> StoreKeeper:
        """Return the way to the store for a run that may be in there; raises `NotStored`."""
        live = core.roster.get(run_id)
        if live is not None and not live.run.persist:
            raise NotStored(run_id, "This")
        return await self._cores.ready(core)

    # -- waiting and following -------------------------------------------------------------------

    async def wait(self, run_id: str) -> Any:
        """Return the result of a run, when it has ended; raises what it failed with."""
        while True:
            core = self._cores.here()
            live = core.roster.get(run_id)
            if live is not None and not live.interrupted:
                # A completed run has its result, whichever engine has it now.
                completed = live.run.state is WorkflowState.COMPLETED
                if completed or not await self._moved_on(core, live):
                    try:
                        return await follow(core, live)
                    except WorkflowLost:
                        if (
                            not live.run.persist
                            or self._cores.setup.stopped
                            or not core.home.running
                        ):
                            raise
                        continue
            live = await self._stored(core, run_id)
            if live.run.state is WorkflowState.COMPLETED:
                return live.result
            if live.run.state.finished:
                raise ending_of(live.run)
            await asyncio.sleep(self._poll_s)

    async def attach(self, stream: WorkflowStream, run_id: str) -> None:
        """Have *stream* follow a run that there is: what has happened, and what happens."""
        core = self._cores.here()
        live = core.roster.get(run_id)
        if live is not None and not live.run.persist:
            stream.attach(live)
            return
        stream.workflow_id = run_id
        keeper = await self._cores.ready(core)
        live = core.roster.get(run_id)
        if live is not None and not live.over:
            stream.attach(live, history=False)
            # What is on its way into the journal was not told to this stream.
            await keeper.store.flush()
        try:
            entries = await keeper.store.read_journal(run_id)
        except UnknownRun:
            raise UnknownWorkflow(run_id, core.roster.ids()) from None
        past = [
            WorkflowEvent(
                EventKind(entry.kind), run_id, entry.step, entry.attempt, entry.data, entry.at,
                entry.seq,
            )
            for entry in entries
        ]  # fmt: skip
        stream.replay(past)

    # -- cancelling ------------------------------------------------------------------------------

    async def cancel(self, run_id: str, cancellation: Cancellation) -> CancelReport:
        """Cancel a run, and return what that did once it has ended."""
        core = self._cores.here()
        live = core.roster.get(run_id)
        if live is None or live.interrupted or await self._moved_on(core, live):
            return await self._cancel_stored(core, run_id, cancellation)
        keeper = core.gate.keeper
        if live.run.persist and not live.over and keeper is not None:
            try:
                await keeper.store.request_cancel(run_id, cancellation.reason)
            except UnknownRun:
                pass  # it is only about to be stored, and is cancelled all the same
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
            open_ = await keeper.store.request_cancel(run_id, reason)
        except UnknownRun:
            raise UnknownWorkflow(run_id, core.roster.ids()) from None
        if not open_:
            row = await keeper.store.load_run(run_id)
            state = WorkflowState(row.state)
            return CancelReport(run_id, state, reason, already_finished=True)
        try:
            await keeper.recovery.claim(run_id, "old", ())
        except RunHeld:
            run = (await self._until_finished(core, run_id)).run
            return CancelReport(run_id, run.state, reason, compensated_steps=run.compensated)
        return await self._cancel_here(core, run_id, cancellation)

    async def _until_finished(self, core: EngineCore, run_id: str) -> LiveRun:
        """Wait until another engine has carried out what was asked of it."""
        while True:
            live = await self._stored(core, run_id)
            if live.run.state.finished:
                return live
            await asyncio.sleep(self._poll_s)

    # -- going on --------------------------------------------------------------------------------

    async def resume(
        self, run_id: str, choice: str | None, newest: WorkflowDefinition | None
    ) -> LiveRun:
        """Let a run that failed, or was cut off, go on; leave any other as it is."""
        core = self._cores.here()
        opening: Opening = ((EventKind.WORKFLOW_RESUMED, None),)
        live = core.roster.get(run_id)
        if live is not None and not live.run.persist:
            if live.run.state is WorkflowState.FAILED and live.over:
                await self._again(core, live, opening)
            return live
        settled = live is not None and (live.state not in _RESUMABLE or not live.over)
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
        self, run_id: str, step: str, choice: str | None, newest: WorkflowDefinition | None
    ) -> LiveRun:
        """Run *step*, and every step that depends on it, again."""
        core = self._cores.here()
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
                f"workflow {plan.name!r} has no step {step!r}. {near(step, plan.by_id)}"
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

    async def signal(self, run_id: str, name: str, payload: Any) -> None:
        """Send a run a signal, which is kept until a step takes it."""
        core = self._cores.here()
        live = core.roster.get(run_id)
        if live is not None and live.over and live.run.state.finished:
            raise ValueError(f"workflow {run_id!r} has ended ({live.state}); nothing can wait")
        number = 0
        if live is None or live.run.persist:
            keeper = await self._open(core, run_id)
            try:
                number = await keeper.store.put_signal(run_id, name, payload)
            except UnknownRun:
                raise UnknownWorkflow(run_id, core.roster.ids()) from None
        if core.roster.get(run_id) is not None:
            item = Signal(number, run_id, name, payload, core.now())
            launch(core, SignalRun(run_id, [item]))
