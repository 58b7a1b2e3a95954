# pyright: reportPrivateUsage=false
"""A look at a cell, from any thread: what its actor does now, and changes nothing."""

from __future__ import annotations

from typing import Any

from ..looks import is_a
from .carried import unwrap_carried
from .cell import Cell
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
    busy = cell._state in (RUNNING, PARKED, YIELDED) or cell._coro is not None
    # A worker is handed several messages at once; those that it has not begun still wait.
    job = None if ext is None else ext.job
    handed_over = 0 if job is None else len(job.items)
    now = cell._sched.loop.time()
    workers, concurrency = actor._workload or (None, None)
    return common | {
        "state": state_of(cell),
        "dispatcher": actor.dispatcher,
        "mailbox_length": len(cell._mailbox or ()) + handed_over,
        "handled": cell._handled,
        "current_message": unwrap(cell._message if busy else None),
        "busy_s": max(0.0, now - getattr(cell, "_since", 0.0)) if busy else None,
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
