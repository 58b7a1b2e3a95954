# pyright: reportPrivateUsage=false
"""How long the asker of a running handler still waits, so that no work is done without an asker."""

from __future__ import annotations

from typing import Any

from ..errors import RequestTimeout
from ..looks import is_a
from .cell import Cell
from .request import ABANDONED, PENDING, Request
from .running import running_here


def request_here() -> Request | None:
    """Return the request that the handler making this call is answering; None for a told message.

    Where a handler has gone on in a task of its own, that is not known any more: ask before.
    """
    cell = running_here()
    request = None if cell is None else cell._current
    return request if is_a(request, Request) else None


def time_left_s(request: Request | None) -> float | None:
    """Return how many seconds the asker of *request* still waits; None if it has no limit.

    An asker that is an actor, and is asked itself, waits no longer than its own asker does. Safe from
    any thread: what is read of other threads is one look at each.
    """
    least: float | None = None
    seen: set[int] = set()
    while request is not None and id(request) not in seen:
        seen.add(id(request))
        timer: Any = request._result
        if request._state == PENDING and hasattr(timer, "when"):
            left_s = max(0.0, timer.when() - request._home.loop.time())
            least = left_s if least is None else min(least, left_s)
        waiter = request._waiter
        above = waiter._current if is_a(waiter, Cell) else None
        request = above if is_a(above, Request) else None
    return least


def has_timed_out(request: Request | None) -> bool:
    """Tell whether the asker of *request* has given up because it took too long."""
    if request is None or request._state != ABANDONED:
        return False
    return is_a(request._result, RequestTimeout)


__all__ = ["has_timed_out", "request_here", "time_left_s"]
