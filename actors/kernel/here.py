# pyright: reportPrivateUsage=false
"""What this place works for: a thread for the job in its hands, a task for the actor that waits for it.

Below requests, which look here when something other than a handler on its own loop awaits them.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Final


class Here(threading.local):
    """What a worker thread does now."""

    cell: Any = None
    """The actor whose handler this thread runs."""
    job: Any = None
    """The `Job` in its hands."""


HERE: Final = Here()

PARTS: Final[dict[asyncio.Task[Any], Any]] = {}
"""Tasks that are parts of a handler, which does not return before they have, with its actor's cell."""


class Parts:
    """The tasks that a parked handler waits for, in the place of a request. Owned by its loop's thread.

    *race*: some of their answers may be enough, and the others are dropped then.
    """

    __slots__ = ("before", "cell", "race", "tasks")

    def __init__(self, cell: Any, race: bool) -> None:
        self.cell = cell
        self.race = race
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.before: Any = cell._awaits
        cell._awaits = self

    def add(self, task: asyncio.Task[Any]) -> None:
        """Count *task* as a part until `remove`."""
        self.tasks[task] = None
        PARTS[task] = self.cell

    def remove(self, task: asyncio.Task[Any]) -> None:
        """Take note that *task* has ended."""
        self.tasks.pop(task, None)
        PARTS.pop(task, None)

    def close(self) -> None:
        """Take note that the handler waits for them no more."""
        for task in self.tasks:
            PARTS.pop(task, None)
        self.tasks.clear()
        if self.cell._awaits is self:
            self.cell._awaits = self.before

    def pending(self) -> list[Any]:
        """Return the requests that are awaited."""
        found: list[Any] = []
        for task in tuple(self.tasks):
            awaited = getattr(task, "_fut_waiter", None)
            if hasattr(awaited, "asker_waiting"):
                found += awaited.pending()
        return found


def is_main(task: Any) -> bool:
    """Tell whether its loop runs no longer than *task*: what it awaits, its whole thread waits for."""
    for entry in getattr(task, "_callbacks", None) or ():
        fn = entry[0] if isinstance(entry, tuple) else entry
        if getattr(fn, "__name__", "") in ("_run_until_complete_cb", "_stop_when_done"):
            return True
    # Another loop than asyncio's own may do it another way.
    return len(asyncio.all_tasks()) == 1


__all__ = ["HERE", "PARTS", "Here", "Parts", "is_main"]
