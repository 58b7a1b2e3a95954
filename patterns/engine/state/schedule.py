"""A schedule as it is stored, and what becomes of what is due: pure functions of it and of the time.

A start is first decided, in one write of the schedule that only one engine can make, and then carried out: its run
has an id that follows from the schedule and the moment, so that carrying it out twice finds the run there. A
start that was decided stands in the schedule until its run is stored: another engine carries it out when the
one that decided it has died.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from agenticaiframework.actors import fields_of

from ..definition.schedule import Missed, Overlap, ScheduleDefinition
from ..definition.timing import MOST

LATE_S: Final = 60.0
"""How late a start may be that is not counted as missed: an engine was busy, or is begun anew."""

CLAIM_S: Final = 5.0
"""After what time another engine carries out a start that was decided and is not stored yet."""

RECHECK_S: Final = 1.0
"""How often it is looked whether the run has ended that a queued start waits for."""

SCHEDULE_LABEL: Final = "schedule"
DUE_LABEL: Final = "due"


class Start(BaseModel):
    """A start that was decided, and whose run is not known to be stored."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    due: float
    decided_at: float
    """0 for one that any engine may carry out at once."""


class ScheduleRecord(BaseModel):
    """A schedule with its counts, as JSON in the store. Times are seconds since the epoch.

    Written by the engines on the store, each over what it has read.
    """

    model_config = ConfigDict(frozen=True)

    definition: ScheduleDefinition
    created_at: float
    next: float | None
    """The moment that is due next and has not been decided about."""
    delay_s: float = 0.0
    """By how much the start of that moment is put off (``jitter_s``)."""
    paused_at: float | None = None
    reason: str | None = None
    """Why it is paused."""
    waiting: tuple[float, ...] = ()
    """Moments that wait for a run to end (``overlap="queue"``)."""
    starting: tuple[Start, ...] = ()
    triggered_at: float | None = None
    """When it was started by hand last."""
    last_due: float | None = None
    last_run: str | None = None
    last_at: float | None = None
    fired: int = 0
    missed: int = 0
    skipped: int = 0
    failed: int = 0
    error: str | None = None
    """Why the latest start has failed, until one works."""

    def changed(self, **fields: Any) -> ScheduleRecord:
        """Return it with other fields."""
        return self.model_copy(update=fields)

    @property
    def due_at(self) -> float | None:
        """When an engine is to look at it."""
        times = [start.decided_at + CLAIM_S if start.decided_at else 0.0 for start in self.starting]
        if self.paused_at is None:
            if self.next is not None:
                times.append(self.next + self.delay_s)
            times += self.waiting[:1]
        return min(times, default=None)


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A schedule: what it starts and when, and what came of it. Times are seconds since the epoch."""

    name: str
    workflow: str
    when: str
    """In words: ``0 3 * * 1-5 Europe/Berlin``, ``every 60 s``."""
    cron: str | None
    every_s: float | None
    timezone: str
    missed: Missed
    """What is started of what was missed."""
    overlap: Overlap
    """What is done while a run has not ended."""
    input: Any
    labels: Mapping[str, str]
    created_at: float
    queue: str | None = None
    """The queue that its runs wait in."""
    paused: bool = False
    reason: str | None = None
    """Why it is paused."""
    next_at: float | None = None
    """When it is due next; in the past: no engine has looked at it since. None while it is paused."""
    last_due: float | None = None
    """When the run was due that was started last."""
    last_at: float | None = None
    """When that was started."""
    last_run: str | None = None
    """The id of that run."""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many starts were ``fired``, ``missed`` (no engine could in time), ``skipped`` (a run had not ended)
    and ``failed`` (the workflow could not be started)."""
    error: str | None = None
    """Why the latest start failed; None once one has worked."""

    def to_dict(self) -> dict[str, Any]:
        """Return the status as plain data, for JSON."""
        return fields_of(self)


def status_of(record: ScheduleRecord) -> ScheduleStatus:
    """Return a stored schedule as users see it."""
    its = record.definition
    paused = record.paused_at is not None
    counts = {name: getattr(record, name) for name in ("fired", "missed", "skipped", "failed")}
    return ScheduleStatus(
        name=its.name,
        workflow=its.workflow,
        when=f"{its.timing}{'' if its.jitter_s is None else f', up to {its.jitter_s:g} s later'}",
        cron=its.cron,
        every_s=its.every_s,
        timezone=its.timezone,
        missed=its.missed,
        overlap=its.overlap,
        input=its.input,
        labels=dict(its.labels),
        created_at=record.created_at,
        queue=its.queue,
        paused=paused,
        reason=record.reason,
        next_at=None if paused or record.next is None else record.next + record.delay_s,
        last_due=record.last_due,
        last_at=record.last_at,
        last_run=record.last_run,
        counts=counts,
        error=record.error,
    )


def new_record(definition: ScheduleDefinition, now: float, part: float = 0.0) -> ScheduleRecord:
    """Return a schedule that begins now. *part*, of 0 to 1, is what its jitter puts the first start off by."""
    return ScheduleRecord(
        definition=definition,
        created_at=now,
        next=definition.timing.after(now),
        delay_s=delay_of(definition, part),
    )


def delay_of(definition: ScheduleDefinition, part: float) -> float:
    """Return by how much a start is put off, where *part* of 0 to 1 was drawn.

    >>> daily = ScheduleDefinition(name="n", workflow="w", every_s=86400, jitter_s=600)
    >>> delay_of(daily, 0.25)
    150.0
    """
    return 0.0 if definition.jitter_s is None else part * definition.jitter_s


def redefined(
    record: ScheduleRecord, definition: ScheduleDefinition, now: float, part: float = 0.0
) -> ScheduleRecord:
    """Return a schedule with another definition; what was due by the old one is not due any more."""
    if definition == record.definition:
        return record
    following = record.next
    if definition.timing != record.definition.timing:
        # Not again what an engine has started whose clock is ahead of this one's.
        following = definition.timing.after(max(now, record.last_due or 0.0))
    delay_s = record.delay_s
    if definition.jitter_s != record.definition.jitter_s or following != record.next:
        delay_s = delay_of(definition, part)
    return record.changed(definition=definition, next=following, delay_s=delay_s)


def settle(record: ScheduleRecord, now: float, busy: bool, part: float = 0.0) -> ScheduleRecord:
    """Return the schedule once it is decided what becomes of all that is due at *now*.

    *busy*: a run of it has not ended. What is to be started stands in ``starting``. *part*, of 0 to 1, is
    what the jitter puts the following start off by.
    """
    if record.paused_at is not None:
        return record
    its = record.definition
    due: list[float] = []
    following = record.next
    delay_s = record.delay_s
    until = now - delay_s  # what is put off is not late
    if record.next is not None and record.next <= until:
        due = its.timing.between(record.next, until)
        following = its.timing.after(until)
        delay_s = delay_of(its, part)
    if not due and not record.waiting:
        return record
    chosen = chosen_of(due, its.missed, until)
    waiting = (*record.waiting, *chosen)
    skipped = 0
    busy = busy or bool(record.starting)
    if its.overlap == "allow":
        begun, waiting = waiting, ()
    else:
        begun = () if busy else waiting[:1]
        waiting = waiting[len(begun) :]
        kept = 0 if its.overlap == "skip" else MOST if its.missed == "all" else 1
        skipped = max(0, len(waiting) - kept)
        waiting = waiting[:kept]
    starting = (
        *record.starting,
        *(Start(run_id=run_id_of(its.name, at), due=at, decided_at=now) for at in begun),
    )
    return record.changed(
        next=following,
        delay_s=delay_s,
        waiting=waiting,
        starting=starting,
        missed=record.missed + len(due) - len(chosen),
        skipped=record.skipped + skipped,
    )


def chosen_of(due: list[float], missed: Missed, now: float) -> list[float]:
    """Return those of the moments that are due, in their order, that are started after all.

    >>> chosen_of([60.0, 120.0, 180.0], "latest", 190.0), chosen_of([60.0], "skip", 190.0)
    ([180.0], [])
    """
    if missed == "all":
        return due
    if missed == "skip":
        return [at for at in due[-1:] if now - at <= LATE_S]
    return due[-1:]


def triggered(record: ScheduleRecord, now: float) -> tuple[ScheduleRecord, str]:
    """Return the schedule with one more start, whatever it says of pauses and overlaps, and the run's id."""
    if record.triggered_at is not None:
        now = max(now, record.triggered_at + 1e-6)  # or two at once would be one run
    run_id = run_id_of(record.definition.name, now, exact=True)
    start = Start(run_id=run_id, due=now, decided_at=0.0)
    return record.changed(starting=(*record.starting, start), triggered_at=now), run_id


def carried_out(
    record: ScheduleRecord, started: Mapping[str, str | None], now: float
) -> ScheduleRecord:
    """Return the schedule once those starts are over: run ids, with the error of each that has failed."""
    for start in record.starting:
        if start.run_id not in started:
            continue
        error = started[start.run_id]
        if error is None:
            latest = {"last_due": start.due, "last_run": start.run_id, "last_at": now}
            record = record.changed(fired=record.fired + 1, error=None, **latest)
        else:
            record = record.changed(failed=record.failed + 1, error=error)
    left = tuple(start for start in record.starting if start.run_id not in started)
    return record.changed(starting=left)


def run_id_of(name: str, at: float, *, exact: bool = False) -> str:
    """Return the id of the run that is due at a moment.

    >>> run_id_of("nightly", 1799546400.0)
    'nightly@2027-01-10T02:00:00Z'
    """
    date = datetime.fromtimestamp(at, UTC)
    parts = "microseconds" if exact or date.microsecond else "seconds"
    return f"{name}@{date.replace(tzinfo=None).isoformat(timespec=parts)}Z"


def facts_of(definition: ScheduleDefinition, due: float) -> dict[str, str]:
    """Return what a run may know of its start: the schedule, and when it was due in its zone."""
    local = definition.timing.local(due)
    return {"name": definition.name, "due": local.isoformat(), "date": local.date().isoformat()}
