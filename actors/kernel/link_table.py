# pyright: reportPrivateUsage=false
"""The tables of links and monitors between cells, used on their own loop's thread.

A link is two-way and there is at most one per pair; a monitor is one-way and every one counts. What
an idle actor needs is kept small: its links are None, a single ref, or a dictionary, which keeps
their order and so makes the order of the signals the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..messages import Monitor
from .cell import Cell


def links_of(cell: Cell) -> Sequence[Any]:
    """Return the refs that *cell* is linked with, in the order of linking."""
    links = cell._links
    if links is None:
        return ()
    return tuple(links) if links.__class__ is dict else (links,)


def add_link(cell: Cell, ref: Any) -> None:
    """Enter *ref* into the links of *cell*: one side of a link."""
    links = cell._links
    if links is None:
        cell._links = ref
    elif links.__class__ is dict:
        links[ref] = None
    elif links is not ref:
        cell._links = {links: None, ref: None}


def remove_link(cell: Cell, ref: Any) -> bool:
    """Take *ref* out of the links of *cell*, and tell whether it was there."""
    links = cell._links
    if links is ref:
        cell._links = None
        return True
    if links.__class__ is dict and ref in links:
        del links[ref]
        return True
    return False


def add_watcher(target: Cell, monitor: Monitor) -> None:
    """Enter *monitor* at the actor that it watches."""
    if target._watchers is None:
        target._watchers = dict[Monitor, None]()
    target._watchers[monitor] = None


def remove_watcher(target: Cell, monitor: Monitor) -> None:
    """Take *monitor* out at the actor that it watches."""
    if target._watchers is not None:
        target._watchers.pop(monitor, None)


def add_monitor(watcher: Cell, monitor: Monitor) -> None:
    """Enter *monitor* at the actor that watches."""
    ext = watcher._own_ext()
    if ext.monitors is None:
        ext.monitors = dict[Monitor, None]()
    ext.monitors[monitor] = None


def remove_monitor(watcher: Cell, monitor: Monitor) -> bool:
    """Take *monitor* out at the actor that watches, and tell whether it was there."""
    ext = watcher._ext
    if ext is None or ext.monitors is None or monitor not in ext.monitors:
        return False
    del ext.monitors[monitor]
    return True


__all__ = [
    "add_link",
    "add_monitor",
    "add_watcher",
    "links_of",
    "remove_link",
    "remove_monitor",
    "remove_watcher",
]
