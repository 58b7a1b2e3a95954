# pyright: reportPrivateUsage=false
"""Links, monitors, and how the end of one actor reaches another: exit signals and downs.

Each side's bookkeeping (`link_table`) belongs to the loop thread of its own system. Between two
systems the other side is told through `Home.post`, so between two actors signals arrive in the order
they were sent. Plain pykka actors take part through `foreign`.

Source: Erlang's reference manual, "Processes".
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import get_ident
from typing import Any

from ..messages import Down, Exit, Monitor
from ..reasons import KILL, KILLED, NOPROC, NORMAL, is_word
from . import foreign
from .cell import Cell
from .home import Home
from .lifecycle import doom
from .link_table import (
    add_link,
    add_monitor,
    add_watcher,
    links_of,
    remove_link,
    remove_monitor,
    remove_watcher,
)
from .phase import DEAD, STOPPING, SUSPENDED
from .request import Request

# -- links -----------------------------------------------------------------------------------------


def link(cell: Cell, ref: Any) -> None:
    """Link *cell* with *ref*; a dead *ref* sends the exit signal ``noproc`` at once."""
    if ref is cell:
        return
    add_link(cell, ref)
    if not isinstance(ref, Cell):
        watch_plain(ref).link(cell)
    elif ref._actor is None:
        receive_exit(cell, ref, NOPROC, True)
    elif ref._sched is cell._sched:
        _enter_link(ref, cell)
    elif not ref._sched.post_or_call(_link_back, ref, cell):
        receive_exit(cell, ref, NOPROC, True)


def _enter_link(ref: Cell, sender: Cell) -> None:
    add_link(ref, sender)
    if ref._actor.stands_for_remote:
        ref._actor._link_made(sender)


def _link_back(ref: Cell, sender: Cell) -> None:
    if ref._actor is None:
        send_exit(sender, ref, NOPROC, True)
    else:
        _enter_link(ref, sender)


def unlink(cell: Cell, ref: Any) -> None:
    """Undo the link: no exit signal of *ref* arrives any more by it."""
    if cell._actor is None or not remove_link(cell, ref):
        return
    if not isinstance(ref, Cell):
        watch_plain(ref).unlink(cell)
    elif ref._actor is None:
        return
    else:
        ref._sched.post_or_call(_unlink_back, ref, cell)


def _unlink_back(ref: Cell, sender: Cell) -> None:
    if ref._actor is not None:
        remove_link(ref, sender)
        if ref._actor.stands_for_remote:
            ref._actor._link_undone(sender)


# -- exit signals ----------------------------------------------------------------------------------


def send_exit(target: Any, sender: Any, reason: Any, via_link: bool) -> None:
    """Send the exit signal *reason* to *target*, from any thread."""
    if not isinstance(target, Cell):
        watch_plain(target).receive_exit(reason, via_link)
        return
    if target._actor is None:
        return
    home = target._sched
    if get_ident() == home.thread:
        receive_exit(target, sender, reason, via_link)
    else:
        home.post(receive_exit, target, sender, reason, via_link)


def receive_exit(target: Cell, sender: Any, reason: Any, via_link: bool) -> None:
    """Let the exit signal act on *target*; runs on its loop's thread.

    Whether it becomes a message is decided now, by whether the actor traps exits now.
    """
    actor = target._actor
    if actor is None:
        return
    observer = target._sched.observer
    if observer is not None:
        observer.on_signal(target, sender, reason)
    if via_link:
        if not remove_link(target, sender):
            return  # unlinked while the signal was under way
        if actor.stands_for_remote:
            actor._signalled(sender, reason, True)
            return
    elif actor.stands_for_remote:
        actor._signalled(sender, reason, False)
        return
    elif is_word(reason, KILL):
        doom(target, KILLED, kill=True)
        return
    if target._trap:
        if target._phase & (STOPPING | DEAD):
            return
        from_parent = target._parent is sender and sender is not None
        # A suspended actor reads no message, and has to obey its parent all the same (OTP, sys).
        if from_parent and (actor.obey_parent or target._phase & SUSPENDED):
            doom(target, reason, soft=True)
        else:
            target._put(Exit(sender, reason))
    elif not is_word(reason, NORMAL) or sender is target:
        doom(target, reason)


# -- monitors --------------------------------------------------------------------------------------


def monitor(cell: Cell, ref: Any, request: Request | None = None) -> Monitor:
    """Watch *ref*: one `Down` comes when it ends, at once (``noproc``) if it is dead."""
    watch = Monitor(cell, ref, request)
    add_monitor(cell, watch)
    if not isinstance(ref, Cell):
        watch_plain(ref).monitor(watch)
    elif ref._actor is None:
        deliver_down(watch, NOPROC)
    elif ref._sched is cell._sched:
        add_watcher(ref, watch)
    elif not ref._sched.post_or_call(_watched, watch):
        deliver_down(watch, NOPROC)
    return watch


def _watched(watch: Monitor) -> None:
    if watch.target._actor is None:
        send_down(watch, NOPROC)
    else:
        add_watcher(watch.target, watch)


def demonitor(cell: Cell, watch: Monitor) -> None:
    """Stop watching."""
    remove_monitor(cell, watch)
    _forget(watch)


def _forget(watch: Monitor) -> None:
    target = watch.target
    if not isinstance(target, Cell):
        watch_plain(target).demonitor(watch)
    elif target._actor is not None:
        if get_ident() == target._sched.thread:
            remove_watcher(target, watch)
        else:
            target._sched.post(_forget, watch)


def monitors_of(cell: Cell, ref: Any) -> list[Monitor]:
    """Return the monitors of *cell* over *ref*."""
    ext = cell._ext
    monitors = None if ext is None else ext.monitors
    return [watch for watch in monitors or () if watch.target is ref]


def send_down(watch: Monitor, reason: Any) -> None:
    """Tell the watcher, on its own thread."""
    watcher = watch.watcher
    if watcher._actor is None:
        return
    if get_ident() == watcher._sched.thread:
        deliver_down(watch, reason)
    else:
        watcher._sched.post(deliver_down, watch, reason)


def deliver_down(watch: Monitor, reason: Any) -> None:
    """Hand the end of the watched actor to its watcher, unless it has stopped watching."""
    watcher: Cell = watch.watcher
    if not remove_monitor(watcher, watch):
        return
    if watch.request is not None:
        watch.request.reply(reason)
    else:
        watcher._put(Down(watch.target, reason, watch))


# -- the end ---------------------------------------------------------------------------------------


def announce_end(_home: Home, cell: Cell, reason: Any, ext: Any) -> None:
    """Send what the end of *cell* causes: exit signals along links, downs to monitors."""
    links = links_of(cell)
    cell._links = None
    if len(links) > 1:
        # Those that die of it first: an actor that traps exits, a supervisor above all, acts on the
        # end when all that ended with it has ended. In Erlang the signal itself ends a process.
        links = sorted(links, key=_traps)
    for linked in links:
        send_exit(linked, cell, reason, True)
    watchers, cell._watchers = cell._watchers, None
    if watchers:
        for watch in watchers:
            send_down(watch, reason)
    if ext is not None and ext.monitors:
        for watch in ext.monitors:
            _forget(watch)


def _traps(ref: Any) -> bool:
    return isinstance(ref, Cell) and ref._trap and ref._actor is not None


def watch_plain(ref: Any) -> foreign.Watch:
    """Return the watch over the plain pykka actor of *ref*."""
    return foreign.watch(ref, _foreign_ended)


def _foreign_ended(
    ref: Any, reason: Any, linked: Iterable[Any], monitors: Iterable[Monitor]
) -> None:
    """A plain pykka actor has ended; on its own thread."""
    for target in linked:
        send_exit(target, ref, reason, True)
    for watch in monitors:
        send_down(watch, reason)


__all__ = [
    "announce_end",
    "deliver_down",
    "demonitor",
    "link",
    "monitor",
    "monitors_of",
    "receive_exit",
    "send_down",
    "send_exit",
    "unlink",
    "watch_plain",
]
