# pyright: reportPrivateUsage=false
"""What is left of a handler that did not obey its cancellation.

The incarnation it belonged to is dead, and another may already have taken its place. The rest of
its coroutine is still driven, so that its ``finally`` blocks get their chance, but what it sends and
answers is dropped and counted, and after ``ActorSystem.cancel_grace_s`` it is driven no more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..looks import shown
from .cell import Cell
from .phase import ENDED, PARKED, QUEUED, YIELDED, ZOMBIE

if TYPE_CHECKING:
    from contextvars import Context

    from .home import Home


class Zombie:
    """The rest of an abandoned handler. Owned by the loop's thread.

    It stands in the ready queue in the place of a cell, and has as much of one as a step needs.
    """

    __slots__ = (
        "_actor",
        "_awaits",
        "_context",
        "_coro",
        "_current",
        "_driver",
        "_message",
        "_phase",
        "_sched",
        "_state",
        "_stuck",
        "_task",
        "_timer",
        "actor_class",
        "ref",
    )

    def __init__(self, cell: Cell) -> None:
        self._actor = self
        self.ref = cell
        self.actor_class: Any = cell.actor_class
        self._sched: Home = cell._sched
        self._context: Context | None = cell._context
        self._coro: Any = cell._coro
        self._driver: Any = cell._driver
        self._task: Any = cell._task
        self._state = YIELDED if cell._state == YIELDED else PARKED
        self._phase = ZOMBIE
        self._current = None
        self._awaits: Any = None
        self._message = None
        cell._coro = cell._driver = None
        cell._task = cell._awaits = None
        self._task._cell = self
        home = self._sched
        home.zombies[self] = None
        # One that has been cancelled before and still runs does not end when it is told to; of
        # others that is not known until their grace is over.
        self._stuck = self._task._num_cancels > 0
        if self._stuck:
            home.host.left_behind(cell)
        self._timer: asyncio.TimerHandle = home.loop.call_later(
            home.host.cancel_grace_s, self._discard, context=home.context
        )
        if self._task._must_cancel:
            if self._task._fut_waiter is None:
                self._resume()
        elif not self._task._num_cancels:
            self._task.cancel("actor was killed")

    @property
    def label(self) -> str:
        """The name of the actor that it was part of."""
        return self.ref.label

    circle_name = None

    def awaited(self) -> tuple[tuple[Any, ...], bool]:
        """Return nothing: no request waits for it."""
        return (), False

    @property
    def pid(self) -> int:
        """The number of the actor that it was part of."""
        return self.ref.pid

    def _resume(self) -> None:
        if self._state == PARKED:
            self._sched.enqueue(self)

    _resume_now = _resume

    def _reply_ready(self, _request: Any, /) -> None:
        self._resume()

    def coroutine_ended(self) -> None:
        """The coroutine has ended after all."""
        self._timer.cancel()
        self._state = ENDED
        self._sched.zombies.pop(self, None)

    def give_up(self) -> None:
        """Do not wait for it any more: the system stops."""
        self._timer.cancel()
        self._discard()

    def _discard(self) -> None:
        """Give it up: it is closed if it lets itself be closed, and never resumed again."""
        if self._state in (PARKED, QUEUED, YIELDED):
            self._state = ENDED
            home = self._sched
            home.zombies.pop(self, None)
            if not self._stuck:
                home.host.left_behind(self.ref)
            coro = self._driver or self._coro
            self._task._finish(error=asyncio.CancelledError("abandoned"))
            self._coro = self._driver = None
            try:
                coro.close()
            except BaseException as error:
                home.host.log.warning(
                    "An abandoned handler of {} could not be closed: {}",
                    self.ref.label,
                    shown(error),
                )
