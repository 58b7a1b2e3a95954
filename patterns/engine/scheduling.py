"""The schedules of an engine: workflows that are started again and again, once over all engines on a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .definition.schedule import Missed, Overlap
from .host.cores import Cores
from .host.scheduling import ScheduleControl
from .registering import Registering, Workflow
from .state.schedule import ScheduleStatus


class Scheduling(Registering):
    """What an engine does with schedules, which go by registered names. The store keeps them."""

    def __init__(self, cores: Cores) -> None:
        super().__init__(cores)
        self._schedules = ScheduleControl(cores)

    async def schedule(
        self,
        name: str,
        workflow: Workflow,
        input_data: Any = None,
        *,
        cron: str | None = None,
        every_s: float | None = None,
        timezone: str | None = None,
        jitter_s: float | None = None,
        missed: Missed = "latest",
        overlap: Overlap = "skip",
        labels: Mapping[str, str] | None = None,
        context: Mapping[str, Any] | None = None,
        queue: str | None = None,
        key: str | None = None,
        priority: int = 0,
    ) -> ScheduleStatus:
        """Have *workflow* started again and again, once each time over all engines on the store.

        By *cron* in *timezone* (UTC; a name such as ``"Europe/Berlin"``), which needs the extra
        ``schedules``, or every *every_s* seconds. The schedule is stored under *name*: to call this again
        with the same is harmless, with something else changes it. It goes by the registered name of the
        workflow; a definition or code that is given is registered. Each start is put off by a part of
        *jitter_s* seconds that is drawn anew: a hundred schedules of one moment do not begin in it.
        *missed* says what is started of that which was due while no engine could (the ``"latest"``,
        ``"all"``, or with ``"skip"`` nothing that is over a minute late), *overlap* what is done while a
        run of it has not ended (``"skip"``, ``"queue"`` or ``"allow"``). With *queue*, *key* and *priority*
        its runs wait in a queue as those of `start_workflow` do.

        Its runs are stored, under the id ``name@2027-01-10T02:00:00Z``, with the labels ``schedule`` and
        ``due``; in *input_data* ``"$schedule.due"`` and ``"$schedule.date"`` stand for when a run was due,
        and handlers find it in ``agent_context()["schedule"]``. Raises `DefinitionError` and
        `UnknownName`.
        """
        if not isinstance(workflow, str):
            workflow = self._registered(workflow)
        given: dict[str, Any] = {
            "cron": cron,
            "every_s": every_s,
            "missed": missed,
            "overlap": overlap,
            "priority": priority,
        }
        optional = {
            "input": input_data,
            "timezone": timezone,
            "jitter_s": jitter_s,
            "labels": labels,
            "context": context,
            "queue": queue,
            "key": key,
        }
        given |= {key: value for key, value in optional.items() if value is not None}
        return await self._schedules.put(name, workflow, given)

    async def schedules(self) -> list[ScheduleStatus]:
        """Return the schedules in the store, by name: when each was due last and is next, and its counts."""
        return await self._schedules.all()

    async def pause_schedule(self, name: str, reason: str | None = None) -> ScheduleStatus:
        """Have a schedule start nothing until it is resumed; its runs go on. Raises `UnknownSchedule`."""
        return await self._schedules.pause(name, reason)

    async def resume_schedule(self, name: str) -> ScheduleStatus:
        """Have a paused schedule go on: what was due meanwhile was missed. Raises `UnknownSchedule`."""
        return await self._schedules.resume(name)

    async def trigger_schedule(self, name: str) -> str:
        """Have a schedule start a run now, whether it is paused or not; return the id of the run.

        Whatever is due later stays so. An engine that has the workflow starts it, in seconds at most.
        Raises `UnknownSchedule`.
        """
        return await self._schedules.trigger(name)

    async def delete_schedule(self, name: str) -> None:
        """Forget a schedule; the runs that it has started stay. Raises `UnknownSchedule`."""
        await self._schedules.delete(name)
