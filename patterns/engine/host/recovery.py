"""Bringing stored runs back: those of engines that died, and those that are asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import ValidationError

from ..definition.plan import WAIT
from ..definition.workflow import WorkflowDefinition, define_workflow
from ..errors import DefinitionChanged, describe
from ..state.cancellation import Cancellation
from ..state.events import EventKind
from ..state.live import LiveRun
from ..state.replay import replay
from ..state.status import RecoveryReport, WorkflowState
from ..store import Owner, RunHeld, StoreError, UnknownRun
from .messages import DropRun, StartRun
from .origin import TRACEPARENT
from .otel import current_context, enter_traceparent

if TYPE_CHECKING:
    from ..definition.plan import Plan
    from ..runner.machine import Opening
    from ..state.run import Run
    from ..store import JournalEntry, Lease, RunRow, Store
    from .roster import Roster
    from .setup import Setup

_RESUMING: Final = frozenset({EventKind.WORKFLOW_RESUMED, EventKind.WORKFLOW_REWOUND})

BATCH: Final = 1_000
"""Runs recovered at a time."""

BREATHER: Final = 8
"""Runs brought back before others get their turn: some milliseconds, if each has its definition."""


class RecoveryHost(Protocol):
    """The engine's actor, as what brings its runs back knows it."""

    @property
    def setup(self) -> Setup:
        """The configuration and the names."""
        ...

    @property
    def roster(self) -> Roster:
        """The runs that are here."""
        ...

    def tell(self, message: Any) -> None:
        """Send the engine's actor a message; one that has ended needs none."""
        ...

    def tell_end(self, live: LiveRun) -> None:
        """Tell everybody how a run ended that was found ended in the store."""
        ...


class Recovery:
    """Claims stored runs and lets them go on. Owned by the keeper.

    One at a time: what is being claimed is neither in the engine's memory nor anywhere else, and
    must not be claimed a second time meanwhile, which would fence the first claim out.
    """

    def __init__(self, host: RecoveryHost, store: Store) -> None:
        self._host = host
        self._store = store
        self.owner = Owner("", 0, 0.0)
        """The engine, as the store knows it."""
        self._plans: dict[str, Plan] = {}
        self._texts: dict[str, str] = {}
        """Definitions that have been read and not yet been compiled, by hash."""
        self._given_up: dict[str, Lease] = {}
        """What is claimed and does not go on here, by run id; given back as soon as that can be."""
        """Runs that were claimed and cannot go on here."""
        self._claiming = asyncio.Lock()

    async def recover(self) -> RecoveryReport:
        """Take the runs that no living engine holds, and let them go on."""
        recovered: list[str] = []
        changed: list[str] = []
        failed: dict[str, str] = {}
        async with self._claiming:
            await self._give_back()  # what an outage of the store left from an earlier recovery
            while leases := await self._store.claim_abandoned(self.owner, BATCH):
                # Given up until each of them goes on: the store may fail between two of them, and
                # what this engine has claimed and does not run, no engine could ever take.
                self._given_up |= {lease.run_id: lease for lease in leases}
                ids = [lease.run_id for lease in leases]
                rows = await self._store.load_runs(ids)
                journals = await self._store.read_journals(ids)
                self._texts = await self._store.load_definitions(
                    row.definition_hash
                    for row in rows.values()
                    if row.definition_hash not in self._plans
                )
                for count, lease in enumerate(leases):
                    if not count % BREATHER:
                        await asyncio.sleep(0)
                    try:
                        await self._set_going(lease, rows[lease.run_id], journals[lease.run_id])
                    except DefinitionChanged:
                        changed.append(lease.run_id)
                    except StoreError:
                        raise
                    except Exception as error:
                        failed[lease.run_id] = describe(error)
                    else:
                        recovered.append(lease.run_id)
                        del self._given_up[lease.run_id]
            self._texts = {}
            # Given back only now, or they would be claimed again and again.
            await self._give_back()
        return RecoveryReport(tuple(recovered), tuple(changed), failed)

    async def _give_back(self) -> None:
        """Release what was claimed and does not go on here."""
        while self._given_up:
            run_id, lease = next(iter(self._given_up.items()))
            await self._store.release(lease)
            del self._given_up[run_id]

    async def claim(
        self,
        run_id: str,
        choice: str | None,
        opening: Opening,
        definition: WorkflowDefinition | None = None,
    ) -> LiveRun:
        """Take one run, whatever its state, and let it go on after the events of *opening*.

        One that goes on here already is returned as it is. Raises `RunHeld` when another engine runs
        it, `UnknownRun`, `DefinitionChanged`, `UnknownName`.
        """
        async with self._claiming:
            there = self._host.roster.get(run_id)
            if there is not None and not there.over:
                return there
            return await self._claim(run_id, choice, opening, definition)

    async def pick_up(self, run_id: str) -> tuple[LiveRun | None, bool]:
        """Return a stored run, and whether it goes on here from now on.

        It does if nothing alive holds it. One that has ended, or that another engine runs, is
        returned as it stands; None if there is none.
        """
        async with self._claiming:
            there = self._host.roster.get(run_id)
            if there is not None and not there.over:
                return there, True
            try:
                row = await self._store.load_run(run_id)
                if not row.finished:
                    try:
                        return await self._claim(run_id, "old"), True
                    except RunHeld:
                        pass
                return await self.read(run_id), False
            except UnknownRun:
                return None, False

    async def read(self, run_id: str) -> LiveRun:
        """Return a stored run as it stands, without taking it. Raises `UnknownRun`."""
        row = await self._store.load_run(run_id)
        run, _ = await self._rebuild(row, await self._store.read_journal(run_id), "old")
        return _as_found(run)

    async def reload(self, live: LiveRun) -> None:
        """Start the coordinator of a run again from the journal, because the last one crashed."""
        async with self._claiming:
            try:
                await self._claim(live.id, "old", again=live)
            except RunHeld:
                self._host.tell(DropRun(live.id, "another engine has taken it over"))
            except Exception as error:
                self._host.tell(DropRun(live.id, f"it cannot go on here: {describe(error)}"))

    # -- setting going ---------------------------------------------------------------------------

    async def _claim(
        self,
        run_id: str,
        choice: str | None,
        opening: Opening = (),
        definition: WorkflowDefinition | None = None,
        again: LiveRun | None = None,
    ) -> LiveRun:
        lease = await self._store.claim(self.owner, run_id)
        try:
            row = await self._store.load_run(run_id)
            entries = await self._store.read_journal(run_id)
            return await self._set_going(lease, row, entries, choice, opening, definition, again)
        except BaseException:
            await self._store.release(lease)
            raise

    async def _set_going(
        self,
        lease: Lease,
        row: RunRow,
        entries: list[JournalEntry],
        choice: str | None = None,
        opening: Opening = (),
        definition: WorkflowDefinition | None = None,
        again: LiveRun | None = None,
    ) -> LiveRun:
        """Start a run that was read from the store; *again*: it is here, and keeps its followers."""
        run, changes = await self._rebuild(row, entries, choice, definition)
        opening = (*changes, *opening)
        host = self._host
        # A run that is here goes on with the agents that it has, whatever others have been made since.
        known = None if again is None else again.resolve
        names = host.setup.names_of(run.plan) if known is None else known
        bound = host.setup.bind(run.plan, names)
        signals = None
        if any(step.kind == WAIT for step in run.plan.steps):
            signals = list(await self._store.pending_signals(run.id))
        live = _as_found(run)
        if again is not None:
            again.renew(live)
            live = again
        elif run.context is not None and (traceparent := run.context.get(TRACEPARENT)) is not None:
            live.variables = Context()
            live.variables.run(enter_traceparent, traceparent)
            live.outside = live.variables.run(current_context)
        live.lease, live.signals = lease, signals
        live.bound, live.resolve = bound, names
        resumed = any(kind in _RESUMING for kind, _ in opening)
        if row.cancel_reason is not None and not row.finished and not resumed:
            live.cancel = live.cancel or Cancellation(row.cancel_reason)
        # Known from now on, not only when the message has arrived.
        host.roster.add(live)
        if live.over and not opening:
            # Its end was written by a coordinator that died before it could tell.
            host.tell_end(live)
            return live
        live.over = False
        # A part of another run counts as running with that, and must not wait behind it for a turn.
        host.tell(StartRun(live, opening=opening, part=row.parent is not None))
        return live

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
        newest = definition or self._host.setup.directory.workflows.get(row.name)
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
        there = self._host.roster.get(row.run_id)
        given = [newest.plan] if newest is not None else []
        if there is not None:
            given.append(there.run.plan)
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
                text = await self._store.load_definition(row.definition_hash)
            try:
                plan = WorkflowDefinition.model_validate_json(text).plan
            except ValidationError:
                plan = define_workflow(json.loads(text)).plan  # says what is wrong with it
            if len(self._plans) >= BATCH:
                self._plans.clear()
            self._plans[row.definition_hash] = plan
        return plan

    def _choose(self, row: RunRow, old: Plan, new: Plan, choice: str | None) -> Plan:
        choice = choice or self._host.setup.config.changed_definition
        if choice == "old":
            return old
        if choice == "new":
            return new
        raise DefinitionChanged(row.name, row.run_id, differences(old, new))


def _as_found(run: Run) -> LiveRun:
    """Return a run as it was read from the store: whether it is over follows from its journal."""
    live = LiveRun(run)
    live.over = run.state.finished
    if run.state is WorkflowState.COMPLETED:
        live.result = run.collect()
    return live


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
