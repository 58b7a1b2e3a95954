"""The future of pykka's blocking `ask`: it can also be awaited."""

from __future__ import annotations

import asyncio
import queue
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ..errors import WouldBlock
from .pykka_seam import PykkaFuture
from .request import ASKED, KINDS, call_on, set_unless_done

if TYPE_CHECKING:
    from types import TracebackType

    from .home import Home


class ActorFuture(PykkaFuture):
    """The future of pykka's blocking `ask`, and of proxies: a `pykka.Future` that knows loops.

    `get` in a foreign thread blocks that thread; on the loop that has to produce the answer it
    raises `WouldBlock` instead of waiting for itself. `await` never blocks the loop.
    """

    home: Home | None = None
    """Where the answer is produced; set by the asker."""

    message: Any = None
    asker_waiting = True
    waits_for_room = False
    forward_to: Any = None
    """A foreign pykka future that gets the same answer."""

    def get(self, *, timeout: float | None = None) -> Any:
        home = self.home
        if (
            home is not None
            and timeout != 0
            and not self.answered
            and not self.computed
            and home.is_here()
        ):
            raise WouldBlock("future.get()", "await future")
        return super().get(timeout=timeout)

    def reply(self, value: Any = None) -> None:
        """Give the answer. Safe from any thread; later answers are ignored."""
        if not self.answered:
            try:
                self.set(value)
            except queue.Full:
                pass  # another thread has answered meanwhile

    answer = reply

    def fail(self, error: BaseException) -> None:
        """Make the asker's `get` raise *error*. Safe from any thread."""
        if not self.answered:
            try:
                self.set_exception((type(error), error, error.__traceback__))
            except queue.Full:
                pass

    def set(self, value: Any | None = None) -> None:
        super().set(value)
        if self.forward_to is not None:
            self.forward_to.set(value)
        self._wake()

    def set_exception(
        self,
        exc_info: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
        | None = None,
    ) -> None:
        exc_info = exc_info if exc_info is not None else sys.exc_info()
        super().set_exception(exc_info)
        if self.forward_to is not None:
            self.forward_to.set_exception(exc_info)
        self._wake()

    def _wake(self) -> None:
        with self.lock:
            waiters, self._waiters = self._waiters, ()
        for future in waiters:
            call_on(future.get_loop(), set_unless_done, future)

    _waiters: tuple[asyncio.Future[None], ...] = ()

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.computed:
            with self.lock:
                if not self.answered:
                    future = asyncio.get_running_loop().create_future()
                    self._waiters = (*self._waiters, future)
                else:
                    future = None
            if future is not None:
                yield from future
            return self.get()
        # A hook (map, filter, join, stop) computes by blocking: that belongs into a thread.
        loop = asyncio.get_running_loop()
        return (yield from loop.run_in_executor(None, self.get).__await__())

    __iter__ = __await__


KINDS[ActorFuture] = ASKED
