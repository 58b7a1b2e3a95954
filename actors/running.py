"""Whose handler runs here: what gives a signal its sender, in a loop's thread and in a worker's."""

from __future__ import annotations

import threading
from threading import get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ref import ActorRef


class _Here(threading.local):
    ref: ActorRef[Any] | None = None
    """The actor whose handler this worker thread runs."""


_here = _Here()


def enter(ref: ActorRef[Any] | None) -> ActorRef[Any] | None:
    """Let *ref* be the actor that this thread works for, and return the one before."""
    before, _here.ref = _here.ref, ref
    return before


def running_here() -> ActorRef[Any] | None:
    """Return the actor whose handler makes this call, in whichever system; None outside of any."""
    if _here.ref is not None:
        return _here.ref
    from .system import system_here

    system = system_here()
    scheduler = None if system is None else system._scheduler
    if scheduler is None or scheduler.thread != get_ident() or scheduler.current is None:
        return None
    return scheduler.current._ref
