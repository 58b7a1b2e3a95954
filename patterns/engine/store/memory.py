"""Memory: nothing outlives the process, everything else behaves like the other stores.

Values are encoded as elsewhere, so that what a step reads back does not depend on the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import FencedOut, RunExists, RunHeld, StoreCorrupt, StoreError, UnknownRun
from .grouped.backend import Claimed, Clock, JournalRow, Json, RawRun, RawSignal, RunKey
from .grouped.jobs import COLUMNS, Call, Job, Op, Write, fail, follows_failure
from .records import Notice, Retention, RunFilter

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
    finished_at: int | None = None
    wake_at: int | None = None
    error: str | None = None
    cancel_reason: str | None = None
    cancel_requested_at: int | None = None
    journal: list[JournalRow] = field(default_factory=list[JournalRow])
    blobs: dict[str, Json] = field(default_factory=dict[str, Json])


@dataclass(slots=True)
class _Owner:
    engine_id: str
    expires_at: int


@dataclass(slots=True)
class _Notice:
    run: RunKey
    kind: str
    name: str
    payload: bytes
    at: int
    consumed: bool = False


class MemoryDisk:
    """The contents of a memory store. Given to a second store, they are found as after a restart."""

    def __init__(self) -> None:
        self.runs: dict[RunKey, _Run] = {}
        self.keys: dict[str, RunKey] = {}
        self.owners: dict[int, _Owner] = {}
        self.definitions: dict[str, bytes] = {}
        self.notices: dict[int, _Notice] = {}
        self.last_owner = 0
        self.last_notice = 0


class MemoryBackend:
    """A Backend over a MemoryDisk. Owned by the loop of its store."""

    label = "memory://"
    reads_apart = False

    def __init__(self, *, clock: Clock, disk: MemoryDisk | None = None) -> None:
        self._clock = clock
        self._disk = disk or MemoryDisk()

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def close_reader(self) -> None:
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
                wanted = (key, "signal", False)
                if notice is None or (notice.run, notice.kind, notice.consumed) != wanted:
                    raise StoreCorrupt(
                        self.label, f"a signal that run {lease.run_id!r} consumed is not pending"
                    )
            elif body is not None and run.journal and op != Op.BLOB and run.journal[-1][0] >= seq:
                raise StoreCorrupt(
                    self.label, f"record {seq} of run {lease.run_id!r} is written already"
                )

    def _write_row(
        self, op: int, key: int, fence: int, at: int, seq: int, body: bytes | None, extra: str
    ) -> None:
        disk = self._disk
        if op == Op.DEFINE:
            disk.definitions.setdefault(extra, body or b"")
        elif op == Op.CREATE:
            run_id, name, hash_, state, durability, parent, labels, *more = json.loads(extra)
            owner, blob, context = more
            disk.keys[run_id] = key
            disk.runs[key] = _Run(
                *(key, run_id, name, hash_, body, blob, state, durability, at, at),
                *(parent, labels, owner, fence, context),
            )
        elif op == Op.BLOB:
            disk.runs[key].blobs[extra] = body or b""
        elif op == Op.CONSUME:
            disk.notices[int(extra)].consumed = True
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
        disk.owners[disk.last_owner] = _Owner(engine_id, self._now() + int(lease_s * 1e6))
        return disk.last_owner

    def _alive(self, number: int | None) -> bool:
        owner = None if number is None else self._disk.owners.get(number)
        return owner is not None and owner.expires_at > self._now()

    def renew(self, owner: int, engine_id: str, lease_s: float) -> bool:
        """Extend the lease; False when it had ended."""
        alive = self._alive(owner)
        self._disk.owners[owner] = _Owner(engine_id, self._now() + int(lease_s * 1e6))
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
            if run.finished_at is None and run.owner != owner and not self._alive(run.owner)
        ]
        gone.sort(key=lambda run: run.key)
        return [self._take(owner, run) for run in gone[:limit]]

    def _take(self, owner: int, run: _Run) -> Claimed:
        run.owner = owner
        run.fence += 1
        following = run.journal[-1][0] + 1 if run.journal else 1
        return run.run_id, run.key, run.fence, following, run.durability

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

    def request_cancel(self, run_id: str, reason: str) -> bool:
        """Note that the run shall be cancelled."""
        run = self._run(run_id)
        if run.finished_at is not None:
            return False
        if run.cancel_reason is None:
            run.cancel_reason = reason
            run.cancel_requested_at = self._now()
            self._notice(run.key, "cancel", reason, b"null")
        return True

    def put_signal(self, run_id: str, name: str, payload: bytes) -> int:
        """Keep a signal for the run."""
        return self._notice(self._run(run_id).key, "signal", name, payload)

    def _notice(self, key: RunKey, kind: str, name: str, payload: bytes) -> int:
        disk = self._disk
        disk.last_notice += 1
        disk.notices[disk.last_notice] = _Notice(key, kind, name, payload, self._now())
        return disk.last_notice

    def purge_runs(self, keys: Sequence[RunKey]) -> int:
        """Forget those of the runs that are still finished, and definitions without runs."""
        disk = self._disk
        doomed = {key for key in keys if key in disk.runs and disk.runs[key].finished_at}
        for key in doomed:
            del disk.keys[disk.runs.pop(key).run_id]
        for number in [n for n, notice in disk.notices.items() if notice.run in doomed]:
            del disk.notices[number]
        used = {run.definition_hash for run in disk.runs.values()}
        for hash_ in disk.definitions.keys() - used:
            del disk.definitions[hash_]
        return len(doomed)

    # Reads

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

    def signals(self, key: RunKey) -> list[RawSignal]:
        """Return the run's signals that nothing has consumed, oldest first."""
        return [
            (number, notice.name, notice.payload, notice.at)
            for number, notice in self._disk.notices.items()
            if notice.run == key and notice.kind == "signal" and not notice.consumed
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

    def purgeable(self, retention: Retention, now: int, limit: int) -> list[RunKey]:
        """Return finished runs that the policy gives up, at most *limit*."""
        finished = [
            (run.finished_at, run.key)
            for run in self._disk.runs.values()
            if run.finished_at is not None
            and (retention.states is None or run.state in retention.states)
        ]
        finished.sort(reverse=True)
        doomed: list[RunKey] = []
        for place, (finished_at, key) in enumerate(finished):
            too_many = retention.max_finished is not None and place >= retention.max_finished
            too_old = (
                retention.max_age_s is not None and finished_at < now - retention.max_age_s * 1e6
            )
            if too_many or too_old:
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
        run.finished_at = at if finished else None
        if finished:
            run.owner = None
    if error is not None:
        run.error = error or None
    if wake_at is not None:
        run.wake_at = wake_at or None


def _matches(where: RunFilter, raw: RawRun) -> bool:
    _, _, name, _, _, _, state, _, created_at, _, finished_at, *_ = raw
    parent, labels_json, owner = raw[15], raw[16], raw[17]
    labels: dict[str, str] = json.loads(labels_json or "{}")
    return (
        (where.states is None or state in where.states)
        and (where.name is None or name == where.name)
        and (where.parent is None or parent == where.parent)
        and (where.finished is None or (finished_at is not None) == where.finished)
        and (where.owner is None or owner == where.owner)
        and (where.created_after is None or created_at > int(where.created_after * 1e6))
        and (where.created_before is None or created_at < int(where.created_before * 1e6))
        and all(labels.get(name) == value for name, value in where.labels.items())
    )
