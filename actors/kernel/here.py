# pyright: reportPrivateUsage=false
"""What this place works for: a thread for the job in its hands, a task for the actor that waits for it.

Below requests, which look here when something other than a handler on its own loop awaits them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Final, cast

from .circle import calling_self, find_circle


class Here(threading.local):
    """What a worker thread does now."""

    cell: Any = None
    """The actor whose handler this thread runs."""
    job: Any = None
    """The `Job` in its hands."""


HERE: Final = Here()

PARTS: Final[dict[Any, Any]] = {}
"""Tasks that are parts of a handler, which does not return before they have, with its actor's cell."""


class Parts:
    """The tasks of a handler that does not return before they have. Owned by its loop's thread.

    Made in the handler, which goes on awaiting things; what the tasks
    await, it is known to wait for, until `close`. *race*: some of their answers may be enough.
    """

    __slots__ = ("_before", "_cell", "_tasks", "race")

    def __init__(self, race: bool = False) -> None:
        task: Any = asyncio.current_task()
        self._cell: Any = getattr(task, "_cell", None)
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.race = race
        self._before: Any = None
        if self._cell is None:
            self._cell = PARTS.get(task)
        elif self._cell is not None:
            self._before = self._cell._awaits
            self._cell._awaits = self

    def add(self, task: asyncio.Task[Any]) -> None:
        """Count *task* as a part until it has ended."""
        if self._cell is None or task.done():
            return
        self._tasks[task] = None
        PARTS[task] = self._cell
        task.add_done_callback(self._remove)
        for request in _awaited_by(task):
            # It has begun already: a loop may run the first step of a task when it is made.
            way = find_circle(request, self._cell)
            if way is not None:
                request.refuse(calling_self(way))

    def _remove(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        PARTS.pop(task, None)

    def close(self) -> None:
        """Take note that the handler waits for no task any more."""
        if self._cell is not None and self._cell._awaits is self:
            self._cell._awaits = self._before

    def pending(self) -> Sequence[Any]:
        """Return the requests that the tasks await."""
        return [request for task in tuple(self._tasks) for request in _awaited_by(task)]


def _awaited_by(task: Any) -> Sequence[Any]:
    """Return the request that *task* awaits, if it is one."""
    awaited: Any = getattr(task, "_fut_waiter", None)
    return awaited.pending() if hasattr(awaited, "asker_waiting") else ()


def enter_outside(home: Any, loop: asyncio.AbstractEventLoop) -> None:
    """A task of *loop*, in this thread, asks: its handler may wait for that, or not."""
    HERE.job.loop = loop
    home.post(home.enter_outside, HERE.cell)


def is_main(task: Any, *, alone: bool = True) -> bool:
    """Tell whether its loop runs no longer than *task*: what it awaits, its whole thread waits for.

    *alone*: so it is with one that has the running loop for itself.
    """
    for entry in getattr(task, "_callbacks", None) or ():
        fn: Any = cast("tuple[Any, ...]", entry)[0] if isinstance(entry, tuple) else entry
        if getattr(fn, "__name__", "") in ("_run_until_complete_cb", "_stop_when_done"):
            return True
    # Another loop than asyncio's own may do it another way.
    return alone and len(asyncio.all_tasks()) == 1


__all__ = ["HERE", "PARTS", "Here", "Parts", "enter_outside", "is_main"]
