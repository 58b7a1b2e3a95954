"""The schedules of a store for simulated runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from .schedules import ScheduleRow, ScheduleStore

__all__ = ["SimulatedSchedules"]

T = TypeVar("T")


class SimulatedSchedules:
    """Keeps schedules in the store behind it, with the faults of a plan. Has no state of its own."""

    _schedules: ScheduleStore

    async def _operate(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Do *call*, as the plan lets it."""
        raise NotImplementedError

    async def load_schedules(
        self, names: Iterable[str] | None = None, *, due_by: float | None = None
    ) -> list[ScheduleRow]:
        """Return those schedules, or all, by name."""
        return await self._operate(
            "load_schedules", lambda: self._schedules.load_schedules(names, due_by=due_by)
        )

    async def put_schedule(
        self, name: str, body: bytes, due_at: float | None, after: int | None
    ) -> int:
        """Write a schedule over the revision *after*; return the new one."""
        return await self._operate(
            "put_schedule", lambda: self._schedules.put_schedule(name, body, due_at, after)
        )

    async def drop_schedule(self, name: str) -> bool:
        """Forget a schedule; return whether there was one."""
        return await self._operate("drop_schedule", lambda: self._schedules.drop_schedule(name))
