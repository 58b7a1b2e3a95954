"""Whose handler runs here: what gives a signal its sender, in a loop's thread and in a worker's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import get_ident
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ..errors import ActorDied, SystemStopped

if TYPE_CHECKING:
    from ..actor import Actor
    from ..ref import ActorRef

P = ParamSpec("P")
T = TypeVar("T")


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
    from ..system.system import system_here

    system = system_here()
    scheduler = None if system is None else system._scheduler
    if scheduler is None or scheduler.thread != get_ident() or scheduler.current is None:
        return None
    return scheduler.current._ref


def refuse_abandoned(actor: Actor) -> None:
    """Raise `ActorDied` in a handler that was left behind: *actor* is no more, or has another."""
    scheduler = actor._sched
    if scheduler.fenced():
        raise ActorDied(actor._ref, actor._exit_reason or "abandoned")


def on_loop(actor: Actor, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return ``fn(*args)``, called in the thread that owns the state of *actor*.

    From a handler in a worker's thread that is a trip to the loop and back, in the order of what that
    handler sends. Raises `ActorDied` in a handler that was left behind, and `SystemStopped` if the
    loop is gone.
    """
    scheduler = actor._sched
    if scheduler.system is None or get_ident() == scheduler.thread:
        return fn(*args, **kwargs)
    refuse_abandoned(actor)
    result: Future[T] = Future()

    def call() -> None:
        try:
            result.set_result(fn(*args, **kwargs))
        except BaseException as error:
            result.set_exception(error)

    if not scheduler.post(call):
        raise SystemStopped(scheduler.system.name)
    while not wait([result], 1.0).done:
        if scheduler.closed or scheduler.loop.is_closed():
            raise SystemStopped(scheduler.system.name)
    return result.result()
