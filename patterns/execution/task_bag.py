"""Pieces of work that run at the same time, as tasks of one coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Self

from agenticaiframework.actors import Parts


class TaskBag:
    """Tasks that never outlive the ``async with`` they belong to, at most *limit* at once.

    Leaving the block, in whatever way, cancels the tasks that still run and waits until they have
    ended. An unexpected error of a task is raised by `settled` (an expected one is an outcome, and
    no error). asyncio's TaskGroup lost: it cannot drop the losers of a race without ending in an
    error, bounds nothing, and cancels the siblings of a task that fails.

    What the tasks wait for, the coordinator waits for; with *race* some of their results may be enough.
    Owned by the coordinator that made it.
    """

    def __init__(self, limit: int | None = None, *, race: bool = False) -> None:
        self._limit = limit
        self._running: set[asyncio.Task[Any]] = set()
        self._parts = Parts(race)
        self._changed: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether `stop` has been called, so that nothing more should be started."""
        return self._stopped

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run *work* beside the rest, at once (see `room` for the limit)."""
        if self._stopped:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._parts.add(task)
        self._running.add(task)
        task.add_done_callback(self._done)

    def stop(self) -> None:
        """Cancel what still runs: it is not needed any more."""
        self._stopped = True
        for task in self._running:
            task.cancel()
        self._wake()

    async def room(self) -> bool:
        """Wait until one more may be started; return False when the bag has been stopped."""
        while not self._stopped and self._limit is not None and len(self._running) >= self._limit:
            await self._change()
        return not self._stopped

    async def settled(self) -> None:
        """Wait until nothing runs any more; raise the first unexpected error."""
        while self._running:
            if self._error is not None:
                self.stop()
            await self._change()
        if self._error is not None:
            raise self._error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        try:
            await self._end()
        finally:
            self._parts.close()

    async def _end(self) -> None:
        if not self._running:
            return
        cancelled: asyncio.CancelledError | None = None
        self.stop()
        while self._running:
            try:
                await self._change()
            except asyncio.CancelledError as error:
                # Cancelled again while cleaning up: the tasks are on their way out already.
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            error = task.exception()
            if error is not None and self._error is None:
                self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def _change(self) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        try:
            await self._changed
        finally:
            self._changed = None
