"""Timers of actors: in the system's time, and never outliving their actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import BadDelay
from .phase import IDLE
from .running import on_loop

if TYPE_CHECKING:
    import asyncio

    from ..actor import Actor


def check_seconds(operation: str, value: Any, *, positive: bool = False) -> None:
    """Raise `BadDelay` unless *value* is a number; a delay may be over already, a period not."""
    number = isinstance(value, int | float) and value == value  # not nan, which never comes
    if not number or (positive and value <= 0):
        raise BadDelay(operation, value, "positive number" if positive else "number")


class Timer:
    """A message that comes later, once or again and again. Owned by the loop's thread."""

    __slots__ = ("_actor", "_handle", "_repeat", "delay_s", "message")

    def __init__(self, actor: Actor, delay_s: float, message: Any, *, repeat: bool) -> None:
        self._actor: Actor | None = actor
        self.delay_s = delay_s
        self.message = message
        self._repeat = repeat
        ext = actor._own_ext()
        if ext.timers is None:
            ext.timers = {}
        ext.timers[self] = None
        self._handle: asyncio.TimerHandle = actor._sched.loop.call_later(delay_s, self._fire)

    @property
    def active(self) -> bool:
        """Whether it will still fire."""
        return self._actor is not None

    def cancel(self) -> bool:
        """Stop it, and tell whether it would still have fired."""
        actor = self._actor
        return actor is not None and on_loop(actor, self._cancel, actor)

    def _cancel(self, actor: Actor) -> bool:
        if self._actor is None:
            return False
        self._actor = None
        self._handle.cancel()
        ext = actor._ext
        if ext is not None and ext.timers is not None:
            ext.timers.pop(self, None)
        return True

    def _fire(self) -> None:
        actor = self._actor
        if actor is None:
            return
        if self._repeat:
            loop = actor._sched.loop
            # From the planned moment, not from now: a busy loop must not make the period longer.
            # If it was busy for several periods, one tick stands for all that it missed.
            when = self._handle.when() + self.delay_s
            late = loop.time() - when
            if late > 0:
                when += late // self.delay_s * self.delay_s
            self._handle = loop.call_at(when, self._fire)
        else:
            self.cancel()
        actor._put(self.message)


class IdleTimer:
    """Sends a message when its actor has had none for a time.

    It does not touch the path of messages: four times in its period it looks at how many the actor
    has handled, and after four looks in a row that find it quiet the message is due.
    """

    __slots__ = ("_actor", "_after_s", "_handled", "_message", "_quiet", "_timer")

    def __init__(self, actor: Actor, after_s: float, message: Any) -> None:
        self._actor = actor
        self._after_s = after_s
        self._message = message
        self._handled = actor._handled
        self._quiet = 0
        ext = actor._own_ext()
        if ext.timers is None:
            ext.timers = {}
        ext.timers[self] = None
        self._timer: asyncio.TimerHandle = actor._sched.loop.call_later(after_s / 4, self._fire)

    def cancel(self) -> None:
        """Stop it."""
        self._timer.cancel()
        ext = self._actor._ext
        if ext is not None and ext.timers is not None:
            ext.timers.pop(self, None)

    def _fire(self) -> None:
        actor = self._actor
        self._timer = actor._sched.loop.call_later(self._after_s / 4, self._fire)
        if actor._handled != self._handled or actor._state != IDLE:
            self._quiet = 0
            self._handled = actor._handled
            return
        self._quiet += 1
        if self._quiet == 4:
            self._quiet = 0
            self._handled += 1  # the message itself is not what it waits for
            actor._put(self._message)
