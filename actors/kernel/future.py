# pyright: reportPrivateUsage=false
"""The future of pykka's blocking `ask`: it can also be awaited."""

from __future__ import annotations

import asyncio
import queue
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ..errors import WouldBlock
from ..looks import frames_of
from .circle import calling_self, find_circle, take_out
from .here import HERE, PARTS, is_main
from .pykka_seam import PykkaFuture
from .request import ASKED, KINDS, call_on, set_unless_done
from .task import ActorTask

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    target: Any = None
    """The cell of the actor that is asked; set by the asker."""
    delivered = True
    race = False

    def get(self, *, timeout: float | None = None) -> Any:
        home = self.home
        if home is None or timeout == 0 or self.answered or self.computed:
            return super().get(timeout=timeout)
        if home.is_here():
            if home.current is self.target or HERE.cell is self.target:
                self._refuse_circle(self.target)
            raise WouldBlock("future.get()", "await future")
        cell, job = HERE.cell, HERE.job
        if cell is None:
            return super().get(timeout=timeout)
        before, cell._awaits = cell._awaits, self
        try:
            self._refuse_circle(cell)
            job.waits(1)
            try:
                return super().get(timeout=timeout)
            finally:
                job.waits(-1)
        finally:
            if cell._awaits is self:
                cell._awaits = before

    @property
    def _target(self) -> Any:
        return self.target

    def pending(self) -> Sequence[ActorFuture]:
        """Return it, if it has no answer: what a handler that waits for it waits for."""
        return () if self.answered else (self,)

    def _refuse_circle(self, cell: Any) -> None:
        """Raise `CallingSelf` if *cell*, which is about to wait for this, could never go on."""
        target = self.target
        if target is None or (target._awaits is None and target is not cell):
            return
        way = find_circle(self, cell)
        if way is not None:
            error = calling_self(way)
            self.fail(error)
            if self.home is not None:
                self.home.post_or_call(take_out, target, self)
            raise error

    def reply(self, value: Any = None) -> None:
        """Give the answer. Safe from any thread; later answers are ignored."""
        if not self.answered:
            try:
                self.set(value)
            except queue.Full:
                pass  # another thread has answered meanwhile

    answer = reply

    def refuse(self, error: BaseException) -> None:
        """Make the asker's `get` raise *error*, which the asked actor has not said."""
        self.fail(error)

    @property
    def _home(self) -> Home | None:
        return self.home

    def fail(self, error: BaseException) -> None:
        """Make the asker's `get` raise *error*. Safe from any thread."""
        if not self.answered:
            try:
                self.set_exception((type(error), error, frames_of(error)))
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
                yield from self._awaited_by(future)
            return self.get()
        # A hook (map, filter, join, stop) computes by blocking: that belongs into a thread.
        loop = asyncio.get_running_loop()
        return (yield from loop.run_in_executor(None, self.get).__await__())

    __iter__ = __await__

    def _awaited_by(self, future: asyncio.Future[None]) -> Generator[Any, None, None]:
        """Wait for *future*, which is done when this is; for a handler, so that it can be seen."""
        task: Any = asyncio.current_task()
        cell: Any = None
        if type(task) is ActorTask:
            cell = task._cell
        elif PARTS or HERE.cell is not None:
            cell = PARTS.get(task)
            if cell is not None:
                self._refuse_circle(cell)
                cell = None
            elif is_main(task):
                cell = HERE.cell
        if cell is None:
            yield from future
            return
        before, cell._awaits = cell._awaits, self
        try:
            self._refuse_circle(cell)
            yield from future
        finally:
            if cell._awaits is self:
                cell._awaits = before


KINDS[ActorFuture] = ASKED
