"""What the public calls of an engine do with schedules: made, changed, looked at, started by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import ActorDied

from ...definition.definition import define
from ..definition.schedule import ScheduleDefinition
from ..errors import UnknownSchedule
from ..state.schedule import (
    ScheduleRecord,
    ScheduleStatus,
    new_record,
    redefined,
    status_of,
    triggered,
)
from ..store import ScheduleChanged
from .messages import LOOK_AT_SCHEDULES
from .scheduler import LOOK, change, put, schedules_in, wall_clock_of

if TYPE_CHECKING:
    from ..store import ScheduleStore
    from .core import EngineCore
    from .cores import Cores

EXAMPLE: Final = (
    "await engine.schedule('nightly', workflow, cron='0 3 * * 1-5', timezone='Europe/Berlin')"
)


class ScheduleControl:
    """Does what the public calls ask for with schedules. Has no state; the store keeps them."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores

    async def put(self, name: str, workflow: str, given: Mapping[str, Any]) -> ScheduleStatus:
        """Make a schedule, or change the one of this name; nothing is written if it is the same."""
        core = self._cores.here()
        setup = core.setup
        definition = define(
            ScheduleDefinition,
            f"schedule {name!r}",
            {"name": name, "workflow": workflow, **given},
            EXAMPLE,
        )
        setup.directory.workflow(workflow, f"schedule {name!r}")  # raises for one that there is not
        store = await self._store(core)
        definition = self._as_stored(core, definition)
        setup.has_schedules = True
        part = 0.0 if definition.jitter_s is None else core.home.random.random()
        while True:
            now = wall_clock_of(core)()
            rows = await store.load_schedules([name])
            before = ScheduleRecord.model_validate_json(rows[0].body) if rows else None
            after = (
                new_record(definition, now, part)
                if before is None
                else redefined(before, definition, now, part)
            )
            if after != before:
                try:
                    await put(store, after, rows[0].revision if rows else None)
                except ScheduleChanged:
                    continue
                what = "new" if before is None else "changed"
                said = f"is {what}: {workflow!r} {definition.timing}"
                core.run_log.schedule(name, "schedule", "INFO", said, f"it is {what}")
            core.tell(LOOK_AT_SCHEDULES)
            return status_of(after)

    def _as_stored(self, core: EngineCore, definition: ScheduleDefinition) -> ScheduleDefinition:
        """Return a definition as it is read back; raises `ValueNotStorable`."""
        keep, name = core.stored_form, definition.name
        value = keep(definition.input, lambda: f"the input of schedule {name!r}")
        context = definition.context
        if context is not None:
            context = keep(dict(context), lambda: f"the context of schedule {name!r}")
        kept = definition.model_copy(update={"input": value, "context": context})
        return ScheduleDefinition.model_validate_json(kept.model_dump_json())

    async def all(self) -> list[ScheduleStatus]:
        """Return the schedules in the store, by name."""
        store = await self._store(self._cores.here())
        rows = await store.load_schedules()
        return [status_of(ScheduleRecord.model_validate_json(row.body)) for row in rows]

    async def pause(self, name: str, reason: str | None) -> ScheduleStatus:
        """Have a schedule start nothing until it is resumed."""

        def pause(record: ScheduleRecord) -> ScheduleRecord:
            if record.paused_at is not None:
                return record
            return record.changed(paused_at=self._now(), reason=reason)

        return await self._change(name, pause)

    async def resume(self, name: str) -> ScheduleStatus:
        """Have a schedule start what is due again."""
        return await self._change(name, lambda record: record.changed(paused_at=None, reason=None))

    async def trigger(self, name: str) -> str:
        """Have a schedule start a run now; return its id."""
        run_id = ""

        def trigger(record: ScheduleRecord) -> ScheduleRecord:
            nonlocal run_id
            after, run_id = triggered(record, self._now())
            return after

        await self._change(name, trigger)
        scheduler = self._cores.here().scheduler
        if scheduler is not None:
            # Where this engine can start it, its run is there when its id is returned.
            try:
                await scheduler.request(LOOK)
            except ActorDied:
                pass  # the engine is stopped; another one starts it
        return run_id

    async def delete(self, name: str) -> None:
        """Forget a schedule. Its runs stay."""
        store = await self._store(self._cores.here())
        if not await store.drop_schedule(name):
            raise await self._unknown(store, name)

    async def _change(
        self, name: str, how: Callable[[ScheduleRecord], ScheduleRecord]
    ) -> ScheduleStatus:
        core = self._cores.here()
        store = await self._store(core)
        record = await change(store, name, how)
        if record is None:
            raise await self._unknown(store, name)
        core.tell(LOOK_AT_SCHEDULES)
        return status_of(record)

    def _now(self) -> float:
        return wall_clock_of(self._cores.here())()

    async def _store(self, core: EngineCore) -> ScheduleStore:
        return schedules_in((await self._cores.ready(core)).store)

    @staticmethod
    async def _unknown(store: ScheduleStore, name: str) -> UnknownSchedule:
        return UnknownSchedule(name, [row.name for row in await store.load_schedules()])
