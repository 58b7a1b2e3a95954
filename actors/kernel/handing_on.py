# pyright: reportPrivateUsage=false
"""How an actor has its messages handled by others: each is handed on as it is, with its request.

For a pool, whose mailbox is that of all that it hands messages to. While they are all busy it is
full, and takes nothing out of the mailbox, so that what waits there waits by the mailbox's policy.
Everything here runs on the loop's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, cast

from .cell import Cell
from .delivery import is_ask
from .lifecycle import unsuspend
from .phase import FULL, STOPPING
from .request import CARRIES, KINDS


class _ByOthers:
    """What a cell awaits whose messages others handle: them, and no request of its own."""

    race = False

    def pending(self) -> tuple[Any, ...]:
        return ()


_BY_OTHERS = _ByOthers()


def is_answered_by_others(cell: Cell) -> None:
    """Let the search for circles go on from *cell* to the actors that it hands messages to."""
    cell._awaits = _BY_OTHERS


def take_in_hand(cell: Cell) -> Any:
    """Return the message that *cell* is handling, as it came: its end is not that of the message.

    The context that it carries has been taken for this handler, which is in it; it gets a copy.
    """
    cell._current = None
    item, cell._message = cell._message, None
    message = item.message if is_ask(item) else item
    if KINDS.get(cast(Any, type(message))) == CARRIES and cell._context is not None:
        message.variables = cell._context.copy()
    return item


def is_not_counted(cell: Cell) -> None:
    """Leave the message in hand out of the number of those that *cell* has handled; for its handler."""
    cell._handled -= 1


def fill_up(cell: Cell) -> None:
    """Let *cell* take no message until `release`; exit signals still act."""
    if cell._actor is not None:
        cell._phase |= FULL


def release(cell: Cell) -> None:
    """Let *cell* take messages again."""
    if cell._phase & FULL:
        unsuspend(cell, FULL)


def was_killed(cell: Cell) -> bool:
    """Tell whether *cell*, which ends, was killed, and did not just hear of one that was."""
    return cell._doom is not None and bool(cell._doom[1])


def is_crowded(cell: Cell) -> bool:
    """Tell whether messages wait because *cell* is full."""
    return bool(cell._phase & FULL and cell._mailbox)


def put_first(cell: Cell, items: Iterable[Any]) -> None:
    """Put *items*, oldest first, before all that waits for *cell*, or that it leaves if it ends."""
    rest = list(items)
    if not rest:
        return
    if cell._phase & STOPPING:
        ext = cell._own_ext()
        left = ext.leftover
        if left is None:
            left = ext.leftover = deque[Any]()
        left.extendleft(reversed(rest))
        return
    mailbox = cell._mailbox
    if mailbox is None:
        mailbox = cell._make_mailbox()
    mailbox.extendleft(reversed(rest))
    unsuspend(cell, 0)  # queues it if it idles


__all__ = [
    "fill_up",
    "is_answered_by_others",
    "is_crowded",
    "is_not_counted",
    "put_first",
    "release",
    "take_in_hand",
    "was_killed",
]
