"""Which system code means that has inherited none: the one that runs there, else a default one.

A system that a program has started itself is preferred to a default one, which is made where none
runs: one for each running loop, and one in the background for threads without a loop.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ..errors import SeveralSystems
from ..kernel.current import current_host, host_here
from ..kernel.home import NO_THREAD, Home


class DefaultSystem(Protocol):
    """A system that may be the default of a place; `ActorSystem` is one."""

    name: str

    @property
    def running(self) -> bool: ...
    @property
    def home(self) -> Home | None: ...
    def stop_blocking(self, timeout: float | None = None, /) -> Any: ...


S = TypeVar("S", bound=DefaultSystem)

_lock = threading.Lock()
"""Held by who writes what stands here."""
_defaults: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
_chosen: dict[int, tuple[weakref.ref[Any], ...]] = {}
"""The systems that programs have started, by the id of their loop."""
_all: weakref.WeakSet[Any] = weakref.WeakSet()
_background_lock = threading.Lock()
_background: Any = None


def find() -> Any:
    """Return the running system of this place if there is one; make none.

    None also where several run and none of them is inherited.
    """
    system: Any = host_here()
    if system is not None and system.running:
        return system
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        found = _elsewhere() or _background
    else:
        systems = _started_on(loop)
        if len(systems) > 1:
            return None
        found = systems[0] if systems else _defaults.get(loop)
    return found if found is not None and found.running else None


def of_loop(loop: asyncio.AbstractEventLoop, make: Callable[[], S]) -> S:
    """Return the one system that a program has started on *loop*, else the default one.

    Raises `SeveralSystems`. The default system is made now if there is none that runs.
    """
    started = _started_on(loop) if _chosen else ()
    if started:
        if len(started) > 1:
            raise SeveralSystems(str(system.name) for system in started)
        only: S = started[0]
        return only
    system: S | None = _defaults.get(loop)
    if system is None or not system.running:
        system = make()
        with _lock:
            _defaults[loop] = system
    return system


def of_thread(make: Callable[[], S]) -> S:
    """Return the only system that runs in other threads, else the default one in the background.

    Systems that programs have started come before the defaults of loops. The one in the background
    is made now if there is none that runs.
    """
    global _background
    system: S | None = _elsewhere()
    if system is not None:
        return system
    with _background_lock:
        if _background is None or not _background.running:
            _background = make()
        made: S = _background
        return made


def enter(system: DefaultSystem, *, chosen: bool) -> None:
    """*system* runs from now on. *chosen* by a program, it may be the one of its loop."""
    _all.add(system)
    home = system.home
    if chosen and home is not None:
        key = id(home.loop)
        with _lock:
            _chosen[key] = (*_living(key), weakref.ref(system, lambda _: _tidy(key)))


def forget(system: DefaultSystem, loop: asyncio.AbstractEventLoop) -> None:
    """*system* has stopped: let its loop have another default."""
    with _lock:
        if _defaults.get(loop) is system:
            # The key is weak, but the system holds its loop.
            del _defaults[loop]
    _tidy(id(loop), system)


def _started_on(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """Return the running systems that programs have started on *loop*."""
    return [
        system
        for ref in _chosen.get(id(loop), ())
        if (system := ref()) is not None and system.running and system.home.loop is loop
    ]


def _elsewhere() -> Any:
    """Return the only system whose loop runs in another thread, if it is the only one; else None."""
    me = threading.get_ident()
    with _lock:
        chosen = [ref() for refs in _chosen.values() for ref in refs]
        defaults = list(_defaults.values())
    for systems in (chosen, defaults):
        there = [
            system
            for system in systems
            if system is not None
            and system.running
            and system.home.home_thread != me
            and system.home.loop.is_running()
        ]
        if there:
            return there[0] if len(there) == 1 else None
    return None


def _living(key: int, but: Any = None) -> tuple[weakref.ref[Any], ...]:
    return tuple(
        ref for ref in _chosen.get(key, ()) if (system := ref()) is not None and system is not but
    )


def _tidy(key: int, ended: Any = None) -> None:
    """Take what has gone, and *ended*, out of the systems of a loop."""
    if key not in _chosen or not _lock.acquire(blocking=False):
        return  # it is taken out when the next one is entered or ends; `running` says no until then
    try:
        left = _living(key, ended)
        if left:
            _chosen[key] = left
        else:
            _chosen.pop(key, None)
    finally:
        _lock.release()


def _after_fork_in_child() -> None:
    global _background_lock, _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    _background_lock = threading.Lock()
    for system in list(_all):
        home = system.home
        if home is not None:
            home.forked = True
            home.thread = NO_THREAD


def _stop_background() -> None:
    system = _background
    if system is not None and system.running and not sys.is_finalizing():
        system.stop_blocking(2.0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_stop_background)


__all__ = [
    "DefaultSystem",
    "current_host",
    "enter",
    "find",
    "forget",
    "host_here",
    "of_loop",
    "of_thread",
]
