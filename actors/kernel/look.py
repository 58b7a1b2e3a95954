# pyright: reportPrivateUsage=false
"""Looks at a cell, which change nothing: what its actor does now, and what waits for it."""

from __future__ import annotations

from itertools import islice
from typing import Any, NamedTuple

from ..looks import is_a
from .carried import unwrap_carried
from .cell import Cell
from .delivery import is_ask
from .future import ActorFuture
from .link_table import links_of
from .phase import (
    HELD,
    IDLE,
    PARKED,
    QUEUED,
    RUNNING,
    STARTING,
    STOPPING,
    SUSPENDED,
    UNWINDING,
    YIELDED,
)
from .request import Request
from .self_sent import SelfSent

_STATES = {
    IDLE: "idle",
    QUEUED: "ready",
    RUNNING: "running",
    PARKED: "waiting",
    YIELDED: "waiting",
    HELD: "suspended",
}
_AT_WORK = frozenset({RUNNING, PARKED, YIELDED})
"""The states in which a message is in hand."""
_MANY = 1_000
_PHASES = (
    (SUSPENDED, "suspended"),
    (STARTING, "starting"),
    (UNWINDING, "cancelling"),
    (STOPPING, "stopping"),
)


def unwrap(message: Any) -> Any:
    """Return the user's message, without what it travels in."""
    if is_a(message, Request, ActorFuture):
        message = message.message
    return message.message if is_a(message, SelfSent) else unwrap_carried(message)


def message_in_hand(cell: Cell) -> Any:
    """Return the message that is being handled, as its sender gave it."""
    return unwrap(cell._message)


def task_of(cell: Any) -> Any:
    """Return the `ActorTask` of a handler that waits for a future of asyncio's; None for others."""
    if not isinstance(cell, Cell) or cell._state != PARKED:
        return None
    task = cell._task
    return None if task is None or task._fut_waiter is None else task


def job_loop_of(cell: Any) -> Any:
    """Return the loop in its thread whose tasks the handler of *cell* has ask; None if there is none."""
    ext = cell._ext if isinstance(cell, Cell) else None
    job = None if ext is None else ext.job
    return None if job is None or job.item is None else job.loop


def works_for(cell: Any) -> Any:
    """Return the request that *cell* answers now, if it is a cell and there is one."""
    return getattr(cell, "_current", None)


def since_of(cell: Any) -> float:
    """Return when the handler of *cell* began, by the clock of its loop; 0 if that is not known."""
    since: float = getattr(cell, "_since", 0.0)
    return since


def state_of(cell: Cell) -> str:
    """Return in one word what *cell* is doing: see `ActorInfo`."""
    state = _STATES.get(cell._state, "dead")
    for flag, word in _PHASES:
        if cell._phase & flag:
            state = word
    return state


def _mailbox_length(cell: Cell) -> int:
    """Return how many messages wait at *cell*: in its mailbox, or handed to a thread that has not begun them."""
    ext = cell._ext
    job = None if ext is None else ext.job
    return len(cell._mailbox or ()) + (0 if job is None else len(job.items))


def _busy_s(cell: Cell) -> float | None:
    """Return how long *cell* has been at its message or hook, in seconds; None if it does nothing."""
    if cell._state not in _AT_WORK and cell._coro is None:
        return None
    return max(0.0, cell._sched.loop.time() - since_of(cell))


class Glance(NamedTuple):
    """The numbers of one actor, for those who sum up many: cheaper than `look`."""

    handled: int
    waiting: int
    """Messages in its mailbox, and those handed to a thread that has not begun them."""
    busy_s: float | None
    """How long it has been at its message or hook; None if it does nothing."""
    asked: tuple[Any, ...]
    """What wants an answer: the request in hand, and up to a thousand that wait."""
    workload: tuple[int, int] | None
    """How many messages it handles, and how many it may at once, where that is not one."""


def glance(cell: Cell) -> Glance:
    """Return the numbers of *cell*, on the loop's thread."""
    actor = cell._actor
    if actor is None:
        return Glance(cell._handled, 0, None, (), None)
    mailbox, ext = cell._mailbox, cell._ext
    job = None if ext is None else ext.job
    busy = _busy_s(cell)
    if not mailbox and job is None and cell._current is None:
        return Glance(cell._handled, 0, busy, (), actor._workload)
    handed_over = () if job is None else job.items.copy()
    in_hand = () if cell._current is None else (cell._current,)
    queued = tuple(islice(mailbox or (), _MANY)) + tuple(handed_over)
    return Glance(
        cell._handled,
        len(mailbox or ()) + len(handed_over),
        busy,
        in_hand + tuple(item for item in queued if is_ask(item)),
        actor._workload,
    )


def waiting_at(cell: Cell) -> tuple[int, int | None]:
    """Return how many messages wait at *cell*, with those of senders that wait for room, and its capacity.

    None: its mailbox has no bound. On the loop's thread.
    """
    mailbox = cell._mailbox
    senders = len(getattr(mailbox, "waiting", ()))
    return _mailbox_length(cell) + senders, getattr(mailbox, "capacity", None)


def look(cell: Cell) -> dict[str, Any]:
    """Return what *cell* is doing, under the names that `ActorInfo` gives it."""
    actor = cell._actor
    common = {
        "ref": cell,
        "name": cell.name,
        "incarnation": cell.incarnation,
        "exit_reason": cell._reason,
    }
    if actor is None:
        return common | {
            "state": "dead",
            "dispatcher": cell.actor_class.dispatcher,
            "mailbox_length": 0,
            "handled": cell._handled,
            "current_message": None,
            "busy_s": None,
            "parent": None,
            "links": (),
            "monitors": (),
            "monitored_by": (),
            "trap_exit": False,
            "timers": 0,
            "busy": None,
            "concurrency": None,
        }
    ext = cell._ext
    busy = _busy_s(cell)
    workers, concurrency = actor._workload or (None, None)
    return common | {
        "state": state_of(cell),
        "dispatcher": actor.dispatcher,
        "mailbox_length": _mailbox_length(cell),
        "handled": cell._handled,
        "current_message": unwrap(None if busy is None else cell._message),
        "busy_s": busy,
        "parent": cell._parent,
        "links": tuple(links_of(cell)),
        # Copied in one step each, before they are gone through: this may be another thread's look.
        "monitors": () if ext is None else tuple(m.target for m in tuple(ext.monitors or ())),
        "monitored_by": tuple(m.watcher for m in tuple(cell._watchers or ())),
        "trap_exit": cell._trap,
        "timers": 0 if ext is None else len(ext.timers or ()),
        "busy": workers,
        "concurrency": concurrency,
    }
