"""Plain pykka actors among ours: any `pykka.ThreadingActor` can be linked, monitored, supervised.

A thread cannot be killed: ``kill``, and any other exit signal, asks the actor to stop, and for
everyone else it is dead at once.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import pykka

from ..messages import Monitor
from ..reasons import KILL, KILLED, NOPROC, NORMAL, is_word
from .pykka_seam import ActorStop, watch_end

_lock = threading.Lock()
_watches: weakref.WeakKeyDictionary[Any, Watch] = weakref.WeakKeyDictionary()

Announce = Callable[[Any, Any, Iterable[Any], Iterable[Monitor]], object]
"""Told ``(ref, reason, linked, monitors)`` when a plain actor has ended; on that actor's thread."""


def watch(ref: pykka.ActorRef[Any], announce: Announce) -> Watch:
    """Return the watch over *ref*, made on the first call. Safe from any thread."""
    with _lock:
        found = _watches.get(ref)
        if found is None:
            found = _watches[ref] = Watch(ref, announce)
        return found


class Watch:
    """Who is linked to, and who monitors, one plain pykka actor. Its lock owns all of it."""

    def __init__(self, ref: pykka.ActorRef[Any], announce: Announce) -> None:
        self._ref = weakref.ref(ref)
        self._announce = announce
        self._lock = threading.Lock()
        self._links: dict[Any, None] = {}
        self._monitors: dict[Monitor, None] = {}
        self.reason: Any = None
        self.ended = False
        if not watch_end(ref, self._actor_ended):
            self.ended = True
            self.reason = NOPROC

    def _actor_ended(self, error: BaseException | None) -> None:
        self._end(NORMAL if error is None else error)

    def _end(self, reason: Any) -> None:
        with self._lock:
            if self.ended:
                return
            self.ended = True
            self.reason = reason
            linked, self._links = self._links, {}
            monitors, self._monitors = self._monitors, {}
        self._announce(self._ref(), reason, linked, monitors)

    def link(self, sender: Any) -> None:
        """Link *sender*, an actor of ours, with the pykka actor."""
        with self._lock:
            if not self.ended:
                self._links[sender] = None
                return
        self._announce(self._ref(), NOPROC, (sender,), ())

    def unlink(self, sender: Any) -> None:
        """Undo the link."""
        with self._lock:
            self._links.pop(sender, None)

    def monitor(self, monitor: Monitor) -> None:
        """Watch for *monitor*."""
        with self._lock:
            if not self.ended:
                self._monitors[monitor] = None
                return
        self._announce(self._ref(), NOPROC, (), (monitor,))

    def demonitor(self, monitor: Monitor) -> None:
        """Stop watching for *monitor*."""
        with self._lock:
            self._monitors.pop(monitor, None)

    def receive_exit(self, reason: Any, via_link: bool) -> None:
        """Let an exit signal act: the actor is asked to stop, and counts as dead from now on."""
        if is_word(reason, NORMAL):
            return
        ref = self._ref()
        if ref is not None and not self.ended:
            try:
                ref.tell(ActorStop())
            except pykka.ActorDeadError:
                pass
        self._end(KILLED if is_word(reason, KILL) and not via_link else reason)
