"""Stored runs made from what is stored of them: row, journal and definition."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from pydantic import ValidationError

from ..code.plan import read_code
from ..definition.meaning import differences, same_work
from ..definition.model import WorkflowFields
from ..definition.plan import ORIGIN, TEXT, Plan, digest
from ..definition.workflow import WorkflowDefinition, define_workflow, loaded_workflow
from ..errors import DefinitionChanged, RunUnreadable, describe
from ..state.events import EventKind
from ..state.live import LiveRun
from ..state.replay import replay
from ..state.run import Run
from ..state.status import WorkflowState
from ..state.step_run import BUSY
from ..store import StoreCorrupt, StoreError
from .sameness import SameTargets

if TYPE_CHECKING:
    from ..code.workflow import AnyWorkflow
    from ..runner.opening import Opening
    from ..store import JournalEntry, RunRow, Store
    from .roster import Roster
    from .setup import Setup

KEPT: Final = 1_000
"""Definitions kept compiled, and verdicts on two of them."""

_UNDOING: Final = frozenset({WorkflowState.CANCELLING, WorkflowState.COMPENSATING})


class Rebuilt(NamedTuple):
    """A run as it is stored, and the events with which it is to go on."""

    run: Run
    opening: Opening


class StoredRuns:
    """Makes runs of what is stored of them, with the definition that they go on with.

    Owned by the recovery. Takes nothing, and writes nothing.
    """

    def __init__(self, setup: Setup, roster: Roster, store: Store) -> None:
        self._setup = setup
        self._roster = roster
        self._store = store
        self._plans: dict[str, Plan] = {}
        self._texts: dict[str, str] = {}
        """Definitions that have been read and not yet been compiled, by hash."""
        self._same = SameTargets(setup.directory)
        self._verdicts: dict[tuple[Plan, Plan, int], list[str]] = {}

    async def prefetch(self, rows: Iterable[RunRow]) -> None:
        """Read the definitions of many runs at once."""
        wanted = {row.definition_hash for row in rows} - self._plans.keys()
        try:
            self._texts = await self._store.load_definitions(wanted)
        except StoreCorrupt:
            self._texts = {}  # each is read by itself, and says what is wrong with it

    def forget_texts(self) -> None:
        """Let go of what was prefetched."""
        self._texts = {}

    async def rebuild(
        self,
        row: RunRow,
        entries: list[JournalEntry],
        choice: str | None,
        newest: AnyWorkflow | None = None,
    ) -> Rebuilt:
        """Return the run that *row* and its journal tell of, and what is to be added to that.

        *choice* says which definition it goes on with if that has changed; *newest* stands in for what
        is registered. Raises `DefinitionChanged`, `DefinitionError`, `StoreCorrupt`, `RunUnreadable`.
        """
        if row.damage is not None:
            raise StoreCorrupt(self._store.url, row.damage, row.run_id)
        choice = choice or self._setup.config.changed_definition
        newest = newest or self._setup.directory.newest(row.name)
        try:
            old = await self._plan(row, entries)
        except StoreError as error:
            if not isinstance(error, StoreCorrupt) or newest is None or choice != "new":
                raise
            return self._with_new(row, entries, None, newest.plan)
        except Exception:
            # What it was started with does not compile any more; its steps are known by their ids.
            if newest is None or choice != "new":
                raise
            return self._with_new(row, entries, None, newest.plan)
        if old.grows:
            # Its code is compared by running it: each of its calls with what the journal says of it.
            there = newest is not None and newest.plan.grows
            plan = newest.plan if newest and there else self._as_given(row, old)
            return Rebuilt(replay(row, plan, entries), ())
        await self._check_steps(row, entries, old)
        if newest is None:
            return Rebuilt(replay(row, self._as_given(row, old), entries), ())
        changes = self._changes(old, newest.plan)
        if not changes:
            return Rebuilt(replay(row, newest.plan, entries), ())
        run = replay(row, self._as_given(row, old), entries)
        asked_to_end = row.cancel_reason is not None and not row.finished
        if choice == "old" or run.state in _UNDOING or asked_to_end:
            # What is undone is undone as it was done.
            return Rebuilt(run, ())
        if choice != "new":
            raise DefinitionChanged(row.name, row.run_id, changes)
        return self._with_new(row, entries, run, newest.plan)

    def _with_new(
        self, row: RunRow, entries: list[JournalEntry], before: Run | None, plan: Plan
    ) -> Rebuilt:
        """Return the run with another plan: what has finished stays so, whatever stands around it now."""
        run = replay(row, plan, entries)
        anew: list[str] = []
        refused: list[str] = []
        if before is not None:
            for old, found in zip(before.plan.steps, before.steps, strict=True):
                new = plan.by_id.get(old.id)
                if found is None or found.state not in BUSY:
                    continue
                if new is not None and same_work(old, new):
                    continue
                if old.definition.kind == "workflow":
                    # Its own run goes on; nothing would take what that returns.
                    refused.append(
                        f"step {old.id!r} is under way as a workflow, and is none any more"
                    )
                elif new is not None:
                    anew.append(old.id)
        if refused:
            raise DefinitionChanged(row.name, row.run_id, refused)
        definition = json.loads(plan.text)
        data: dict[str, Any] = {"definition": definition, "hash": digest(definition)}
        if anew:
            data["anew"] = anew
        return Rebuilt(run, ((EventKind.DEFINITION_CHANGED, data),))

    def _changes(self, old: Plan, new: Plan) -> list[str]:
        """Return how two plans differ in what matters to a run."""
        key = old, new, self._setup.directory.version
        found = self._verdicts.get(key)
        if found is None:
            if len(self._verdicts) >= KEPT:
                self._verdicts.clear()
            found = self._verdicts[key] = differences(old, new, self._same)
        return found

    def _as_given(self, row: RunRow, plan: Plan) -> Plan:
        """Return the plan that the run has here, if that is the same: agents and functions in it that
        were given themselves are themselves there, while the store has their names.
        """
        there = self._roster.get(row.run_id)
        if there is not None and there.run.plan.hash == plan.hash:
            return there.run.plan
        return plan if row.queue is None else self._setup.queued_plans.get(plan.hash, plan)

    async def _plan(self, row: RunRow, entries: list[JournalEntry]) -> Plan:
        """Return the plan that the run was started with, or was changed to last."""
        for entry in reversed(entries):
            if entry.kind == EventKind.DEFINITION_CHANGED:
                return _changed_to(row, entry).plan
        return await self._first_plan(row)

    async def _first_plan(self, row: RunRow) -> Plan:
        plan = self._plans.get(row.definition_hash)
        if plan is None:
            text = self._texts.get(row.definition_hash)
            if text is None:
                text = await self._store.load_definition(row.definition_hash)
            plan = _stored(row, text)
            if len(self._plans) >= KEPT:
                self._plans.clear()
            self._plans[row.definition_hash] = plan
        return plan

    async def _check_steps(self, row: RunRow, entries: list[JournalEntry], plan: Plan) -> None:
        """Raise `RunUnreadable` if the journal tells of a step that no definition of the run has."""
        strangers = {e.step: e.seq for e in entries if e.step and e.step not in plan.by_id}
        if not strangers:
            return
        known = set((await self._first_plan(row)).by_id)
        for entry in entries:
            if entry.kind == EventKind.DEFINITION_CHANGED:
                known |= _changed_to(row, entry).plan.by_id.keys()
        for step, seq in strangers.items():
            if step not in known:
                detail = f"record {seq} is about a step {step!r}, which it does not have"
                raise RunUnreadable(row.run_id, detail)

    def as_far_as_known(self, row: RunRow, error: BaseException) -> LiveRun:
        """Return a run that cannot be read, and is blocked or has ended, as its row shows it: without
        steps, and with the reason.
        """
        fields = WorkflowFields.model_construct(name=row.name, steps=(), labels=dict(row.labels))
        run = Run(row.run_id, Plan(fields), row.input, row.created_at)
        run.persist = True
        run.parent, run.labels, run.context = row.parent, row.labels, row.context
        run.started_at, run.finished_at = row.created_at, row.finished_at
        run.reason = row.cancel_reason
        run.last_error = row.error or describe(error)
        try:
            state = WorkflowState(row.state)
        except ValueError:
            state = WorkflowState.BLOCKED
        if state.finished:
            run.state = state
        else:
            run.state = WorkflowState.RUNNING
            run.blocked = run.last_error
        live = LiveRun(run)
        live.over = state.finished
        live.error = error
        return live


def _stored(row: RunRow, text: str) -> Plan:
    """Return the plan of the text that a store has under the hash of *row*; raises what is wrong with it."""
    form = _parsed(row, text)
    try:
        code = read_code(text)
    except ValueError as error:
        raise RunUnreadable(row.run_id, f"its definition: {error}") from error
    plan = code or _defined(text, form)
    # Of the text itself: what this version of the model makes of it may have fields that it has not.
    actual = digest(form) if code is None else code.hash
    if actual != row.definition_hash:
        raise RunUnreadable(
            row.run_id,
            f"its definition was changed in the store: it has the hash {actual!r}, and stands there "
            f"as {row.definition_hash!r}",
        )
    return plan


def _defined(text: str, form: object) -> Plan:
    """Return the plan of a definition as it is stored; raises what is wrong with it."""
    if isinstance(form, dict) and ORIGIN in form:
        return _read(cast("dict[str, Any]", form)).plan
    try:
        return WorkflowDefinition.model_validate_json(text).plan
    except ValidationError:
        return loaded_workflow(form).plan  # says what is wrong with it


def _read(form: dict[str, Any]) -> WorkflowDefinition:
    """Return a stored definition, which knows where it comes from."""
    fields = {key: value for key, value in form.items() if key != ORIGIN}
    return loaded_workflow(fields) if form.get(ORIGIN) == TEXT else define_workflow(fields)


def _parsed(row: RunRow, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunUnreadable(row.run_id, f"its definition is not JSON ({error})") from error


def _changed_to(row: RunRow, entry: JournalEntry) -> WorkflowDefinition:
    data = entry.data
    if not isinstance(data, dict) or "definition" not in data:
        raise RunUnreadable(row.run_id, f"record {entry.seq} has no definition")
    if "hash" in data and digest(data["definition"]) != data["hash"]:
        detail = f"the definition in its record {entry.seq} was changed in the store"
        raise RunUnreadable(row.run_id, detail)
    form: object = data["definition"]  # pyright: ignore[reportUnknownVariableType]
    return _read(cast("dict[str, Any]", form)) if isinstance(form, dict) else loaded_workflow(form)


def as_found(run: Run) -> LiveRun:
    """Return a run as it was read from the store: whether it is over follows from its journal."""
    live = LiveRun(run)
    live.over = run.state.finished
    if run.state is WorkflowState.COMPLETED:
        live.result = run.collect()
    return live
