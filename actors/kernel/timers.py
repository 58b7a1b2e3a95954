# pyright: reportPrivateUsage=false
"""Timers of actors: in the system's time, and never outliving their actor.

They fire in the home's context, so that none keeps that of the handler which has set it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import bad_delay
from ..messages import ReceiveTimeout
from .cell import Cell
from .phase import IDLE
from .running import on_loop
from .self_sent import self_sent

if TYPE_CHECKING:
    import asyncio


def check_seconds(operation: str, value: Any, *, positive: bool = False) -> None:
    """Raise `WrongUse` unless *value* is a number; a delay may be over already, a period not."""
    number = isinstance(value, int | float) and value == value  # not nan, which never comes
    if not number or (positive and value <= 0):
        raise bad_delay(operation, value, "positive number" if positive else "number")


class Timer:
    """A message that comes later, once or again and again. Owned by the loop's thread."""

    __slots__ = ("_cell", "_due", "_handle", "_repeat", "delay_s", "message")

    def __init__(self, cell: Cell, delay_s: float, message: Any, *, repeat: bool) -> None:
        self._cell: Cell | None = cell
        self.delay_s = delay_s
        self.message = message
        self._repeat = repeat
        ext = cell._own_ext()
        if ext.timers is None:
            ext.timers = {}
        ext.timers[self] = None
        loop = cell._sched.loop
        # Kept here: what uvloop returns for a moment that is over has no `when`.
        self._due = loop.time() + delay_s
        self._handle: asyncio.TimerHandle = loop.call_later(
            delay_s, self._fire, context=cell._sched.context
        )

    @property
    def active(self) -> bool:
        """Whether it will still fire."""
        return self._cell is not None

    def cancel(self) -> bool:
        """Stop it, and tell whether it would still have fired."""
        cell = self._cell
        return cell is not None and on_loop(cell, self._cancel, cell)

    def _cancel(self, cell: Cell) -> bool:
        if self._cell is None:
            return False
        self._cell = None
        self._handle.cancel()
        ext = cell._ext
        if ext is not None and ext.timers is not None:
            ext.timers.pop(self, None)
        return True

    def _fire(self) -> None:
        cell = self._cell
        if cell is None:
            return
        if self._repeat:
            loop = cell._sched.loop
            # From the planned moment, not from now: a busy loop must not make the period longer.
            # If it was busy for several periods, one tick stands for all that it missed.
            when = self._due + self.delay_s
            late = loop.time() - when
            if late > 0:
                when += late // self.delay_s * self.delay_s
            self._due = when
            self._handle = loop.call_at(when, self._fire, context=cell._sched.context)
        else:
            self.cancel()
        cell._put(self_sent(cell._ext, self.message))


class IdleTimer:
    """Sends a message when its actor has had none for a time.

    It does not touch the path of messages: four times in its period it looks at how many the actor
    has handled, and after four looks in a row that find it quiet the message is due.
    """

    __slots__ = ("_cell", "_after_s", "_handled", "_message", "_quiet", "_timer")

    def __init__(self, cell: Cell, after_s: float, message: Any) -> None:
        self._cell = cell
        self._after_s = after_s
        self._message = message
        self._handled = cell._handled
        self._quiet = 0
        ext = cell._own_ext()
        if ext.timers is None:
            ext.timers = {}
        ext.timers[self] = None
        self._timer: asyncio.TimerHandle = self._start_timer()

    def cancel(self) -> None:
        """Stop it."""
        self._timer.cancel()
        ext = self._cell._ext
        if ext is not None and ext.timers is not None:
            ext.timers.pop(self, None)

    def _start_timer(self) -> asyncio.TimerHandle:
        home = self._cell._sched
        return home.loop.call_later(self._after_s / 4, self._fire, context=home.context)

    def _fire(self) -> None:
        cell = self._cell
        self._timer = self._start_timer()
        if cell._handled != self._handled or cell._state != IDLE:
            self._quiet = 0
            self._handled = cell._handled
            return
        self._quiet += 1
        if self._quiet == 4:
            self._quiet = 0
            self._handled += 1  # the message itself is not what it waits for
            cell._put(self._message)


def set_receive_timeout(cell: Cell, after_s: float | None) -> None:
    """Send *cell* a `ReceiveTimeout` whenever it had no message for *after_s*; on the loop's thread."""
    ext = cell._own_ext()
    if ext.receive_timeout is not None:
        ext.receive_timeout.cancel()
        ext.receive_timeout = None
    if after_s is not None:
        ext.receive_timeout = IdleTimer(cell, after_s, ReceiveTimeout(after_s))
