"""The half of a store that keeps schedules, over any backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from ..errors import ValueNotStorable, ValueTooLarge
from ..schedules import MAX_SCHEDULE_NAME_BYTES, ScheduleRow
from .backend import ScheduleBackend
from .encoding import ValueLimits
from .keys import in_microseconds
from .rows import check_text, may_be_kept

__all__ = ["ScheduleQueries"]

T = TypeVar("T")


class ScheduleQueries:
    """What a store does with schedules. Has no state of its own."""

    def __init__(self, schedules: ScheduleBackend, limits: ValueLimits) -> None:
        self._schedules = schedules
        self._schedule_bytes = limits.max_value_bytes

    async def _read(self, function: Callable[[], T]) -> T:
        """Run *function* where reads are run."""
        raise NotImplementedError

    async def _call(self, function: Callable[[], T]) -> T:
        """Run *function* in the writer, in a transaction."""
        raise NotImplementedError

    async def load_schedules(
        self, names: Iterable[str] | None = None, *, due_by: float | None = None
    ) -> list[ScheduleRow]:
        """Return those schedules, or all, by name; with *due_by* only those due then or before."""
        some = None if names is None else tuple(filter(may_be_kept, dict.fromkeys(names)))
        at = None if due_by is None else in_microseconds(due_by)
        return await self._read(partial(self._schedules.load, some, at))

    async def put_schedule(
        self, name: str, body: bytes, due_at: float | None, after: int | None
    ) -> int:
        """Write a schedule over the revision *after*; return the new one."""
        check_text("the schedule's name", name)
        size = len(name.encode())
        if size > MAX_SCHEDULE_NAME_BYTES:
            limit = f"it has {size:,} bytes, and may have {MAX_SCHEDULE_NAME_BYTES:,}"
            raise ValueNotStorable("the schedule's name", limit)
        if len(body) > self._schedule_bytes:
            raise ValueTooLarge(f"the schedule {name!r}", len(body), self._schedule_bytes)
        at = None if due_at is None else in_microseconds(due_at)
        return await self._call(partial(self._schedules.put, name, body, at, after))

    async def drop_schedule(self, name: str) -> bool:
        """Forget a schedule; return whether there was one."""
        if not may_be_kept(name):
            return False
        return await self._call(partial(self._schedules.drop, name))
