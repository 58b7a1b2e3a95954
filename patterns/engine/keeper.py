"""What keeps an engine and its store together.

The keeper registers the engine with the store as an owner, renews the lease, listens for signals
and cancellations from other processes, and brings stored runs back. It is an actor beside the
engine's own, because it waits for the store, and the engine's actor never waits.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from agenticaiframework.actors import Actor, ActorDied

from .coordinator import Cancellation
from .core import CancelRun, Drop, KeeperReady, Reload, SignalRun, Start
from .definition import WorkflowDefinition
from .errors import DefinitionChanged, describe
from .plan import WAIT, Plan
from .run import Run
from .status import RecoveryReport, WorkflowState
from .store import (
    JournalEntry,
    Lease,
    Owner,
    RunHeld,
    RunRow,
    Store,
    StoreError,
    UnknownRun,
)
from .workflow_events import EventKind

if TYPE_CHECKING:
    from .core import EngineCore

POLL: Final = "poll"
RENEW: Final = "renew"
PURGE: Final = "purge"
RECOVER: Final = "recover"

PURGE_EVERY_S: Final = 60.0
Opening: TypeAlias = tuple[tuple[EventKind, Any], ...]
"""Events that a coordinator begins with."""

_RESUMING: Final = frozenset({EventKind.WORKFLOW_RESUMED, EventKind.WORKFLOW_REWOUND})

BATCH: Final = 1_000
"""Runs recovered at a time."""


class Keeper(Actor):
    """Owns the engine's standing with its store. Linked to the engine's actor."""

    def __init__(self, core: EngineCore, store: Store, owner: Owner | None = None) -> None:
        super().__init__()
        self._core = core
        self.store = store
        self.owner: Owner = owner or Owner("", 0, 0.0)
        self._registered = owner is not None
        self.recovered = False
        """Whether what dead engines left has been looked for."""
        self._cursor = 0
        self._plans: dict[str, Plan] = {}

    async def on_start(self) -> None:  # type: ignore[override]
        config = self._core.config
        try:
            await self.store.open()
            if not self._registered:
                engine_id = f"{self._core.setup.name}@{socket.gethostname()}:{os.getpid()}"
                self.owner = await self.store.register(engine_id, config.lease_seconds)
        except Exception as error:
            self._tell(KeeperReady(self, error))
            self.exit("normal")
        self._tell(KeeperReady(self, None))
        self.send_interval(config.lease_seconds / 3, RENEW)
        self.send_interval(config.poll_seconds, POLL)
        if config.retention is not None:
            self.send_interval(PURGE_EVERY_S, PURGE)
        if config.recover_every_seconds is not None:
            self.send_interval(config.recover_every_seconds, RECOVER)

    async def close(self) -> None:
        """Give the engine's runs up, so that others may go on with them, and close the store."""
        try:
            await self.store.retire(self.owner)
        finally:
            await self.store.close()

    async def on_receive(self, message: Any) -> None:
        try:
            if message == POLL:
                await self._poll()
            elif message == RENEW:
                await self._renew()
            elif message == PURGE:
                retention = self._core.config.retention
                if retention is not None:
                    await self.store.purge(retention)
            elif message == RECOVER:
                await self.recover()
            elif isinstance(message, Reload):
                await self._reload(message.run)
        except StoreError as error:
            # What needs the store says so itself; this is only the upkeep, and is tried again.
            self.system.log.warning("engine {}: {}: {}", self._core.setup.name, message, error)

    # -- the lease -------------------------------------------------------------------------------

    async def _renew(self) -> None:
        if await self.store.renew(self.owner):
            return
        left = await self.store.owned(self.owner)
        for run in list(self._core.runs.values()):
            if run.persist and run.lease is not None and run.id not in left:
                self._tell(
                    Drop(run.id, "the lease had ended, and another engine has taken it over")
                )

    # -- signals and cancellations from elsewhere --------------------------------------------------

    async def _poll(self) -> None:
        if not any(run.persist and not run.over for run in self._core.runs.values()):
            return
        inbox = await self.store.poll(self.owner, self._cursor)
        signalled: dict[str, None] = {}
        for notice in inbox.notices:
            if notice.kind == "cancel":
                cancellation = Cancellation(notice.name, graceful=False, compensate=True)
                self._tell(CancelRun(notice.run_id, cancellation))
            else:
                signalled[notice.run_id] = None
        for run_id in signalled:
            await self.bring_signals(run_id)
        self._cursor = inbox.cursor

    async def bring_signals(self, run_id: str) -> None:
        """Give a run that lives here the signals that the store keeps for it."""
        pending = await self.store.pending_signals(run_id)
        if pending:
            self._tell(SignalRun(run_id, pending))

    def _tell(self, message: Any) -> None:
        try:
            self._core.actor_ref.tell(message)
        except ActorDied:
            pass  # the engine is ending, and this with it

    # -- bringing runs back ------------------------------------------------------------------------

    async def recover(self) -> RecoveryReport:
        """Take the runs that no living engine holds, and let them go on."""
        recovered: list[str] = []
        changed: list[str] = []
        failed: dict[str, str] = {}
        given_up: list[Lease] = []
        seen: set[str] = set()
        while True:
            leases = await self.store.claim_abandoned(self.owner, BATCH)
            fresh = [lease for lease in leases if lease.run_id not in seen]
            if not fresh:
                break
            seen.update(lease.run_id for lease in fresh)
            ids = [lease.run_id for lease in fresh]
            rows = await self.store.load_runs(ids)
            journals = await self.store.read_journals(ids)
            for lease in fresh:
                row = rows[lease.run_id]
                try:
                    run, opening = await self._rebuild(row, journals[lease.run_id], None)
                    run.lease = lease
                    await self._set_going(run, row, opening)
                except DefinitionChanged:
                    changed.append(lease.run_id)
                    given_up.append(lease)
                except StoreError:
                    raise
                except Exception as error:
                    failed[lease.run_id] = describe(error)
                    given_up.append(lease)
                else:
                    recovered.append(lease.run_id)
        for lease in given_up:
            await self.store.release(lease)
        return RecoveryReport(tuple(recovered), tuple(changed), failed)

    async def _set_going(
        self, run: Run, row: RunRow, opening: Opening = (), *, bypass: bool = False
    ) -> None:
        """Start a run that was read from the store."""
        run.bound = self._core.setup.bind(run.plan)
        resumed = any(kind in _RESUMING for kind, _ in opening)
        if row.cancel_reason is not None and not row.finished and not resumed:
            run.cancel = Cancellation(row.cancel_reason, graceful=False, compensate=True)
        if any(step.kind == WAIT for step in run.plan.steps):
            run.signals = list(await self.store.pending_signals(run.id))
        # A part of another run counts as running with that, and must not wait behind it for a turn.
        self._tell(Start(run, opening=opening, bypass=bypass or row.parent is not None))

    async def claim(
        self,
        run_id: str,
        choice: str | None,
        opening: Opening,
        definition: WorkflowDefinition | None = None,
        *,
        bypass: bool = False,
    ) -> Run:
        """Take one run, whatever its state, and let it go on after the events of *opening*.

        Raises `RunHeld` when another engine runs it, `UnknownRun`, `DefinitionChanged`.
        """
        lease = await self.store.claim(self.owner, run_id)
        try:
            row = await self.store.load_run(run_id)
            entries = await self.store.read_journal(run_id)
            run, changes = await self._rebuild(row, entries, choice, definition)
        except BaseException:
            await self.store.release(lease)
            raise
        run.lease = lease
        await self._set_going(run, row, (*changes, *opening), bypass=bypass)
        return run

    async def pick_up(self, run_id: str) -> tuple[Run | None, bool]:
        """Return a stored run, and whether it goes on here from now on.

        It does if nobody alive holds it. One that has ended, or that another engine runs, is
        returned as it stands; None if there is none.
        """
        try:
            row = await self.store.load_run(run_id)
            if not row.finished:
                try:
                    return await self.claim(run_id, "old", (), bypass=True), True
                except RunHeld:
                    pass
            return await self.read(run_id), False
        except UnknownRun:
            return None, False

    async def read(self, run_id: str) -> Run:
        """Return a stored run as it stands, without taking it. Raises `UnknownRun`."""
        row = await self.store.load_run(run_id)
        run, _ = await self._rebuild(row, await self.store.read_journal(run_id), "old")
        return run

    async def _reload(self, run: Run) -> None:
        """Start the coordinator of *run* again from the journal, because the last one crashed."""
        waiters, listeners = run.waiters, run.listeners
        lease = await self.store.claim(self.owner, run.id)
        row = await self.store.load_run(run.id)
        again, _ = await self._rebuild(row, await self.store.read_journal(run.id), "old")
        again.lease = lease
        again.waiters, again.listeners = waiters, listeners
        again.cancel, again.restarts, again.span = run.cancel, run.restarts, run.span
        await self._set_going(again, row)

    # -- reading -----------------------------------------------------------------------------------

    async def _rebuild(
        self,
        row: RunRow,
        entries: Iterable[JournalEntry],
        choice: str | None,
        definition: WorkflowDefinition | None = None,
    ) -> tuple[Run, Opening]:
        """Return the run that *row* and its journal tell of, and what is to be added to that."""
        entries = list(entries)
        plan = await self._plan(row, entries)
        opening: Opening = ()
        newest = definition or self._core.setup.directory.workflows.get(row.name)
        if newest is not None and newest.plan.hash != plan.hash:
            chosen = self._choose(row, plan, newest.plan, choice)
            if chosen is not plan:
                plan = chosen
                data = {"definition": plan.definition.to_dict()}
                opening = ((EventKind.DEFINITION_CHANGED, data),)
        return replay(row, plan, entries), opening

    async def _plan(self, row: RunRow, entries: list[JournalEntry]) -> Plan:
        """Return the plan that the run was started with, or was changed to last."""
        for entry in reversed(entries):
            if entry.kind == EventKind.DEFINITION_CHANGED:
                return WorkflowDefinition.model_validate(entry.data["definition"]).plan
        plan = self._plans.get(row.definition_hash)
        if plan is None:
            text = await self.store.load_definition(row.definition_hash)
            plan = WorkflowDefinition.model_validate_json(text).plan
            if len(self._plans) >= BATCH:
                self._plans.clear()
            self._plans[row.definition_hash] = plan
        return plan

    def _choose(self, row: RunRow, old: Plan, new: Plan, choice: str | None) -> Plan:
        choice = choice or self._core.config.changed_definition
        if choice == "old":
            return old
        if choice == "new":
            return new
        raise DefinitionChanged(row.name, row.run_id, differences(old, new))


def replay(row: RunRow, plan: Plan, entries: Iterable[JournalEntry]) -> Run:
    """Return the run that follows from a journal."""
    run = Run(row.run_id, plan, row.input, row.created_at)
    run.persist = True
    run.parent = row.parent
    run.labels = row.labels
    for entry in entries:
        run.apply(entry.kind, entry.step, entry.attempt, entry.data, entry.at)
    run.recount()
    run.over = run.state.finished
    if run.state is WorkflowState.COMPLETED:
        run.result = run.collect()
    return run


def differences(old: Plan, new: Plan) -> list[str]:
    """Return how two definitions differ, a line for each step."""
    lines: list[str] = []
    before = {step.id: step for step in old.definition.steps}
    after = {step.id: step for step in new.definition.steps}
    lines += [f"step {name!r} is gone" for name in before if name not in after]
    lines += [f"step {name!r} is new" for name in after if name not in before]
    lines += [
        f"step {name!r} is different"
        for name in before
        if name in after and before[name].model_dump() != after[name].model_dump()
    ]
    return lines or ["something beside the steps is different"]
