"""A watchdog over an event loop: it names the actor whose handler blocks it, with its stack.

One handler that blocks holds up every actor of its system, and whatever else lives on the loop. The
loop cannot notice that itself, so a thread does: it asks the loop for a sign of life now and then,
and if none comes within the threshold it looks what the loop's thread is doing. A blocked loop is
told once, as a warning at that moment and, as soon as the loop runs again, as an event `LoopBlocked`.

It runs only where asked for: ``ActorSystem(watchdog_s=1.0)``. It costs a thread and about two wake-ups
of the loop per threshold; messages pay nothing. The time is the machine's, because what it watches is;
in simulation, where nothing blocks, it is not started.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import WrongUse
from ..kernel.home import Home
from ..kernel.lifecycle import KERNEL_FILES
from ..kernel.look import message_in_hand
from ..log import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ..ref import ActorRef

FRAMES = 20
"""Frames of the blocked thread's stack that are shown, the innermost."""


@dataclass(frozen=True, slots=True)
class LoopBlocked:
    """An event: the loop did nothing else for *blocked_s* seconds, or up to half a threshold more.

    *ref* is the actor whose handler blocked it, or None if it was other code on the loop; *message*
    is the class name of what it handled; *stack* is where it was when the watchdog looked.
    """

    ref: ActorRef[Any] | None
    message: str
    blocked_s: float
    stack: str


def bad_threshold(threshold_s: Any, option: str = "watchdog_s") -> WrongUse:
    """Return the error: a threshold that is not a time."""
    return WrongUse(
        f"A watchdog's threshold is in seconds and above 0, not {threshold_s!r}. "
        f"For example: ActorSystem({option}=1.0)"
    )


class WatchedSystem(Protocol):
    """What a `Watchdog` wants of the system whose loop it watches; `ActorSystem` is one."""

    name: str
    log: Log

    @property
    def scheduler(self) -> Home: ...
    def at_stop(self, fn: Callable[[], Any], /) -> None: ...
    def publish(self, event: Any, /) -> None: ...


class Watchdog:
    """Watches the loop of *system* until the system ends, or `stop`. Safe from any thread."""

    def __init__(self, system: WatchedSystem, threshold_s: float = 1.0) -> None:
        check_threshold(threshold_s)
        self.system = system
        self.threshold_s = threshold_s
        self.reports = 0
        """How often the loop was found blocked."""
        self._changed = threading.Condition()
        self._beats = 0
        self._stopped = False
        self._thread: threading.Thread | None = None
        if hasattr(system.scheduler.loop, "inline_pool"):
            return
        self._thread = threading.Thread(
            target=self._watch, name=f"{system.name}-watchdog", daemon=True
        )
        self._thread.start()
        system.at_stop(self.stop)

    def stop(self) -> None:
        """End the watching, and its thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self.threshold_s + 1.0)

    # -- the watching thread -------------------------------------------------------------------

    def _watch(self) -> None:
        loop = self.system.scheduler.loop
        while True:
            asked = self._beats
            began = time.monotonic()
            try:
                loop.call_soon_threadsafe(self._beat)
            except RuntimeError:
                return  # the loop is closed
            if not self._wait_for(lambda before=asked: self._beats > before, self.threshold_s):
                if self._stopped:
                    return
                blocked = self._report()
                self._wait_for(lambda before=asked: self._beats > before, None)
                self.system.scheduler.post(self._publish, blocked, time.monotonic() - began)
            if self._wait_for(lambda: False, self.threshold_s / 2) or self._stopped:
                return

    def _wait_for(self, true: Any, timeout_s: float | None) -> bool:
        """Wait until *true*; return False if the time is over or the watching has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or true(), timeout_s)
            return bool(true()) and not self._stopped

    def _report(self) -> LoopBlocked:
        scheduler = self.system.scheduler
        frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
        frame = frames.get(scheduler.thread)
        ref: ActorRef[Any] | None = scheduler.current
        message = "" if ref is None else _class_of_message(ref)
        stack = _stack(frame)
        who = "code that belongs to no actor" if ref is None else ref.label
        what = f" handling {message}" if message else ""
        self.reports += 1
        self.system.log.bind(actor=None if ref is None else ref.label).warning(
            "{} has blocked the event loop of {} for {:g} s{}. Await what it waits for, move it to a "
            'thread (`await asyncio.to_thread(...)`), or give the actor dispatcher = "thread".\n{}',
            who,
            self.system.name,
            self.threshold_s,
            what,
            stack,
        )
        return LoopBlocked(ref, message, self.threshold_s, stack)

    # -- the loop's thread ---------------------------------------------------------------------

    def _beat(self) -> None:
        with self._changed:
            self._beats += 1
            self._changed.notify_all()

    def _publish(self, blocked: LoopBlocked, blocked_s: float) -> None:
        self.system.publish(LoopBlocked(blocked.ref, blocked.message, blocked_s, blocked.stack))


def check_threshold(threshold_s: Any, option: str = "watchdog_s") -> None:
    """Raise `WrongUse` unless *threshold_s* is a time above 0."""
    if isinstance(threshold_s, bool) or not isinstance(threshold_s, int | float):
        raise bad_threshold(threshold_s, option)
    if not 0 < threshold_s < threading.TIMEOUT_MAX:
        raise bad_threshold(threshold_s, option)


def _class_of_message(ref: ActorRef[Any]) -> str:
    message = message_in_hand(ref)
    return "" if message is None else type(message).__name__


def _stack(frame: FrameType | None) -> str:
    """Return the stack from the handler on, as a traceback shows it."""
    if frame is None:
        return "(the thread of the loop has ended)"
    summary = traceback.extract_stack(frame)
    first = 0
    for number, entry in enumerate(summary):
        if entry.filename in KERNEL_FILES:
            first = number + 1
    return "".join(traceback.format_list(summary[first:][-FRAMES:] or summary[-1:])).rstrip()


__all__ = ["LoopBlocked", "Watchdog", "bad_threshold", "check_threshold"]
