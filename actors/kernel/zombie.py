"""What is left of a handler that did not obey its cancellation.

The incarnation it belonged to is dead, and another may already have taken its place. The rest of
its coroutine is still driven, so that its ``finally`` blocks get their chance, but what it sends and
answers is dropped and counted, and after ``ActorSystem.cancel_grace_s`` it is driven no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .phase import ENDED, PARKED, QUEUED, ZOMBIE

if TYPE_CHECKING:
    import asyncio
    from contextvars import Context

    from ..actor import Actor
    from .scheduler import Scheduler


class Zombie:
    """The rest of an abandoned handler. Owned by the loop's thread."""

    __slots__ = (
        "_actor",
        "_context",
        "_coro",
        "_current",
        "_doom",
        "_driver",
        "_ext",
        "_message",
        "_phase",
        "_ref",
        "_sched",
        "_state",
        "_stuck",
        "_task",
        "_timer",
        "actor_ref",
    )

    def __init__(self, actor: Actor) -> None:
        self._ref: Any = self
        self._actor = self
        self.actor_ref = actor._ref
        self._sched: Scheduler = actor._sched
        self._context: Context | None = actor._context
        self._coro: Any = actor._coro
        self._driver: Any = actor._driver
        self._task: Any = actor._task
        self._state = PARKED
        self._phase = ZOMBIE
        self._current = None
        self._message = None
        self._doom = None
        self._ext = None
        actor._coro = actor._driver = None
        actor._task = None
        self._task._cell = self
        system = self._sched.system
        system._zombies[self] = None
        # Who has been cancelled before and still runs does not end when it is told to; of others
        # that is not known until their grace is over.
        self._stuck = self._task._num_cancels > 0
        if self._stuck:
            system._abandoned(self.actor_ref)
        self._timer: asyncio.TimerHandle = system.call_later(system.cancel_grace_s, self._discard)
        if self._task._must_cancel:
            self._resume()
        elif not self._task._num_cancels:
            self._task.cancel("actor was killed")

    @property
    def label(self) -> str:
        """The name of the actor that it was part of."""
        return self.actor_ref.label

    @property
    def pid(self) -> int:
        """The number of the actor that it was part of."""
        return self.actor_ref.pid

    def _resume(self) -> None:
        if self._state == PARKED:
            self._sched.enqueue(self)

    _resume_now = _resume

    def _reply_ready(self, _request: Any, /) -> None:
        self._resume()

    def _ended(self) -> None:
        """The coroutine has ended after all."""
        self._timer.cancel()
        self._state = ENDED
        self._sched.system._zombies.pop(self, None)

    def _discard(self) -> None:
        """Give it up: it is closed if it lets itself be closed, and never resumed again."""
        if self._state in (PARKED, QUEUED):
            self._state = ENDED
            system = self._sched.system
            system._zombies.pop(self, None)
            if not self._stuck:
                system._abandoned(self.actor_ref)
            coro = self._driver or self._coro
            self._coro = self._driver = None
            self._task._finish()
            try:
                coro.close()
            except BaseException as error:
                system.log.warning(
                    "An abandoned handler of {} could not be closed: {!r}",
                    self.actor_ref.label,
                    error,
                )
