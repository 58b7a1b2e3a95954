"""What a store keeps of schedules: a text under a name, which is changed by one writer at a time.

The store knows nothing of cron or of runs: a schedule is JSON, written by the engines, and the moment at which
one of them is to look at it. Engines share schedules, and decide by them what is started: so a
schedule is written only on top of what its writer has read (`ScheduleChanged`), in whichever process.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

__all__ = ["MAX_SCHEDULE_NAME_BYTES", "ScheduleRow", "ScheduleStore"]

MAX_SCHEDULE_NAME_BYTES: Final = 500
"""Of a schedule's name: it stands in an index, and in the ids of its runs."""


class ScheduleRow(NamedTuple):
    """A schedule as it stands in the store."""

    name: str
    revision: int
    """Another one after every change. One that was deleted and made again has another, too."""
    due_at: float | None
    """When it is to be looked at, in seconds since the epoch; None: there is no need to."""
    body: bytes | str
    """JSON, as it was given."""


class ScheduleStore(Protocol):
    """Keeps schedules. Called on the loop that opened the store; every method raises StoreErrors."""

    async def load_schedules(
        self, names: Iterable[str] | None = None, *, due_by: float | None = None
    ) -> list[ScheduleRow]:
        """Return those schedules, or all, by name; with *due_by* only those due then or before."""
        ...

    async def put_schedule(
        self, name: str, body: bytes, due_at: float | None, after: int | None
    ) -> int:
        """Write a schedule durably over the revision *after* (None: there is none); return the new one.

        Raises ScheduleChanged, and writes nothing, where the schedule is not what was read.
        """
        ...

    async def drop_schedule(self, name: str) -> bool:
        """Forget a schedule; return whether there was one."""
        ...
