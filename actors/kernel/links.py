"""Links and monitors: how the end of one actor reaches another.

A link is two-way and there is at most one per pair; a monitor is one-way and every one counts.
Each side's bookkeeping belongs to the loop thread of its own system. Between two systems the other
side is told through `Scheduler.post`, so between two actors signals arrive in the order they were
sent. Plain pykka actors take part through `foreign`.

Source: Erlang's reference manual, "Processes". What an idle actor needs is kept small: its links
are None, a single ref, or a dictionary, which keeps their order and so makes the order of the
signals the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ..messages import Down, Exit
from ..reasons import KILL, KILLED, NOPROC, NORMAL
from . import lifecycle
from .phase import DEAD, STOPPING

if TYPE_CHECKING:
    from ..actor import Actor
    from .request import Request


class Monitor:
    """One watch of *watcher* over *target*; `Actor.demonitor` takes it."""

    __slots__ = ("request", "target", "watcher")

    def __init__(self, watcher: Any, target: Any, request: Request | None = None) -> None:
        self.watcher = watcher
        self.target = target
        self.request = request
        """Answered with the reason instead of a `Down` message (`Actor.wait_down`)."""

    def __repr__(self) -> str:
        return f"<Monitor of {self.target} by {self.watcher}>"


# -- the sets of links -----------------------------------------------------------------------------


def links_of(actor: Actor) -> Sequence[Any]:
    """Return the refs that *actor* is linked to, in the order of linking."""
    links = actor._links
    if links is None:
        return ()
    return tuple(links) if links.__class__ is dict else (links,)


def _add(actor: Actor, ref: Any) -> None:
    links = actor._links
    if links is None:
        actor._links = ref
    elif links.__class__ is dict:
        links[ref] = None
    elif links is not ref:
        actor._links = {links: None, ref: None}


def _remove(actor: Actor, ref: Any) -> bool:
    links = actor._links
    if links is ref:
        actor._links = None
        return True
    if links.__class__ is dict and ref in links:
        del links[ref]
        return True
    return False


# -- links -----------------------------------------------------------------------------------------


def link(actor: Actor, ref: Any) -> None:
    """Link *actor* with *ref*; a dead *ref* sends the exit signal ``noproc`` at once."""
    if ref is actor._ref:
        return
    _add(actor, ref)
    target = getattr(ref, "_actor", None)
    if not hasattr(ref, "pid"):
        from .foreign import watch

        watch(ref).link(actor._ref)
    elif target is None:
        receive_exit(actor._ref, ref, NOPROC, True)
    elif target._sched is actor._sched:
        _add(target, actor._ref)
    elif not target._sched.post_or_call(_link_back, ref, actor._ref):
        receive_exit(actor._ref, ref, NOPROC, True)


def _link_back(ref: Any, sender: Any) -> None:
    actor = ref._actor
    if actor is None:
        send_exit(sender, ref, NOPROC, True)
    else:
        _add(actor, sender)


def unlink(actor: Actor | None, ref: Any) -> None:
    """Undo the link: no exit signal of *ref* arrives any more by it."""
    if actor is None or not _remove(actor, ref):
        return
    if not hasattr(ref, "pid"):
        from .foreign import watch

        watch(ref).unlink(actor._ref)
        return
    target = ref._actor
    if target is None:
        return
    if target._sched is actor._sched:
        _remove(target, actor._ref)
    else:
        target._sched.post_or_call(_unlink_back, ref, actor._ref)


def _unlink_back(ref: Any, sender: Any) -> None:
    if ref._actor is not None:
        _remove(ref._actor, sender)


# -- exit signals ----------------------------------------------------------------------------------


def send_exit(target: Any, sender: Any, reason: Any, via_link: bool) -> None:
    """Send the exit signal *reason* to *target*, from any thread."""
    if not hasattr(target, "pid"):
        from .foreign import watch

        watch(target).receive_exit(reason, via_link)
        return
    actor = target._actor
    if actor is None:
        return
    scheduler = actor._sched
    if get_ident() == scheduler.thread:
        receive_exit(target, sender, reason, via_link)
    else:
        scheduler.post(receive_exit, target, sender, reason, via_link)


def receive_exit(target: Any, sender: Any, reason: Any, via_link: bool) -> None:
    """Let the exit signal act on *target*; runs on its loop's thread.

    Whether it becomes a message is decided now, by whether the actor traps exits now.
    """
    actor = target._actor
    if actor is None:
        return
    if actor._sched.observer is not None:
        actor._sched.observer.on_signal(target, sender, reason)
    if via_link:
        if not _remove(actor, sender):
            return  # unlinked while the signal was under way
    elif reason == KILL:
        lifecycle.doom(actor, KILLED, kill=True)
        return
    if actor._trap:
        if actor._phase & (STOPPING | DEAD):
            return
        if actor._parent is sender and sender is not None and actor.obey_parent:
            lifecycle.doom(actor, reason, soft=True)
        else:
            actor._put(Exit(sender, reason))
    elif reason != NORMAL or sender is target:
        lifecycle.doom(actor, reason)


# -- monitors --------------------------------------------------------------------------------------


def monitor(actor: Actor, ref: Any, request: Request | None = None) -> Monitor:
    """Watch *ref*: one `Down` comes when it ends, at once (``noproc``) if it is dead."""
    watch_ = Monitor(actor._ref, ref, request)
    ext = actor._own_ext()
    if ext.monitors is None:
        ext.monitors = dict[Monitor, None]()
    ext.monitors[watch_] = None
    if not hasattr(ref, "pid"):
        from .foreign import watch

        watch(ref).monitor(watch_)
        return watch_
    target = ref._actor
    if target is None:
        deliver_down(watch_, NOPROC)
    elif target._sched is actor._sched:
        if target._watchers is None:
            target._watchers = dict[Monitor, None]()
        target._watchers[watch_] = None
    elif not target._sched.post_or_call(_watched, watch_):
        deliver_down(watch_, NOPROC)
    return watch_


def _watched(watch_: Monitor) -> None:
    target = watch_.target._actor
    if target is None:
        send_down(watch_, NOPROC)
    else:
        if target._watchers is None:
            target._watchers = dict[Monitor, None]()
        target._watchers[watch_] = None


def demonitor(actor: Actor, watch_: Monitor) -> None:
    """Stop watching."""
    ext = actor._ext
    if ext is not None and ext.monitors is not None:
        ext.monitors.pop(watch_, None)
    _forget(watch_)


def _forget(watch_: Monitor) -> None:
    if not hasattr(watch_.target, "pid"):
        from .foreign import watch

        watch(watch_.target).demonitor(watch_)
        return
    target = watch_.target._actor
    if target is None:
        return
    if get_ident() != target._sched.thread:
        target._sched.post(_forget, watch_)
    elif target._watchers is not None:
        target._watchers.pop(watch_, None)


def send_down(watch_: Monitor, reason: Any) -> None:
    """Tell the watcher, on its own thread."""
    watcher = watch_.watcher._actor
    if watcher is None:
        return
    if get_ident() == watcher._sched.thread:
        deliver_down(watch_, reason)
    else:
        watcher._sched.post(deliver_down, watch_, reason)


def deliver_down(watch_: Monitor, reason: Any) -> None:
    """Hand the end of the watched actor to its watcher, unless it has stopped watching."""
    watcher = watch_.watcher._actor
    if watcher is None:
        return
    ext = watcher._ext
    if ext is None or ext.monitors is None or watch_ not in ext.monitors:
        return
    del ext.monitors[watch_]
    if watch_.request is not None:
        watch_.request.reply(reason)
    else:
        watcher._put(Down(watch_.target, reason, watch_))


# -- the end ---------------------------------------------------------------------------------------


def _traps(ref: Any) -> bool:
    actor = getattr(ref, "_actor", None)
    return actor is not None and actor._trap


def announce_end(actor: Actor, ref: Any, reason: Any, ext: Any) -> None:
    """Send what the end of *actor* causes: exit signals along links, downs to monitors."""
    links = links_of(actor)
    actor._links = None
    if len(links) > 1:
        # Those that die of it first: an actor that traps exits, a supervisor above all, acts on the
        # end when all that ended with it has ended. In Erlang the signal itself ends a process.
        links = sorted(links, key=_traps)
    for linked in links:
        send_exit(linked, ref, reason, True)
    watchers, actor._watchers = actor._watchers, None
    if watchers:
        for watch_ in watchers:
            send_down(watch_, reason)
    if ext is not None and ext.monitors:
        for watch_ in ext.monitors:
            _forget(watch_)
