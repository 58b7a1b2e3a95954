"""Default systems: one for each running loop, and one in the background where no loop runs."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ..kernel.current import current_host, host_here
from ..kernel.home import NO_THREAD, Home


class DefaultSystem(Protocol):
    """A system that may be the default of a place; `ActorSystem` is one."""

    @property
    def running(self) -> bool: ...
    @property
    def home(self) -> Home | None: ...
    def stop_blocking(self, timeout: float | None = None, /) -> Any: ...


S = TypeVar("S", bound=DefaultSystem)

_defaults: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
_all: weakref.WeakSet[Any] = weakref.WeakSet()
_background_lock = threading.Lock()
_background: Any = None


def find() -> Any:
    """Return the running system of this place if there is one; make none."""
    system: Any = host_here()
    if system is not None and system.running:
        return system
    try:
        system = _defaults.get(asyncio.get_running_loop())
    except RuntimeError:
        system = _background
    return system if system is not None and system.running else None


def default_of(loop: asyncio.AbstractEventLoop, make: Callable[[], S]) -> S:
    """Return the default system of *loop*, made now if there is none that runs."""
    system: S | None = _defaults.get(loop)
    if system is None or not system.running:
        system = make()
        _defaults[loop] = system
    return system


def background(make: Callable[[], S]) -> S:
    """Return the default system in the background, made now if there is none that runs."""
    global _background
    with _background_lock:
        if _background is None or not _background.running:
            _background = make()
        system: S = _background
        return system


def enter(system: DefaultSystem) -> None:
    """*system* runs from now on: a forked child has to know of it."""
    _all.add(system)


def forget(system: DefaultSystem, loop: asyncio.AbstractEventLoop) -> None:
    """*system* has stopped: let its loop have another default."""
    if _defaults.get(loop) is system:
        # The key is weak, but the system holds its loop.
        del _defaults[loop]


def _after_fork_in_child() -> None:
    global _background_lock
    _background_lock = threading.Lock()  # another thread of the parent may have held it
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
    "background",
    "current_host",
    "default_of",
    "enter",
    "find",
    "forget",
    "host_here",
]
