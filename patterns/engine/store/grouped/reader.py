"""A thread beside the loop: for reads, so that a long listing delays no commit, and for what else waits."""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

from .outcome import call_on

__all__ = ["ReaderThread"]

Done = Callable[[Any, BaseException | None], None]
_Item = tuple[Callable[[], Any], Done] | None


class ReaderThread:
    """Runs functions one after the other in a daemon thread, which starts with the first of them.

    Owned by the loop that made it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        label: str,
        close: Callable[[], None],
        *,
        role: str = "store-reader",
    ) -> None:
        self._loop = loop
        self._name = f"{role}-{label}"
        self._close = close
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._finalizer = weakref.finalize(self, self._queue.put, None)

    def run(self, function: Callable[[], Any], done: Done) -> None:
        """Call *function* in the thread, then `done(result, error)` on the loop."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=_run,
                args=(self._loop, self._queue, self._close),
                name=self._name,
                daemon=True,
            )
            self._thread.start()
        self._queue.put((function, done))

    async def stop(self) -> None:
        """Finish the queue, then wait until the thread has ended."""
        thread = self._thread
        if self._finalizer.detach() is None or thread is None:
            return
        ended = asyncio.Event()
        self._queue.put((lambda: None, lambda _result, _error: ended.set()))
        self._queue.put(None)
        await ended.wait()
        # All it still does is close its connection.
        thread.join()

    def abandon(self) -> threading.Thread | None:
        """Let the thread end, without waiting; return it."""
        self._finalizer.detach()
        self._queue.put(None)
        return self._thread


def _run(
    loop: asyncio.AbstractEventLoop, items: queue.SimpleQueue[_Item], close: Callable[[], None]
) -> None:
    while (item := items.get()) is not None:
        function, done = item
        result: Any = None
        error: BaseException | None = None
        try:
            result = function()
        except Exception as failure:
            error = failure
        call_on(loop, done, result, error)
        del item, function, done, result, error
    close()
