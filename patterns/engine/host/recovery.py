"""Bringing stored runs back: those of engines that died, and those that are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from ..errors import DefinitionChanged, RunUnreadable, describe, describe_blocked
from ..state.cancellation import Cancellation
from ..state.part_names import MARK
from ..state.status import RecoveryReport, WorkflowState
from ..store import (
    FencedOut,
    Owner,
    RunExists,
    RunFilter,
    RunHeld,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    UnknownRun,
)
from .blocking import BlockedRuns, is_known
from .going_on import GoingOn, Missing, RecoveryHost
from .messages import DropRun, SignalRun, StartRun
from .outage import REFUSALS
from .run_log import RunLog
from .stored_runs import StoredRuns, as_found
from .takeover import busy_steps, is_active, opening_of, spacing_s, too_often
from .unrun_ends import end_deadly, end_unread

if TYPE_CHECKING:
    from ...vocabulary.target import Resolver
    from ..code.workflow import AnyWorkflow
    from ..runner.opening import Opening
    from ..state.live import LiveRun
    from ..state.run import Run
    from ..store import JournalEntry, Lease, QueueLimits, Record, RunRow, Signal, Store

_BLOCKED: Final = frozenset({WorkflowState.BLOCKED.value})

BATCH: Final = 1_000
"""Runs recovered at a time."""

TOGETHER: Final = 100
"""Runs that go on after an outage of the store at a time."""

BREATHER: Final = 8
"""Runs brought back before others get their turn: some milliseconds, if each has its definition."""


class _Findings:
    """What one recovery has found, by run id."""

    def __init__(self) -> None:
        self.recovered: list[str] = []
        self.lives: list[LiveRun] = []
        """The recovered runs themselves."""
        self.changed: list[str] = []
        self.failed: dict[str, str] = {}
        self.blocked: dict[str, str] = {}
        self.suspects: list[tuple[int, LiveRun, Opening]] = []
        """Runs that were taken over before without getting on: how often, and with what they go on."""
        self.parts: list[tuple[Lease, RunRow, list[JournalEntry] | None]] = []
        """Nested runs, which come after those around them."""

    def seen(self, run_id: str) -> bool:
        """Tell whether it is known what is to become of a run."""
        return run_id in self.blocked or run_id in self.failed

    def cannot(self, run_id: str, error: BaseException, reason: str) -> None:
        """Note that a run cannot go on as things are."""
        self.blocked[run_id] = reason
        if isinstance(error, DefinitionChanged):
            self.changed.append(run_id)
        else:
            self.failed[run_id] = reason

    def differs(self, run_id: str, reason: str) -> None:
        """Note that a run is not one of the code that is here."""
        self.blocked[run_id] = reason
        self.changed.append(run_id)

    def report(self) -> RecoveryReport:
        """Return it as the caller of `recover` gets it."""
        recovered, changed = tuple(self.recovered), tuple(self.changed)
        return RecoveryReport(recovered, changed, self.failed, self.blocked)


class Recovery:
    """Claims stored runs and lets them go on. Owned by the keeper.

    One at a time: what is being claimed is neither in the engine's memory nor anywhere else, and
    must not be claimed a second time meanwhile, which would fence the first claim out.

    What cannot go on is noted as blocked and given back: no engine holds it, so that one that can go on
    with it may take it. A run whose row or journal cannot be read is such a one; it keeps no other from
    being recovered.
    """

    def __init__(self, host: RecoveryHost, store: Store) -> None:
        self._host = host
        self._store = store
        self.owner = Owner("", 0, 0.0)
        """The engine, as the store knows it."""
        self._runs = StoredRuns(host.setup, host.roster, store)
        self._going = GoingOn(host, store)
        self._log = RunLog(host.setup.name, host.home.log)
        self._blocked = BlockedRuns(host.setup.name, store, self._log, host.home.log)
        self._given_up: dict[str, Lease] = {}
        """What is claimed and does not go on here, by run id; given back as soon as that can be."""
        self._coming: frozenset[str] = frozenset()
        """The runs of the batch that is being brought back."""
        self._late: set[str] = set()
        """Those of them that were sent signals meanwhile."""
        self._claiming = asyncio.Lock()

    async def recover(self, room: Callable[[], int] | None = None) -> RecoveryReport:
        """Take the runs that no living engine holds, and let them go on.

        *room* says how many the engine can begin; what is beyond that is left to others, and to a later
        time. None: all of them.
        """
        found = _Findings()
        async with self._claiming:
            await self._give_back()  # what an outage of the store left from an earlier recovery
            try:
                limit = None if room is None else room()
                while leases := await self._claim_batch(limit, found):
                    # Given up until each of them goes on: the store may fail between two of them, and
                    # what this engine has claimed and does not run, no engine could ever take.
                    self._given_up |= {lease.run_id: lease for lease in leases}
                    await self._bring_back(leases, found)
                for lease, row, entries in sorted(found.parts, key=_depth):
                    await self._bring_one_back(lease, row, entries, found)
                await self._look_at_blocked(found)
            finally:
                self._runs.forget_texts()
                self._start_suspects(found)
                self._log.recovered(found.lives, len(found.failed), len(found.blocked))
            # Given back only now, or they would be claimed again and again.
            await self._give_back()
        return found.report()

    async def take(self, limits: QueueLimits, room: int) -> int:
        """Take up to *room* runs of a queue, as its limits allow, and let them go on; return how many."""
        found = _Findings()
        async with self._claiming:
            await self._give_back()
            try:
                leases = await self._store.take(self.owner, limits, room)
                self._given_up |= {lease.run_id: lease for lease in leases}
                # A drain that has begun meanwhile does not see them: they go back to their places.
                if leases and not self._host.setup.draining:
                    await self._bring_back(leases, found)
            finally:
                self._runs.forget_texts()
                self._start_suspects(found)
                begun = [live for live in found.lives if live.run.started_at is not None]
                self._log.recovered(begun, len(found.failed), len(found.blocked))
            await self._give_back()
        return len(leases)

    async def unblock(self, queue: str) -> None:
        """Let blocked runs of a queue that is served here go on that can go on by now."""
        found = _Findings()
        async with self._claiming:
            try:
                await self._look_at_blocked(found, queue)
            finally:
                self._runs.forget_texts()
                self._start_suspects(found)
                self._log.recovered(found.lives, len(found.failed), len(found.blocked))
            await self._give_back()

    async def _claim_batch(self, room: int | None, found: _Findings) -> list[Lease]:
        if self._host.setup.draining:
            return []
        limit = BATCH if room is None else min(BATCH, room - len(found.recovered))
        return await self._store.claim_abandoned(self.owner, limit) if limit > 0 else []

    async def _bring_back(self, leases: list[Lease], found: _Findings) -> None:
        """Let claimed runs go on, or say why they cannot."""
        ids = [lease.run_id for lease in leases]
        rows, journals = await self._read(ids)
        self._coming = frozenset(ids)
        signals = await self._signals(ids)
        for count, lease in enumerate(leases):
            if not count % BREATHER:
                await asyncio.sleep(0)
            row, entries = rows.get(lease.run_id), journals.get(lease.run_id)
            if row is not None and row.parent is not None:
                found.parts.append((lease, row, entries))
            else:
                pending = None if signals is None else signals.get(lease.run_id, ())
                await self._bring_one_back(lease, row, entries, found, pending)
        late, self._coming, self._late = self._late, frozenset(), set()
        for run_id in sorted(late):
            await self._deliver(run_id)

    async def _signals(self, ids: list[str]) -> dict[str, list[Signal]] | None:
        """Return what waits in many runs at once; None: it has to be read one by one."""
        try:
            return await self._store.pending_signals_of(ids)
        except StoreCorrupt:
            return None

    async def deliver_signals(self, run_id: str) -> None:
        """Give a run that is here, or about to be, the signals that it has in the store, in their order."""
        if run_id in self._coming:
            self._late.add(
                run_id
            )  # its signals have been read, and may be handed over without these
        await self._deliver(run_id)

    async def _deliver(self, run_id: str) -> None:
        live = self._host.roster.get(run_id)
        if live is not None and not live.over and not live.blocked:
            try:
                pending = await self._store.pending_signals(run_id, live.last_signal)
            except StoreCorrupt as error:
                self._host.blocked(live, describe(error))
                return
            if pending:
                self._host.tell(SignalRun(run_id, pending))

    async def _bring_one_back(
        self,
        lease: Lease,
        row: RunRow | None,
        entries: list[JournalEntry] | None,
        found: _Findings,
        signals: Sequence[Signal] | None = None,
    ) -> None:
        try:
            await self._take_over(lease, row, entries, found, signals)
        except Exception as error:
            await self._cannot(lease, row, error, found)

    async def _read(
        self, ids: list[str]
    ) -> tuple[dict[str, RunRow], dict[str, list[JournalEntry]]]:
        """Return what can be read of many runs at once; the others are read one by one."""
        rows: dict[str, RunRow] = {}
        journals: dict[str, list[JournalEntry]] = {}
        try:
            rows = await self._store.load_runs(ids)
            await self._runs.prefetch(rows.values())
            journals = await self._store.read_journals(ids)
        except StoreCorrupt:
            pass  # found again, and told, for the run that it is about
        return rows, journals

    async def _take_over(
        self,
        lease: Lease,
        row: RunRow | None,
        entries: list[JournalEntry] | None,
        found: _Findings,
        signals: Sequence[Signal] | None = None,
    ) -> None:
        """Let a run go on that an engine has left, unless that was too often.

        A nested run is left to the engine that has, or will have, the run around it.
        """
        run_id = lease.run_id
        if row is None:
            row = await self._store.load_run(run_id)
        if not is_known(row):
            raise RunUnreadable(run_id, f"its state is {row.state!r}")
        place = await self._place(row)
        if row.finished or place == "elsewhere":
            return
        if entries is None:
            entries = await self._store.read_journal(run_id)
        asked_to_end = row.cancel_reason is not None or place == "nowhere"
        choice = None if row.parent is None else "old"
        run, changes = await self._runs.rebuild(row, entries, choice)
        counted = not await self._works_in_parts(run)
        reason = too_often(run, self._host.setup.config.max_recoveries)
        if counted and reason is not None:
            await end_deadly(self._store, lease, run, reason)
            self._given_up.pop(run_id, None)
            found.failed[run_id] = reason
            self._ended(run_id, reason)
            self._log.died_too_often(row.name, run_id, reason)
            return
        opening = (*changes, *opening_of(run, counted=counted))
        missing: Missing = "steps" if asked_to_end else "nothing"
        live = await self._ready(lease, row, run, opening, missing, None, entries, signals=signals)
        self._given_up.pop(run_id, None)
        found.recovered.append(run_id)
        if row.queue is None or run.started_at is not None:
            self._host.setup.watchers.run_recovered(run.plan.name)
        found.lives.append(live)
        if place == "nowhere" and not live.over and live.cancel is None:
            live.cancel = Cancellation("the run around it has ended")
        if run.takeovers:
            found.suspects.append((run.takeovers, live, opening))
        else:
            self._going.start(live, opening)

    async def _place(self, row: RunRow) -> Literal["here", "elsewhere", "nowhere"]:
        """Return where the run around a nested one is: nowhere, if it has ended or is forgotten."""
        if row.parent is None:
            return "here"
        around = self._host.roster.get(row.parent)
        if around is not None and not around.over:
            return "here"
        parent = (await self._store.load_runs([row.parent])).get(row.parent)
        return "nowhere" if parent is None or parent.finished else "elsewhere"

    async def _works_in_parts(self, run: Run) -> bool:
        """Tell whether what was at work in a run are runs of their own, which count for themselves.

        That is asked of the store only where it matters: when the run was taken over before.
        """
        if not run.takeovers or not is_active(run):
            return False
        parts = await self._store.list_runs(RunFilter(parent=run.id, finished=False), None, BATCH)
        return 0 < busy_steps(run) <= len(parts.rows)

    def _start_suspects(self, found: _Findings) -> None:
        """Start what may have ended a process one after another, the least suspicious first.

        So a run that ends its process at once has the count of its recoveries go up alone, while those
        that were only beside it get on.
        """
        suspects = sorted(found.suspects, key=lambda suspect: suspect[0])
        apart_s = spacing_s(len(suspects))
        for place, (_, live, opening) in enumerate(suspects):
            if place:
                live.opening = opening
                self._host.home.call_later(place * apart_s, partial(self._start_later, live))
            else:
                self._going.start(live, opening)

    async def _ready(
        self,
        lease: Lease,
        row: RunRow,
        run: Run,
        opening: Opening,
        missing: Missing,
        again: LiveRun | None = None,
        entries: Sequence[JournalEntry] = (),
        around: Resolver | None = None,
        signals: Sequence[Signal] | None = None,
    ) -> LiveRun:
        """Return a claimed run that is known here from now on, and can go on with *opening*."""
        live = await self._going.ready(
            lease, row, run, opening, missing, again, entries, around, signals
        )
        self._blocked.forget(run.id)
        return live

    def _start_later(self, live: LiveRun) -> None:
        """Start a run, unless something else has done so, or another engine has it."""
        if live.opening is not None and live.queued is None and not live.over:
            self._going.start(live, live.opening)

    async def _give_back(self) -> None:
        """Release what was claimed and does not go on here."""
        while self._given_up:
            run_id, lease = next(iter(self._given_up.items()))
            await self._store.release(lease)
            self._given_up.pop(run_id, None)

    # -- what cannot go on -----------------------------------------------------------------------

    async def _cannot(
        self, lease: Lease, row: RunRow | None, error: Exception, found: _Findings
    ) -> None:
        """Note that a claimed run cannot go on as things are. Raises *error* if the store failed."""
        if isinstance(error, (UnknownRun, FencedOut)):
            return  # purged, or taken by another engine meanwhile
        if isinstance(error, StoreError) and not isinstance(error, StoreCorrupt):
            raise error
        reason = describe_blocked(error)
        found.cannot(lease.run_id, error, reason)
        if row is None:
            row = (await self._store.load_runs([lease.run_id])).get(lease.run_id)
        self._blocked.note(lease, row, reason, await self._limit_at(row))

    async def _limit_at(self, row: RunRow | None) -> float | None:
        """Return when the time of a run is over, as far as that can be known."""
        if row is None:
            return None
        if row.state in _BLOCKED:
            return row.wake_at
        try:
            entries = await self._store.read_journal(row.run_id)
            return (await self._runs.rebuild(row, entries, "old")).run.limit_at
        except Exception:
            return None

    async def _look_at_blocked(self, found: _Findings, queue: str | None = None) -> None:
        """Let blocked runs go on that can go on by now: all, or those of a queue."""
        where, page = RunFilter(states=_BLOCKED, finished=False, queue=queue), None
        while True:
            some = await self._store.list_runs(where, page, BATCH)
            rows = {row.run_id: row for row in some.rows if not found.seen(row.run_id)}
            if rows:
                _, journals = await self._read(list(rows))
                for row in rows.values():
                    await asyncio.sleep(0)
                    await self._reconsider(row, journals.get(row.run_id), found)
            page = some.next
            if page is None:
                return

    async def _reconsider(
        self, row: RunRow, entries: list[JournalEntry] | None, found: _Findings
    ) -> None:
        """Claim a blocked run and let it go on, if it can; it is claimed for nothing else, so that no
        engine that could is kept from it.
        """
        if row.queue is not None and row.queue not in self._host.setup.served:
            return  # it is for the engines that serve the queue
        error = await self._obstacle(row, entries)
        newest = self._host.setup.directory.newest(row.name)
        if error is None and newest is not None and self._blocked.differs_from(row, newest.plan):
            found.differs(row.run_id, row.error or "")
            return
        if error is not None:
            reason = describe_blocked(error)
            found.cannot(row.run_id, error, reason)
            self._blocked.watch(row.run_id, row.wake_at)
            news = self._blocked.tell(row.run_id, reason, row.name)
            if row.error == reason or row.queue is not None or not news:
                return
        lease = await self._claim_blocked(row)
        if lease is None:
            return
        self._given_up[row.run_id] = lease
        if error is not None:
            self._blocked.note(lease, None, describe_blocked(error), row.wake_at, row.name)
            return
        try:
            await self._take_over(lease, None, None, found)
        except Exception as problem:
            await self._cannot(lease, None, problem, found)

    async def _claim_blocked(self, row: RunRow) -> Lease | None:
        """Claim a blocked run; one of a queue only if there is a place for it."""
        try:
            if row.queue is None:
                return await self._store.claim(self.owner, row.run_id)
            for queue in self._host.setup.config.queues:
                if queue.name == row.queue:
                    taken = await self._store.take(self.owner, queue.limits, 1, row.run_id)
                    return taken[0] if taken else None
        except (RunHeld, UnknownRun):
            pass
        return None

    async def _obstacle(
        self,
        row: RunRow,
        entries: list[JournalEntry] | None,
        choice: str | None = None,
        around: Resolver | None = None,
    ) -> Exception | None:
        """Return what keeps a blocked run from going on here, if something does."""
        try:
            if entries is None:
                entries = await self._store.read_journal(row.run_id)
            run, _ = await self._runs.rebuild(row, entries, choice)
            missing: Missing = "nothing" if row.cancel_reason is None else "steps"
            self._going.bind(run, self._host.setup.names_of(run.plan, around), (), missing)
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, StoreCorrupt):
                raise
            return error
        return None

    async def _unobstructed(self, row: RunRow, around: Resolver | None) -> bool:
        """Tell whether a run can go on here; note it as blocked if not. Raises `RunHeld`."""
        error = await self._obstacle(row, None, "old", around)
        if error is not None and row.state not in _BLOCKED:
            lease = await self._store.claim(self.owner, row.run_id)
            self._given_up[row.run_id] = lease
            reason = describe_blocked(error)
            self._blocked.note(lease, row, reason, await self._limit_at(row))
            await self._give_back()
        return error is None

    async def block(self, live: LiveRun, reason: str, reopening: Sequence[Record] = ()) -> None:
        """Note that a run that is here cannot go on, and give it back."""
        async with self._claiming:
            lease = live.lease
            if lease is not None and live.blocked:
                self._given_up[live.id] = lease
                if live.run.plan.grows:
                    self._blocked.differs(live.id, live.run.code_plan.of, reason)
                name, limit_at = live.run.plan.name, live.run.limit_at
                self._blocked.note(lease, None, reason, limit_at, name, reopening)
                await self._give_back()

    async def end_overdue(self) -> None:
        """Let blocked runs fail whose time is over: compensated, where that can be."""
        for run_id in self._blocked.overdue(self._host.now()):
            async with self._claiming:
                try:
                    await self._expire(run_id)
                except (RunHeld, UnknownRun):
                    continue  # it goes on elsewhere, or has ended
                except StoreError as error:
                    if not isinstance(error, StoreCorrupt):
                        self._blocked.watch(run_id, self._host.now())
                        raise

    async def _expire(self, run_id: str) -> None:
        row = (await self._store.load_runs([run_id])).get(run_id)
        if row is None or row.finished or row.state not in _BLOCKED:
            return
        try:
            await self._claim(run_id, "old", missing="all")
        except StoreError as error:
            if not isinstance(error, StoreCorrupt):
                raise
            await self._end(run_id, WorkflowState.FAILED, _late(row), row.name)
        except Exception:
            await self._end(run_id, WorkflowState.FAILED, _late(row), row.name)

    async def cancel_unread(self, run_id: str, reason: str) -> None:
        """End a run as cancelled that cannot be read, and so cannot be undone either."""
        async with self._claiming:
            await self._end(run_id, WorkflowState.CANCELLED, reason)

    async def _end(self, run_id: str, state: WorkflowState, why: str, name: str = "") -> None:
        """Write the end of a run that no machine can decide about."""
        lease = await self._store.claim(self.owner, run_id)
        try:
            await end_unread(self._store, lease, state, why)
        finally:
            await self._store.release(lease)
        if state is WorkflowState.FAILED:
            self._log.died_too_often(name, run_id, why)
        self._ended(run_id, why)

    def _ended(self, run_id: str, why: str) -> None:
        """Have what waits here for a run look into the store, where its end is."""
        self._blocked.forget(run_id)
        there = self._host.roster.get(run_id)
        if there is not None and not there.over:
            self._host.tell(DropRun(run_id, why))

    # -- one run -------------------------------------------------------------------------------------

    async def claim(
        self,
        run_id: str,
        choice: str | None,
        opening: Opening,
        definition: AnyWorkflow | None = None,
        missing: Missing = "nothing",
        around: Resolver | None = None,
    ) -> LiveRun:
        """Take one run, whatever its state, and let it go on after the events of *opening*.

        Its names are found within what *around* finds. One that goes on here already is returned as
        it is. Raises `RunHeld` when another engine runs it, `UnknownRun`, `DefinitionChanged`, `UnknownName`, and what is wrong with one that cannot be
        read.
        """
        async with self._claiming:
            there = self._host.roster.get(run_id)
            if there is not None and not there.over and not there.blocked:
                return there
            return await self._claim(run_id, choice, opening, definition, missing, around=around)

    async def pick_up(self, run_id: str, around: Resolver | None) -> tuple[LiveRun | None, bool]:
        """Return a stored run, and whether it goes on here from now on.

        It does if nothing alive holds it: its names are found within what *around* finds. One that has
        ended, or that another engine runs, is
        returned as it stands; None if there is none.
        """
        async with self._claiming:
            there = self._host.roster.get(run_id)
            if there is not None and not there.over and not there.blocked:
                return there, True
            try:
                row = (await self._store.load_runs([run_id])).get(run_id)
                if row is None:
                    return None, False
                if not row.finished:
                    try:
                        if await self._unobstructed(row, around):
                            live = await self._claim(run_id, "old", by_hand=False, around=around)
                            return live, True
                    except RunHeld:
                        pass
                live = await self.read(run_id)
            except UnknownRun:
                return None, False
            if row.finished and not live.over:
                raise RunUnreadable(
                    run_id, "its row says that it has ended, and its journal does not"
                )
            return live, False

    async def read(self, run_id: str) -> LiveRun:
        """Return a stored run as it stands, without taking it. Raises `UnknownRun`.

        One that cannot be read, and is blocked for that or has ended, is shown as its row tells.
        """
        row = (await self._store.load_runs([run_id])).get(run_id)
        if row is None:
            raise UnknownRun(run_id, self._store.url)
        try:
            entries = await self._store.read_journal(run_id)
            live = as_found((await self._runs.rebuild(row, entries, "old")).run)
            live.resting = row.state == WorkflowState.WAITING
            return live
        except UnknownRun:
            raise
        except Exception as error:
            if not _obstructs(error):
                raise
            if is_known(row) and row.state not in _BLOCKED and not row.finished:
                raise
            return self._runs.as_far_as_known(row, error)

    async def reload(self, runs: Iterable[LiveRun]) -> None:
        """Let *runs*, which are here, go on from what is stored of them.

        Raises StoreUnavailable when the store does not answer: the rest is to be tried again.
        """
        async with self._claiming:
            for some in _batched(runs, TOGETHER):
                # Together, so that the store can take their claims in one commit.
                outcomes = await asyncio.gather(
                    *(self._reload(live) for live in some), return_exceptions=True
                )
                for outcome in outcomes:
                    if outcome is not None:
                        raise outcome

    async def _reload(self, live: LiveRun) -> None:
        if live.over or live.blocked:
            return
        try:
            if live.ref is not None and live.lease is not None:
                await self._write_on(live, live.lease)
            else:
                await self._claim(live.id, "old", again=live)
        except RunExists:
            self._host.taken(live)
        except RunHeld:
            if live.accepted is not None:
                self._host.taken(live)
            else:
                self._host.tell(DropRun(live.id, "another engine has taken it over"))
        except UnknownRun:
            self._begin_again(live)
        except (StoreUnavailable, *REFUSALS):
            raise
        except Exception as error:
            if _obstructs(error):
                self._host.blocked(live, describe_blocked(error))
            else:
                self._host.tell(DropRun(live.id, f"it cannot go on here: {describe(error)}"))

    async def _write_on(self, live: LiveRun, before: Lease) -> None:
        """Let a run go on whose coordinator has kept what the store did not take."""
        lease = await self._store.claim(self.owner, live.id)
        if not live.may_be(lease.key):
            await self._store.release(lease)
            raise RunExists(live.id)
        count = lease.next_seq - before.next_seq
        if count and (await self._store.load_run(live.id)).finished:
            await self._store.release(lease)
        self._host.written(live, lease, count)

    def _begin_again(self, live: LiveRun) -> None:
        """Let a run begin that the store has not taken in."""
        if live.ref is not None and live.lease is not None:
            live.in_doubt = live.lease.key
            self._host.written(live, None, 0)
            return
        if live.lease is not None and live.lease.next_seq > 1:
            self._host.tell(DropRun(live.id, "the store has lost it"))
            return
        live.begin_again()
        self._host.unread.hand_over(live)
        self._host.tell(StartRun(live))

    async def take_back(self) -> None:
        """Let the runs go on that are this engine's in the store, and that it does not know.

        An outage of the store may have swallowed the answer that said so.
        """
        async with self._claiming:
            await self._give_back()
            await self._store.flush()  # what is on its way there is known here
            mine = RunFilter(owner=self.owner.engine_id, finished=False)
            page: str | None = None
            while True:
                found = await self._store.list_runs(mine, page, BATCH)
                for row in found.rows:
                    await self._take_back(row.run_id)
                page = found.next
                if page is None:
                    return

    async def _take_back(self, run_id: str) -> None:
        there = self._host.roster.get(run_id)
        if there is not None and (not there.over or there.refused is not None):
            return
        try:
            await self._claim(run_id, None)
        except (StoreUnavailable, *REFUSALS):
            raise
        except Exception:
            pass  # another engine of this name has it, or it has been given back: `recover` says why

    async def _claim(
        self,
        run_id: str,
        choice: str | None,
        opening: Opening = (),
        definition: AnyWorkflow | None = None,
        missing: Missing = "nothing",
        again: LiveRun | None = None,
        by_hand: bool = True,
        around: Resolver | None = None,
    ) -> LiveRun:
        lease = await self._store.claim(self.owner, run_id)
        try:
            if again is not None and not again.may_be(lease.key):
                raise RunExists(run_id)
            row = await self._store.load_run(run_id)
            entries = await self._store.read_journal(run_id)
            run, changes = await self._runs.rebuild(row, entries, choice, definition)
            opening = (*changes, *opening)
            if again is None and missing == "nothing" and not run.state.finished:
                if by_hand:
                    run.takeovers = 0
                opening = (*opening_of(run, counted=not by_hand), *opening)
            live = await self._ready(lease, row, run, opening, missing, again, entries, around)
            self._going.start(live, opening)
            if live.over:
                await self._store.release(lease)  # or no other engine could let it go on
            return live
        except BaseException as error:
            if again is not None and _obstructs(error):
                again.lease = lease  # it is given back when it is noted why it cannot go on
            else:
                await self._store.release(lease)
            raise


def _obstructs(error: BaseException) -> bool:
    """Tell whether *error* keeps one run from going on, and says nothing of the store as a whole."""
    if isinstance(error, StoreError):
        return isinstance(error, StoreCorrupt)
    return isinstance(error, Exception)


def _batched(runs: Iterable[LiveRun], size: int) -> Iterator[list[LiveRun]]:
    """Yield *runs* in lists of at most *size*.

    >>> [*_batched(range(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    left = iter(runs)
    while some := list(islice(left, size)):
        yield some


def _depth(part: tuple[Lease, RunRow, list[JournalEntry] | None]) -> int:
    return part[1].run_id.count(MARK)


def _late(row: RunRow) -> str:
    return f"TimeLimit: the time of the workflow was over while it was blocked: {row.error}"
