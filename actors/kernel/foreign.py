"""Plain pykka actors among ours: any `pykka.ThreadingActor` can be linked, monitored, supervised.

pykka tells nobody when an actor ends. What it does at the end, on the actor's own thread, is to call
``_actor_loop_teardown`` (and, for an exception, ``_handle_failure`` and ``on_failure``) on the actor; so
a `Watch` puts itself before these on the one instance that is watched. A thread cannot be killed: ``kill``, and
any other exit signal, asks the actor to stop, and for everyone else it is dead at once.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import pykka
from pykka.messages import _ActorStop

from ..reasons import KILL, KILLED, NOPROC, NORMAL
from . import links

_lock = threading.Lock()
_watches: weakref.WeakKeyDictionary[Any, Watch] = weakref.WeakKeyDictionary()


def watch(ref: pykka.ActorRef[Any]) -> Watch:
    """Return the watch over *ref*, made on the first call. Safe from any thread."""
    with _lock:
        found = _watches.get(ref)
        if found is None:
            found = _watches[ref] = Watch(ref)
        return found


class Watch:
    """Who is linked to, and who monitors, one plain pykka actor. Its lock owns all of it."""

    def __init__(self, ref: pykka.ActorRef[Any]) -> None:
        self._ref = weakref.ref(ref)
        self._lock = threading.Lock()
        self._links: dict[Any, None] = {}
        self._monitors: dict[links.Monitor, None] = {}
        self.reason: Any = None
        self.ended = False
        self._failure: BaseException | None = None
        actor = ref._actor_weakref()
        if actor is None or ref.actor_stopped.is_set():
            self.ended = True
            self.reason = NOPROC
            return
        teardown = actor._actor_loop_teardown
        handle_failure = actor._handle_failure
        on_failure = actor.on_failure

        def watched_failure(exception_type: Any, exception_value: Any, traceback: Any) -> None:
            self._failure = exception_value
            handle_failure(exception_type, exception_value, traceback)

        def watched_hook(exception_type: Any, exception_value: Any, traceback: Any) -> None:
            self._failure = exception_value  # its failure may have begun before it was watched
            on_failure(exception_type, exception_value, traceback)

        def watched_teardown() -> None:
            try:
                teardown()
            finally:
                self._end(self._failure if self._failure is not None else NORMAL)

        actor._handle_failure = watched_failure
        actor.on_failure = watched_hook
        actor._actor_loop_teardown = watched_teardown
        if ref.actor_stopped.is_set():
            # It has ended meanwhile, and may have been past what would have told.
            self.ended = True
            self.reason = NOPROC

    def _end(self, reason: Any) -> None:
        with self._lock:
            if self.ended:
                return
            self.ended = True
            self.reason = reason
            linked, self._links = self._links, {}
            monitors, self._monitors = self._monitors, {}
        ref = self._ref()
        for target in linked:
            links.send_exit(target, ref, reason, True)
        for monitor in monitors:
            links.send_down(monitor, reason)

    def link(self, sender: Any) -> None:
        """Link *sender*, an actor of ours, with the pykka actor."""
        with self._lock:
            if not self.ended:
                self._links[sender] = None
                return
        links.send_exit(sender, self._ref(), NOPROC, True)

    def unlink(self, sender: Any) -> None:
        """Undo the link."""
        with self._lock:
            self._links.pop(sender, None)

    def monitor(self, monitor: links.Monitor) -> None:
        """Watch for *monitor*."""
        with self._lock:
            if not self.ended:
                self._monitors[monitor] = None
                return
        links.send_down(monitor, NOPROC)

    def demonitor(self, monitor: links.Monitor) -> None:
        """Stop watching for *monitor*."""
        with self._lock:
            self._monitors.pop(monitor, None)

    def receive_exit(self, reason: Any, via_link: bool) -> None:
        """Let an exit signal act: the actor is asked to stop, and counts as dead from now on."""
        if reason == NORMAL:
            return
        ref = self._ref()
        if ref is not None and not self.ended:
            try:
                ref.tell(_ActorStop())
            except pykka.ActorDeadError:
                pass
        self._end(KILLED if reason == KILL and not via_link else reason)
