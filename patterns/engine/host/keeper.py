"""What keeps an engine and its store together.

The keeper registers the engine with the store as an owner, renews the lease, listens for signals
and cancellations from other processes, and brings stored runs back. It is an actor beside the
engine's own, because it waits for the store, and the engine's actor never waits.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic import ValidationError

from agenticaiframework.actors import Actor, ActorDied

from ..definition.plan import WAIT, Plan
from ..definition.workflow import WorkflowDefinition, define_workflow
from ..errors import DefinitionChanged, describe
from ..runner.messages import Cancellation
from ..state.events import EventKind
from ..state.run import Run
from ..state.status import RecoveryReport, WorkflowState
from ..store import JournalEntry, Lease, Owner, RunHeld, RunRow, Store, StoreError, UnknownRun
from .messages import CancelRun, Drop, KeeperReady, Reload, SignalRun, Start

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

BREATHER: Final = 8
"""Runs brought back before others get their turn: some milliseconds, if each has its definition."""


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
        self._texts: dict[str, str] = {}
        """Definitions that have been read and not yet been compiled, by hash."""
        self._claiming = asyncio.Lock()
        self._complained = False
        """Whether the store's failure has been logged: once, until it works again."""
        self._closing = False
        self._given_up: list[Lease] = []

    async def on_start(self) -> None:  # type: ignore[override]
        config = self._core.config
        try:
            await self.store.open()
            if not self._registered:
                engine_id = f"{self._core.setup.name}@{socket.gethostname()}:{os.getpid()}"
                self.owner = await self.store.register(engine_id, config.lease_seconds)
        except Exception as error:
            await self._core.let_store_go()
            self._tell(KeeperReady(self, error))
            self.exit("normal")
        self._tell(KeeperReady(self, None))
        self.send_interval(config.lease_seconds / 3, RENEW)
        self.send_interval(config.poll_seconds, POLL)
        if config.retention is not None:
            self.actor_ref.tell(PURGE)
            self.send_interval(PURGE_EVERY_S, PURGE)
        if config.recover_every_seconds is not None:
            self.send_interval(config.recover_every_seconds, RECOVER)

    async def close(self) -> None:
        """Give the engine's runs up, so that others may go on with them."""
        self._closing = True
        await self.store.retire(self.owner)

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
            self._complained = False
        except StoreError as error:
            # What needs the store says so itself; this is only the upkeep, and is tried again.
            if not self._complained and not self._closing:
                self._complained = True
                self.system.log.warning("engine {}: {}: {}", self._core.setup.name, message, error)

    # -- the lease -------------------------------------------------------------------------------

    async def _renew(self) -> None:
        if await self.store.renew(self.owner):
            return
        # A larger token says that another has it; that a row is not there says only that its first
        # write is still under way.
        held = [run for run in self._core.runs.values() if run.persist and run.lease is not None]
        rows = await self.store.load_runs([run.id for run in held])
        for run in held:
            row, lease = rows.get(run.id), run.lease
            lost = row is not None and lease is not None and row.fence > lease.fence
            if lost and self._core.runs.get(run.id) is run:
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

    # One at a time: what is being claimed is neither in the engine's memory nor anybody's, and must
    # not be claimed a second time meanwhile, which would fence the first claim out.

    async def recover(self) -> RecoveryReport:
        """Take the runs that no living engine holds, and let them go on."""
        recovered: list[str] = []
        changed: list[str] = []
        failed: dict[str, str] = {}
        async with self._claiming:
            while True:
                leases = await self.store.claim_abandoned(self.owner, BATCH)
                if not leases:
                    break
                ids = [lease.run_id for lease in leases]
                rows = await self.store.load_runs(ids)
                journals = await self.store.read_journals(ids)
                self._texts = await self.store.load_definitions(
                    row.definition_hash
                    for row in rows.values()
                    if row.definition_hash not in self._plans
                )
                for count, lease in enumerate(leases):
                    if not count % BREATHER:
                        await asyncio.sleep(0)
                    row = rows[lease.run_id]
                    try:
                        await self._set_going(lease, row, journals[lease.run_id])
                    except DefinitionChanged:
                        changed.append(lease.run_id)
                    except StoreError:
                        raise
                    except Exception as error:
                        failed[lease.run_id] = describe(error)
                    else:
                        recovered.append(lease.run_id)
                        continue
                    self._given_up.append(lease)
            self._texts = {}
            # Given back only now, or they would be claimed again and again.
            given_up, self._given_up = self._given_up, []
            for lease in given_up:
                await self.store.release(lease)
        return RecoveryReport(tuple(recovered), tuple(changed), failed)

    async def claim(
        self,
        run_id: str,
        choice: str | None,
        opening: Opening,
        definition: WorkflowDefinition | None = None,
    ) -> Run:
        """Take one run, whatever its state, and let it go on after the events of *opening*.

        One that goes on here already is returned as it is. Raises `RunHeld` when another engine runs
        it, `UnknownRun`, `DefinitionChanged`, `UnknownName`.
        """
        async with self._claiming:
            there = self._core.runs.get(run_id)
            if there is not None and not there.over:
                return there
            return await self._claim(run_id, choice, opening, definition)

    async def _claim(
        self,
        run_id: str,
        choice: str | None,
        opening: Opening = (),
        definition: WorkflowDefinition | None = None,
        instead_of: Run | None = None,
    ) -> Run:
        lease = await self.store.claim(self.owner, run_id)
        try:
            row = await self.store.load_run(run_id)
            entries = await self.store.read_journal(run_id)
            return await self._set_going(
                lease, row, entries, choice, opening, definition, instead_of
            )
        except BaseException:
            await self.store.release(lease)
            raise

    async def _set_going(
        self,
        lease: Lease,
        row: RunRow,
        entries: list[JournalEntry],
        choice: str | None = None,
        opening: Opening = (),
        definition: WorkflowDefinition | None = None,
        instead_of: Run | None = None,
    ) -> Run:
        """Start a run that was read from the store, and return it."""
        run, changes = await self._rebuild(row, entries, choice, definition)
        opening = (*changes, *opening)
        core = self._core
        run.lease = lease
        run.bound = core.setup.bind(run.plan)
        resumed = any(kind in _RESUMING for kind, _ in opening)
        if row.cancel_reason is not None and not row.finished and not resumed:
            run.cancel = Cancellation(row.cancel_reason, graceful=False, compensate=True)
        if any(step.kind == WAIT for step in run.plan.steps):
            run.signals = list(await self.store.pending_signals(run.id))
        if instead_of is not None:
            run.waiters, instead_of.waiters = instead_of.waiters, None
            run.listeners, instead_of.listeners = instead_of.listeners, None
            run.cancel, run.restarts = instead_of.cancel or run.cancel, instead_of.restarts
            run.span = instead_of.span
        # Known from now on, not only when the message has arrived.
        core.runs[run.id] = run
        if run.over and not opening:
            # Its end was written by a coordinator that died before it could tell.
            core.tell_end(run)
            return run
        run.over = False
        # A part of another run counts as running with that, and must not wait behind it for a turn.
        self._tell(Start(run, opening=opening, bypass=row.parent is not None))
        return run

    async def pick_up(self, run_id: str) -> tuple[Run | None, bool]:
        """Return a stored run, and whether it goes on here from now on.

        It does if nobody alive holds it. One that has ended, or that another engine runs, is
        returned as it stands; None if there is none.
        """
        async with self._claiming:
            there = self._core.runs.get(run_id)
            if there is not None and not there.over:
                return there, True
            try:
                row = await self.store.load_run(run_id)
                if not row.finished:
                    try:
                        return await self._claim(run_id, "old"), True
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
        async with self._claiming:
            try:
                await self._claim(run.id, "old", instead_of=run)
            except RunHeld:
                self._tell(Drop(run.id, "another engine has taken it over"))
            except Exception as error:
                self._tell(Drop(run.id, f"it cannot go on here: {describe(error)}"))

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
        return replay(row, self._with_objects(row, plan, newest), entries), opening

    def _with_objects(self, row: RunRow, plan: Plan, newest: WorkflowDefinition | None) -> Plan:
        """Return the same plan as it was given here, if it was: agents and functions in it that were
        given themselves are themselves there, while the store has their names.
        """
        there = self._core.runs.get(row.run_id)
        given = [newest.plan] if newest is not None else []
        if there is not None:
            given.append(there.plan)
        return next((known for known in given if known.hash == plan.hash), plan)

    async def _plan(self, row: RunRow, entries: list[JournalEntry]) -> Plan:
        """Return the plan that the run was started with, or was changed to last."""
        for entry in reversed(entries):
            if entry.kind == EventKind.DEFINITION_CHANGED:
                return WorkflowDefinition.model_validate(entry.data["definition"]).plan
        plan = self._plans.get(row.definition_hash)
        if plan is None:
            text = self._texts.get(row.definition_hash)
            if text is None:
                text = await self.store.load_definition(row.definition_hash)
            try:
                plan = WorkflowDefinition.model_validate_json(text).plan
            except ValidationError:
                plan = define_workflow(json.loads(text)).plan  # says what is wrong with it
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
