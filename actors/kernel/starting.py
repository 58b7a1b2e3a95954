# pyright: reportPrivateUsage=false
"""How every actor starts: it is made, taken into a system, and launched on the loop's thread."""

from __future__ import annotations

import asyncio
from itertools import count
from threading import get_ident
from typing import Any

from ..errors import (
    ActorDied,
    NameTaken,
    RequestTimeout,
    StartFailed,
    SystemStopped,
    check_name,
    not_an_actor_class,
)
from ..reasons import NOPROC
from .base import ActorBase
from .cell import Cell, LastingAddress
from .exit_signals import receive_exit, unlink
from .home import Home
from .lifecycle import started
from .link_table import add_link
from .phase import DEAD, OFFLOADED, STARTING
from .pykka_seam import enter_registry, leave_registry
from .request import HeldPromise, Request, new_request
from .running import in_home, running_here

next_pid = count(1).__next__


def spawn(
    home: Home,
    actor_class: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    name: str | None = None,
    parent: Cell | None = None,
    *,
    ack: Request | None = None,
    mailbox_to: LastingAddress | None = None,
    incarnation: int = 1,
) -> Any:
    """Make an actor, take it into the system of *home*, and return its ref. Safe from any thread.

    *parent* is linked with it. *ack* is answered with the ref when it has started, and fails if it
    does not start. What it leaves unhandled when it ends abnormally goes back to *mailbox_to*.
    """
    if name is not None:
        check_name(name)
    try:
        actor = actor_class(*args, **kwargs) if args or kwargs else actor_class()
    except TypeError:
        _check_class(actor_class)
        raise
    try:
        cell: Cell = actor._ref
    except AttributeError:
        _check_class(actor_class)
        raise TypeError(
            f"{actor_class.__name__}.__init__ does not call super().__init__(). Add it first."
        ) from None
    if name is not None:
        cell.name = name
    if incarnation != 1:
        cell.incarnation = incarnation
    if mailbox_to is not None:
        cell._own_ext().mailbox_to = mailbox_to
    if ack is not None:
        cell._own_ext().start_ack = ack
    adopt(home, cell, parent)
    return cell


def spawn_unique(
    home: Home,
    actor_class: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    name: str | None,
    parent: Cell | None = None,
    **options: Any,
) -> Any:
    """Do as `spawn`, but raise `NameTaken` if a live actor is registered under *name*."""
    if get_ident() != home.thread and not home.fenced():
        # Where the names are kept, so that none is taken between the look and the start.
        given = (home, actor_class, args, kwargs, name, parent)
        return in_home(home, spawn_unique, *given, **options)
    check_name(name)
    holder = home.host.whereis(str(name))
    if holder is not None:
        raise NameTaken(name, holder)
    return spawn(home, actor_class, args, kwargs, name, parent, **options)


def adopt(home: Home, cell: Cell, parent: Cell | None = None) -> None:
    """Take a constructed actor into the system of *home*, and let it start."""
    if cell._actor.dispatcher != "event_loop":
        home.host.check_dispatcher(cell, cell._actor)
    cell._sched = home
    if parent is not None:
        cell._parent = cell._links = parent
    home.live[cell] = None
    enter_registry(cell)
    if get_ident() == home.thread:
        launch(home, cell, parent)
    elif home.fenced():
        _forget(home, cell)
        raise ActorDied(running_here() or home.host.name, "abandoned")
    elif not home.post(launch, home, cell, parent):
        _forget(home, cell)
        raise SystemStopped(home.host.name)


def _forget(home: Home, cell: Cell) -> None:
    home.live.pop(cell, None)
    leave_registry(cell)


def launch(home: Home, cell: Cell, parent: Cell | None) -> None:
    """Let *cell* start; on the loop's thread."""
    if parent is not None:
        # Here, because a parent in a thread must not touch its links itself.
        if parent._phase & DEAD:
            receive_exit(cell, parent, NOPROC, True)
        else:
            add_link(parent, cell)
    if cell.name is not None:
        home.host.launched(cell)
    if home.observer is not None:
        home.observer.on_spawn(cell, cell._parent)
    actor = cell._actor
    if actor.dispatcher != "event_loop":
        cell._phase |= OFFLOADED
        cell._own_ext().pool = home.host.choose_pool(cell, actor.dispatcher)
    if actor._has_on_start:
        cell._phase |= STARTING
        home.enqueue(cell)
        return
    ext = cell._ext
    if ext is not None and ext.start_ack is not None:
        started(home, cell)
    if cell._mailbox:
        # It wrote to itself in its constructor, or another thread did meanwhile.
        home.enqueue(cell)


async def start_link(
    parent: Cell,
    actor_class: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    name: str | None,
    timeout_s: float | None,
    *,
    mailbox_to: LastingAddress | None = None,
    incarnation: int = 1,
    unique: bool = False,
) -> Any:
    """Start an actor linked with *parent*, and return its ref when it has started.

    Returns None if its `on_start` raised `Ignore`; raises `StartFailed`. See `Actor.start_link`.
    """
    if name is not None or unique:
        check_name(name)
    home = parent._sched
    ack = new_request(None, parent, home, HeldPromise)
    try:
        ref = (spawn_unique if unique else spawn)(
            home,
            actor_class,
            args,
            kwargs,
            name,
            parent,
            ack=ack,
            mailbox_to=mailbox_to,
            incarnation=incarnation,
        )
    except NameTaken:
        raise
    except Exception as error:
        raise StartFailed(getattr(actor_class, "__name__", str(actor_class)), error) from error
    ack.holders = lambda: (ref,)
    if timeout_s is not None:
        home.post_or_call(ack.start_timer, timeout_s)
    try:
        return await ack
    except (RequestTimeout, asyncio.CancelledError) as error:
        home.post_or_call(unlink, parent, ref)
        ref.kill()
        if isinstance(error, RequestTimeout):
            raise StartFailed(ref.label, "timeout") from error
        raise


def _check_class(given: Any) -> None:
    """Raise `WrongUse` unless *given* is a class of actors of ours."""
    if not isinstance(given, type) or not issubclass(given, ActorBase):
        raise not_an_actor_class(given) from None


__all__ = ["adopt", "launch", "next_pid", "spawn", "spawn_unique", "start_link"]
