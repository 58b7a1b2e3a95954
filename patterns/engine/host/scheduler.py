"""What starts the workflows that are due by the schedules in the store.

Every engine that does so looks at the same schedules, by its own clock. What is to be started is decided by one
of them, in one write of the schedule (`settle`); then the runs are started, under ids that follow from the
schedule and the moment. An engine that dies between the two leaves the decision in the store, and another one
carries it out: the store takes a run of one id once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from agenticaiframework.actors import Actor, ActorDied

from ..definition.schedule import filled
from ..errors import EngineDraining, EngineStopped, TooManyWorkflows, WorkflowExists, describe
from ..state.schedule import (
    CLAIM_S,
    DUE_LABEL,
    RECHECK_S,
    SCHEDULE_LABEL,
    ScheduleRecord,
    Start,
    carried_out,
    facts_of,
    settle,
)
from ..store import (
    RunFilter,
    ScheduleChanged,
    ScheduleStore,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from .enqueueing import QueuePlace, enqueue
from .keeper import StoreFailed
from .launching import LaunchHost, make_run, start
from .messages import StartRun
from .run_log import RunLog

if TYPE_CHECKING:
    from agenticaiframework.actors import Timer

    from ..store import Store
    from .keeper import StoreKeeper
    from .outage import Outage

LOOK: Final = "look at the schedules"

LOOK_S: Final = 5.0
"""How often it is looked whether other engines have made or changed schedules: after this time at most one
that is due is found. Longer where `EngineConfig.poll_seconds` is."""

TOGETHER: Final = 20
"""Schedules that are looked at beside each other, so that the store can take what is written in one commit."""

AT_ONCE: Final = 50
"""Runs of one schedule that are started before the others get their turn."""


_NOT_NOW: Final = (StoreUnavailable, StoreClosed, EngineDraining, EngineStopped, ActorDied)
"""What says nothing of a workflow: it is started later, or by another engine."""


class SchedulerHost(LaunchHost, Protocol):
    """The engine's actor, as its scheduler knows it."""

    @property
    def outage(self) -> Outage | None:
        """Set while the store does not answer."""
        ...

    @property
    def ending(self) -> bool:
        """Whether the engine is about to end."""
        ...

    def tell(self, message: Any) -> None:
        """Send the engine's actor a message."""
        ...


class Scheduler(Actor):
    """Looks at the schedules in the store when one of them is due. Linked to the engine's actor."""

    exit_is_crash = True

    def __init__(self, host: SchedulerHost) -> None:
        super().__init__()
        self._host = host
        self._log = RunLog(host.setup.name, host.home.log)
        self._now = wall_clock_of(host)
        self._timer: Timer | None = None
        self._told: dict[str, str] = {}
        """What was logged of each schedule last: it is not said again at every look."""

    def on_start(self) -> None:
        self.actor_ref.tell(LOOK)

    async def on_receive(self, message: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        pause_s = await self._look()
        self._timer = self.send_after(max(0.0, pause_s), LOOK)

    # -- looking -----------------------------------------------------------------------------------

    async def _look(self) -> float:
        """Do what is due; return after what time there is something to do again."""
        host = self._host
        look_s = max(LOOK_S, host.setup.config.poll_seconds)
        keeper = host.gate.keeper
        if keeper is None or host.outage is not None or host.setup.draining or host.ending:
            return look_s
        if keeper.lease.in_doubt:
            # It was paused for long, perhaps, and others have gone on without it.
            keeper.look_at_lease()
            return min(look_s, RECHECK_S)
        try:
            return await self._attend_to_all(keeper, look_s)
        except StoreUnavailable as error:
            host.tell(StoreFailed(error))
        except StoreError as error:
            self._tell("", "cannot look at the schedules: {}", describe(error))
        return look_s

    async def _attend_to_all(self, keeper: StoreKeeper, look_s: float) -> float:
        store = schedules_in(keeper.store)
        now = self._now()
        records: dict[str, tuple[ScheduleRecord, int]] = {}
        for row in await store.load_schedules(due_by=now + look_s):
            record = self._read(row.name, row.body)
            if record is not None:
                records[row.name] = record, row.revision
        again = now + look_s
        names = [*records]
        for at in range(0, len(names), TOGETHER):
            outcomes = await asyncio.gather(
                *(self._attend(keeper, name, *records[name]) for name in names[at : at + TOGETHER]),
                return_exceptions=True,
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                if outcome is not None:
                    again = min(again, outcome)
        return again - self._now()

    def _read(self, name: str, body: bytes | str) -> ScheduleRecord | None:
        try:
            return ScheduleRecord.model_validate_json(body)
        except Exception as error:
            self._tell(name, "cannot be read here: {}", describe(error))
            return None

    async def _attend(
        self, keeper: StoreKeeper, name: str, record: ScheduleRecord, revision: int
    ) -> float | None:
        """Do what is due of one schedule; return when it is to be looked at again, if that is soon."""
        store = keeper.store
        now, due_at = self._now(), record.due_at
        if due_at is None or due_at > now:
            return due_at
        if record.definition.workflow not in self._host.setup.directory.workflows:
            self._tell(
                name, "is due, and is left to an engine that has its workflow {!r}",
                record.definition.workflow,
            )  # fmt: skip
            return None
        busy = record.definition.overlap != "allow" and await self._is_busy(store, name)
        # Drawn where it is needed alone: what a simulation does hangs on how often it is asked.
        part = 0.0 if record.definition.jitter_s is None else self._host.home.random.random()
        decided = settle(record, now, busy, part)
        if decided != record:
            try:
                await put(schedules_in(store), decided, revision)
            except ScheduleChanged:
                return now  # another engine has decided, or a person: by what it is now, at once
            self._tell_decided(record, decided)
        mine = [
            each
            for each in decided.starting
            if each not in record.starting or each.decided_at + CLAIM_S <= now
        ]
        for at in range(0, len(mine), AT_ONCE):
            after = await self._carry_out(keeper, decided, mine[at : at + AT_ONCE])
            if after is None:
                return None
            decided = after
        following = decided.due_at
        if following is not None and following <= now:
            # It waits for a run to end, or for room here, or for the store.
            return now + RECHECK_S
        return following

    async def _is_busy(self, store: Store, name: str) -> bool:
        """Tell whether a run of a schedule has not ended."""
        where = RunFilter(labels={SCHEDULE_LABEL: name}, finished=False)
        return bool((await store.list_runs(where, None, 1)).rows)

    # -- starting ----------------------------------------------------------------------------------

    async def _carry_out(
        self, keeper: StoreKeeper, record: ScheduleRecord, starts: list[Start]
    ) -> ScheduleRecord | None:
        """Start the runs; return the schedule as it is then, None if it is gone."""
        name = record.definition.name
        if self._host.setup.draining or self._host.ending:
            return record  # another engine carries them out
        outcomes = await asyncio.gather(
            *(self._start(keeper, record, each) for each in starts), return_exceptions=True
        )
        over: dict[str, str | None] = {}
        for each, outcome in zip(starts, outcomes, strict=True):
            if outcome is None or isinstance(outcome, WorkflowExists):
                over[each.run_id] = None  # or an engine that died then, or was slow, has started it
            elif isinstance(outcome, TooManyWorkflows):
                self._tell(name, "waits to be started: {}", describe(outcome))
            elif not isinstance(outcome, _NOT_NOW):
                over[each.run_id] = describe(outcome)
        if not over:
            return record
        failed = [error for error in over.values() if error is not None]
        fired = len(over) - len(failed)
        if failed:
            self._tell(name, "could not be started: {}", failed[-1])
        else:
            self._told.pop(name, None)
        self._host.setup.watchers.schedule_settled(name, fired=fired, failed=len(failed))
        now = self._now()
        return await change(schedules_in(keeper.store), name, lambda it: carried_out(it, over, now))

    async def _start(self, keeper: StoreKeeper, record: ScheduleRecord, each: Start) -> None:
        """Have a run taken in and stored."""
        host, its = self._host, record.definition
        facts = facts_of(its, each.due)
        live = make_run(
            host,
            host.setup.plan_of(its.workflow, None, None),
            filled(its.input, facts),
            run_id=each.run_id,
            persist=True,
            labels={**its.labels, SCHEDULE_LABEL: its.name, DUE_LABEL: facts["due"]},
            caller=Context(),  # of nobody: not of whatever made the schedule in this process
            context={**(its.context or {}), "schedule": facts},
            elsewhere=its.queue is not None and its.queue not in host.setup.served,
        )
        if its.queue is None:
            await start(host, StartRun(live))
        else:
            place = QueuePlace(its.queue, its.key, its.priority)
            await enqueue(host, keeper, live, place)

    # -- telling -----------------------------------------------------------------------------------

    def _tell_decided(self, before: ScheduleRecord, after: ScheduleRecord) -> None:
        missed, skipped = after.missed - before.missed, after.skipped - before.skipped
        if not missed and not skipped:
            return
        name = after.definition.name
        self._host.setup.watchers.schedule_settled(name, missed=missed, skipped=skipped)
        if missed:
            why = "it was paused or no engine could start them in time"
            said = f"missed {missed:,}: {why} (missed={after.definition.missed!r})"
            self._log.schedule(name, "missed_start", "WARNING", said, why)
        if skipped:
            why = "a run before has not ended"
            said = f"skipped {skipped:,}: {why} (overlap={after.definition.overlap!r})"
            self._log.schedule(name, "skipped_start", "INFO", said, why)

    def _tell(self, name: str, text: str, *about: Any) -> None:
        """Log something of a schedule, unless that was said last."""
        said = text.format(*about)
        if self._told.get(name) == said:
            return
        self._told[name] = said
        self._log.schedule(name, "failed_schedule", "WARNING", said, said)


def wall_clock_of(host: LaunchHost) -> Callable[[], float]:
    """Return the clock by which schedules are due.

    That is not the engine's own, which follows the loop's from its start on: a machine that slept has a
    loop that did not notice. Where time is simulated, and no other clock is given, it is the loop's.
    """
    clock = host.setup.config.wall_clock
    simulated = abs(host.home.loop.time() - time.monotonic()) > 60.0
    return host.now if clock is time.time and simulated else clock


def schedules_in(store: Any) -> ScheduleStore:
    """Return *store* as what keeps schedules; raises `TypeError` for one that does not."""
    if not hasattr(store, "put_schedule"):
        raise TypeError(
            f"{store!r} keeps no schedules: it has none of the methods of ScheduleStore. The stores of "
            "sqlite:///..., postgresql://... and memory:// do"
        )
    return cast("ScheduleStore", store)


async def put(store: ScheduleStore, record: ScheduleRecord, after: int | None) -> None:
    """Write a schedule over the revision *after*; raises ScheduleChanged."""
    body = record.model_dump_json().encode()
    await store.put_schedule(record.definition.name, body, record.due_at, after)


async def change(
    store: ScheduleStore, name: str, how: Callable[[ScheduleRecord], ScheduleRecord]
) -> ScheduleRecord | None:
    """Change a schedule as it is now, whatever others do; return it then, None if there is none."""
    while True:
        rows = await store.load_schedules([name])
        if not rows:
            return None
        record = ScheduleRecord.model_validate_json(rows[0].body)
        changed = how(record)
        if changed == record:
            return record
        try:
            await put(store, changed, rows[0].revision)
        except ScheduleChanged:
            continue
        return changed
