"""Memory: nothing outlives the process, everything else behaves like the other stores.

Values are encoded as elsewhere, so that what a step reads back does not depend on the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import (
    FencedOut,
    RunExists,
    RunHeld,
    RunOver,
    StoreCorrupt,
    StoreError,
    TooManyPending,
    UnknownRun,
)
from .grouped.backend import (
    Claimed,
    Clock,
    JournalRow,
    Json,
    RawProgress,
    RawRun,
    RawSignal,
    RunKey,
)
from .grouped.jobs import COLUMNS, Call, Job, Op, Write, fail, follows_failure
from .grouped.queue_choice import choose
from .memory_queues import BeginningTimes, MemoryQueue, depths_of, place_of
from .memory_schedules import MemorySchedules, ScheduleTable
from .memory_sessions import MemorySessions, SessionTable
from .queues import QueueDepth, QueueLimits, QueuePlace
from .records import BLOCKED, MAX_SIGNALS, Notice, Retention, RunFilter

__all__ = ["MemoryBackend", "MemoryDisk"]


@dataclass(slots=True)
class _Run:
    key: RunKey
    run_id: str
    name: str
    definition_hash: str
    input: bytes | None
    input_blob: str | None
    state: str
    durability: str
    created_at: int
    updated_at: int
    parent: str | None
    labels: str | None
    owner: int | None
    fence: int
    context: str | None
    root: str | None
    queue: str | None = None
    queue_key: str | None = None
    priority: int = 0
    finished_at: int | None = None
    wake_at: int | None = None
    error: str | None = None
    cancel_reason: str | None = None
    cancel_requested_at: int | None = None
    cancel_options: str | None = None
    journal: list[JournalRow] = field(default_factory=list[JournalRow])
    blobs: dict[str, Json] = field(default_factory=dict[str, Json])


@dataclass(slots=True)
class _Owner:
    engine_id: str
    expires_at: int
    seen_at: int
    queues: Sequence[str] = ()


@dataclass(slots=True)
class _Notice:
    run: RunKey
    kind: str
    name: str
    payload: bytes
    at: int


class MemoryDisk:
    """The contents of a memory store. Given to a second store, they are found as after a restart."""

    def __init__(self) -> None:
        self.runs: dict[RunKey, _Run] = {}
        self.keys: dict[str, RunKey] = {}
        self.owners: dict[int, _Owner] = {}
        self.definitions: dict[str, bytes] = {}
        self.notices: dict[int, _Notice] = {}
        self.pending: dict[RunKey, dict[int, _Notice]] = {}
        """The notices that are signals and have not been consumed, by run."""
        self.last_owner = 0
        self.last_notice = 0
        self.sessions = SessionTable()
        self.begun: BeginningTimes = {}
        """When runs of queues with a limit of their rate have begun."""
        self.schedules = ScheduleTable()


class MemoryBackend:
    """A Backend over a MemoryDisk. Owned by the loop of its store."""

    label = "memory://"
    reads_apart = False
    upkeep_apart = False
    lane = None
    ears = None

    def __init__(self, *, clock: Clock, disk: MemoryDisk | None = None) -> None:
        self._clock = clock
        self._disk = disk or MemoryDisk()
        self.sessions = MemorySessions(self._disk.sessions, self._now)
        self.schedules = MemorySchedules(self._disk.schedules, self._now)

    def open(self) -> None:
        """Nothing to do."""

    def hurry(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def close_reader(self) -> None:
        """Nothing to do."""

    def close_lease(self) -> None:
        """Nothing to do."""

    def _now(self) -> int:
        return int(self._clock() * 1e6)

    # Batches

    def commit(self, jobs: list[Job]) -> None:
        """Carry out *jobs*, each by itself."""
        for job in jobs:
            if isinstance(job, Write) and follows_failure(job, self.label):
                continue
            try:
                if isinstance(job, Call):
                    job.result = job.function()
                else:
                    self._write(job)
            except StoreError as error:
                fail(job, error)

    def _write(self, job: Write) -> None:
        # All checks come first: a job is written as a whole or not at all.
        self._check(job)
        for op, key, fence, at, seq, body, extra in _rows(job):
            self._write_row(op, key, fence, at, seq, body, extra)

    def _check(self, job: Write) -> None:
        disk = self._disk
        lease = job.lease
        created = False
        for op, key, fence, _at, seq, body, extra in _rows(job):
            if op == Op.CREATE:
                run_id = json.loads(extra)[0]
                if run_id in disk.keys:
                    raise RunExists(run_id)
                created = True
                continue
            if op == Op.DEFINE or created:
                continue
            run = disk.runs.get(key)
            if run is None or run.fence != fence:
                raise FencedOut(lease.run_id, fence)
            if op == Op.CONSUME:
                notice = disk.notices.get(int(extra))
                fresh = notice is not None and int(extra) in disk.pending.get(notice.run, {})
                if notice is None or not fresh or not self._may_consume(run, notice.run):
                    raise StoreCorrupt(
                        self.label, f"a signal that run {lease.run_id!r} consumed is not pending"
                    )
            elif body is not None and run.journal and op != Op.BLOB and run.journal[-1][0] >= seq:
                raise StoreCorrupt(
                    self.label, f"record {seq} of run {lease.run_id!r} is written already"
                )

    def _may_consume(self, run: _Run, key: int) -> bool:
        """Tell whether *run* may take a signal of the run *key*: itself, or one around it."""
        around = self._disk.runs.get(key)
        if around is None or around.key == run.key:
            return around is not None
        return run.root is not None and run.root == (around.root or around.run_id)

    def _write_row(
        self, op: int, key: int, fence: int, at: int, seq: int, body: bytes | None, extra: str
    ) -> None:
        disk = self._disk
        if op == Op.DEFINE:
            disk.definitions.setdefault(extra, body or b"")
        elif op == Op.CREATE:
            run_id, name, hash_, state, durability, parent, labels, *more = json.loads(extra)
            owner, blob, context, root, *queued = more
            disk.keys[run_id] = key
            disk.runs[key] = _Run(
                *(key, run_id, name, hash_, body, blob, state, durability, at, at),
                *(parent, labels, owner, fence, context, root, *queued),
            )
        elif op == Op.BLOB:
            disk.runs[key].blobs[extra] = body or b""
        elif op == Op.CONSUME:
            number = int(extra)
            del disk.pending[disk.notices[number].run][number]
        else:
            run = disk.runs[key]
            if body is not None:
                run.journal.append((seq, fence, at, body))
            if op == Op.APPEND_UPDATE:
                _update(run, at, *json.loads(extra))

    # Calls: owners

    def register(self, engine_id: str, lease_s: float, replace: bool) -> int:
        """Return the number of a new owner."""
        disk = self._disk
        for earlier in disk.owners.values() if replace else ():
            if earlier.engine_id == engine_id:
                earlier.expires_at = 0
        held = {run.owner for run in disk.runs.values() if run.finished_at is None}
        for number in [n for n in disk.owners if n not in held and not self._alive(n)]:
            del disk.owners[number]
        disk.last_owner += 1
        disk.owners[disk.last_owner] = self._owner(engine_id, lease_s)
        return disk.last_owner

    def _owner(self, engine_id: str, lease_s: float) -> _Owner:
        now = self._now()
        return _Owner(engine_id, now + int(lease_s * 1e6), now)

    def _alive(self, number: int | None) -> bool:
        owner = None if number is None else self._disk.owners.get(number)
        return owner is not None and owner.expires_at > self._now()

    def renew(self, owner: int, engine_id: str, lease_s: float) -> bool:
        """Extend the lease; False when it had ended."""
        alive = self._alive(owner)
        before = self._disk.owners.get(owner)
        now = self._disk.owners[owner] = self._owner(engine_id, lease_s)
        if before is not None:
            now.queues = before.queues
        return alive

    def retire(self, owner: int) -> None:
        """End the owner's lease."""
        if owner in self._disk.owners:
            self._disk.owners[owner].expires_at = 0

    # Calls: claims

    def claim(self, owner: int, run_id: str) -> Claimed:
        """Take a run that no living engine holds."""
        run = self._run(run_id)
        if run.owner is not None and run.owner != owner and self._alive(run.owner):
            raise RunHeld(run_id, self._disk.owners[run.owner].engine_id)
        return self._take(owner, run)

    def claim_abandoned(self, owner: int, limit: int) -> list[Claimed]:
        """Take unfinished runs whose owners are gone."""
        gone = [
            run
            for run in self._disk.runs.values()
            if run.finished_at is None
            and run.state != BLOCKED
            and run.queue is None
            and run.owner != owner
            and not self._alive(run.owner)
        ]
        gone.sort(key=lambda run: run.key)
        return [self._take(owner, run) for run in gone[:limit]]

    def _take(self, owner: int, run: _Run) -> Claimed:
        run.owner = owner
        run.fence += 1
        following = run.journal[-1][0] + 1 if run.journal else 1
        return run.run_id, run.key, run.fence, following, run.durability

    def take(self, owner: int, limits: QueueLimits, room: int, run_id: str | None) -> list[Claimed]:
        """Take runs of a queue, as its limits allow."""
        disk, now = self._disk, self._now()
        runs = [*disk.runs.values()]
        table = MemoryQueue(limits.queue, owner, runs, disk.begun, now, self._alive)
        again, new = choose(table, limits, room, run_id)
        if limits.rate is not None:
            since = now - int(limits.rate_s * 1e6)
            lately = [at for at in disk.begun.get(limits.queue, ()) if at > since]
            disk.begun[limits.queue] = lately + [now] * len(new)
        return [self._take(owner, disk.runs[key]) for key in (*again, *new)]

    def serve(self, owner: int, queues: Sequence[str]) -> None:
        """Have it known which queues an engine takes runs of."""
        if owner in self._disk.owners:
            self._disk.owners[owner].queues = queues

    def release(self, key: RunKey, fence: int) -> None:
        """Give the run up, if it is still held with this fencing token."""
        run = self._disk.runs.get(key)
        if run is not None and run.fence == fence:
            run.owner = None

    def _run(self, run_id: str) -> _Run:
        key = self._disk.keys.get(run_id)
        if key is None:
            raise UnknownRun(run_id, self.label)
        return self._disk.runs[key]

    # Calls: from outside

    def request_cancel(self, run_id: str, reason: str, options: str | None) -> bool:
        """Note that the run shall be cancelled."""
        run = self._run(run_id)
        if run.finished_at is not None:
            return False
        if run.cancel_reason is None:
            run.cancel_reason, run.cancel_options = reason, options
            run.cancel_requested_at = self._now()
            self._notice(run.key, "cancel", reason, b"null")
        return True

    def put_signal(self, run_id: str, name: str, payload: bytes, late: bool) -> int:
        """Keep a signal for the run."""
        run = self._run(run_id)
        if run.finished_at is not None and not (late and run.state == "failed"):
            raise RunOver(run_id, run.state)
        pending = self._disk.pending.setdefault(run.key, {})
        if len(pending) >= MAX_SIGNALS:
            raise TooManyPending(run_id, MAX_SIGNALS)
        number = self._notice(run.key, "signal", name, payload)
        pending[number] = self._disk.notices[number]
        return number

    def _notice(self, key: RunKey, kind: str, name: str, payload: bytes) -> int:
        disk = self._disk
        disk.last_notice += 1
        disk.notices[disk.last_notice] = _Notice(key, kind, name, payload, self._now())
        return disk.last_notice

    def purge_runs(self, keys: Sequence[RunKey]) -> int:
        """Forget those of the runs that are still finished, and definitions without runs."""
        disk = self._disk
        doomed: set[RunKey] = set()
        parts = self._parts()
        for key in keys:
            run = disk.runs.get(key)
            if run is not None and self._outermost(run):
                family = _family(run, parts)
                if all(each.finished_at is not None for each in family):
                    doomed |= {each.key for each in family}
        for key in doomed:
            del disk.keys[disk.runs.pop(key).run_id]
            disk.pending.pop(key, None)
        for number in [n for n, notice in disk.notices.items() if notice.run in doomed]:
            del disk.notices[number]
        used = {run.definition_hash for run in disk.runs.values()}
        for hash_ in disk.definitions.keys() - used:
            del disk.definitions[hash_]
        return len(doomed)

    def _outermost(self, run: _Run) -> bool:
        """Tell whether a run has finished, and is not a part of one that is there."""
        return run.finished_at is not None and run.parent not in self._disk.keys

    def _parts(self) -> dict[str, list[_Run]]:
        """Return the runs that are parts of others, by the id of those."""
        parts: dict[str, list[_Run]] = {}
        for run in self._disk.runs.values():
            if run.parent is not None:
                parts.setdefault(run.parent, []).append(run)
        return parts

    # Reads

    def progress(self, run_ids: Sequence[str]) -> list[RawProgress]:
        """Return how far those of the runs that exist have got."""
        disk = self._disk
        found = [disk.runs[disk.keys[each]] for each in run_ids if each in disk.keys]
        return [
            (
                *(run.run_id, run.journal[-1][0] if run.journal else 0),
                *(run.state, run.finished_at is not None, run.fence),
            )
            for run in found
        ]

    def runs(self, run_ids: Sequence[str]) -> list[RawRun]:
        """Return the rows of those runs that exist."""
        disk = self._disk
        return [self._raw(disk.runs[disk.keys[each]]) for each in run_ids if each in disk.keys]

    def _raw(self, run: _Run) -> RawRun:
        owner = None if run.owner is None else self._disk.owners.get(run.owner)
        return (
            *(run.key, run.run_id, run.name, run.definition_hash, run.input, run.input_blob),
            *(run.state, run.durability, run.created_at, run.updated_at, run.finished_at),
            *(run.wake_at, run.error, run.cancel_reason, run.cancel_requested_at, run.parent),
            *(run.labels, None if owner is None else owner.engine_id, run.fence, run.context),
            *(run.root, run.cancel_options, None if owner is None else owner.seen_at),
            *(run.queue, run.queue_key, run.priority),
        )

    def list_runs(self, where: RunFilter, before: RunKey | None, limit: int) -> list[RawRun]:
        """Return rows, the newest first, below *before*."""
        found: list[RawRun] = []
        for key in sorted(self._disk.runs, reverse=True):
            if before is not None and key >= before:
                continue
            raw = self._raw(self._disk.runs[key])
            if _matches(where, raw):
                found.append(raw)
                if len(found) == limit:
                    break
        return found

    def journal(self, key: RunKey, after: int, limit: int | None) -> list[JournalRow]:
        """Return the rows whose last record is above *after*, in order."""
        return [row for row in self._disk.runs[key].journal if row[0] > after][:limit]

    def journals(self, keys: Sequence[RunKey]) -> dict[RunKey, list[JournalRow]]:
        """Return whole journals by key."""
        return {key: list(self._disk.runs[key].journal) for key in keys}

    def blobs(self, key: RunKey, digests: Sequence[str]) -> dict[str, Json]:
        """Return the run's spilled values by digest."""
        blobs = self._disk.runs[key].blobs
        return {digest: blobs[digest] for digest in digests if digest in blobs}

    def definition(self, definition_hash: str) -> Json | None:
        """Return the definition with this hash."""
        return self._disk.definitions.get(definition_hash)

    def signals(self, key: RunKey, after: int) -> list[RawSignal]:
        """Return the run's signals above *after* that nothing has consumed, oldest first."""
        return [
            (number, notice.name, notice.payload, notice.at)
            for number, notice in self._disk.pending.get(key, {}).items()
            if number > after
        ]

    def signals_of(self, run_ids: Sequence[str]) -> list[tuple[str, RawSignal]]:
        """Return the signals of several runs that nothing has consumed, oldest first."""
        keys = self._disk.keys
        return [
            (run_id, signal)
            for run_id in run_ids
            if run_id in keys
            for signal in self.signals(keys[run_id], 0)
        ]

    def notices(self, owner: int, after: int) -> tuple[list[Notice], int]:
        """Return the new notices for the owner's runs, and the number to ask from next."""
        disk = self._disk
        if disk.last_notice <= after:
            return [], after
        found: list[Notice] = []
        for number, notice in disk.notices.items():
            run = disk.runs[notice.run]
            if number > after and run.owner == owner:
                found.append(Notice(number, run.run_id, notice.kind, notice.name))
        return found, disk.last_notice

    def queue_depths(self) -> list[QueueDepth]:
        """Return how many runs stand in each queue."""
        serving: dict[str, list[str]] = {}
        for number, owner in self._disk.owners.items():
            for queue in owner.queues if self._alive(number) else ():
                serving.setdefault(queue, []).append(owner.engine_id)
        return depths_of([*self._disk.runs.values()], serving)

    def queue_place(self, run_id: str, rate_s: float) -> QueuePlace | None:
        """Return where a run stands in its queue."""
        key = self._disk.keys.get(run_id)
        runs = self._disk.runs
        since = self._now() - int(rate_s * 1e6)
        if key is None:
            return None
        return place_of(runs[key], [*runs.values()], self._disk.begun, since)

    def purgeable(self, retention: Retention, now: int, limit: int) -> list[RunKey]:
        """Return finished runs that the policy gives up, at most *limit*."""
        finished = [
            (run.finished_at, run.key)
            for run in self._disk.runs.values()
            if run.finished_at is not None
            and self._outermost(run)
            and (retention.states is None or run.state in retention.states)
        ]
        finished.sort(reverse=True)
        parts = self._parts()
        doomed: list[RunKey] = []
        for place, (finished_at, key) in enumerate(finished):
            too_many = retention.max_finished is not None and place >= retention.max_finished
            too_old = (
                retention.max_age_s is not None and finished_at < now - retention.max_age_s * 1e6
            )
            family = _family(self._disk.runs[key], parts) if too_many or too_old else ()
            if family and all(each.finished_at is not None for each in family):
                doomed.append(key)
        return doomed[:limit]


def _rows(job: Write) -> Iterator[tuple[Any, ...]]:
    rows = job.rows
    return (tuple(rows[at : at + COLUMNS]) for at in range(0, len(rows), COLUMNS))


def _update(
    run: _Run,
    at: int,
    state: str | None,
    finished: int | None,
    error: str | None,
    wake_at: int | None,
) -> None:
    run.updated_at = at
    if state is not None:
        run.state = state
    if finished is not None:
        if not finished and run.finished_at is not None:
            run.cancel_reason = run.cancel_requested_at = run.cancel_options = None
        run.finished_at = at if finished else None
        if finished:
            run.owner = None
    if error is not None:
        run.error = error or None
    if wake_at is not None:
        run.wake_at = wake_at or None


def _family(run: _Run, parts: Mapping[str, Sequence[_Run]]) -> list[_Run]:
    """Return a run and its parts, and theirs."""
    family = [run]
    for one in family:
        family += parts.get(one.run_id, ())
    return family


def _matches(where: RunFilter, raw: RawRun) -> bool:
    _, _, name, _, _, _, state, _, created_at, _, finished_at, *_ = raw
    parent, labels_json, owner = raw[15], raw[16], raw[17]
    labels: dict[str, str] = json.loads(labels_json or "{}")
    return (
        (where.states is None or state in where.states)
        and (where.name is None or name == where.name)
        and (where.parent is None or parent == where.parent)
        and (where.root is None or raw[20] == where.root)
        and (where.finished is None or (finished_at is not None) == where.finished)
        and (where.owner is None or owner == where.owner)
        and (where.queue is None or raw[23] == where.queue)
        and _within(created_at, where.created_after, where.created_before)
        and _within(finished_at, where.finished_after, where.finished_before)
        and all(labels.get(name) == value for name, value in where.labels.items())
    )


def _within(at: int | None, after_s: float | None, before_s: float | None) -> bool:
    if at is None:
        return after_s is None and before_s is None
    return (after_s is None or at > round(after_s * 1e6)) and (
        before_s is None or at < round(before_s * 1e6)
    )
