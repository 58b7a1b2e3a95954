# pyright: reportPrivateUsage=false
"""How a message reaches a mailbox off the fast path, and what becomes of one that does not.

A *cell* is a `Cell`, which is built on this: its `tell` and `request` call from here what is rare.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import ActorDied, AgenticError, MailboxFull
from ..looks import is_a
from ..messages import Down, Exit, OwnMessage, ReceiveTimeout
from ..reasons import is_word
from .future import ActorFuture
from .mailbox import MailboxClosed
from .phase import STOPPING
from .pykka_seam import ActorStop
from .request import FAILED, Request, Send, new_request

if TYPE_CHECKING:
    from .home import Home


def tell_from_outside(cell: Any, home: Home, message: Any) -> None:
    """Send *message* from another thread than the loop's."""
    if not cell.is_alive():
        raise ActorDied(cell, "noproc")
    if fence(home, cell, message):
        return
    mailbox = cell._mailbox
    refuses = getattr(mailbox, "overflow", None) in ("fail", "backpressure")
    if refuses and len(mailbox) >= mailbox.capacity:
        # The sender's thread learns of it here; the policies that drop are applied on arrival.
        raise MailboxFull(cell, mailbox.capacity)
    if not home.post(arrive, cell, message):
        raise ActorDied(cell, "noproc")


def fence(home: Home, target: Any, message: Any) -> bool:
    """Tell whether an abandoned handler is sending; if so the message goes no further."""
    if home.fenced():
        home.fenced_sends += 1
        home.host.dead_letter(message, target.label, "fenced")
        return True
    return False


def arrive(cell: Any, item: Any) -> None:
    """Put what came from another thread into the mailbox; runs on the loop's thread."""
    try:
        if cell._actor is None:
            raise MailboxClosed
        cell._append(item)
    except MailboxClosed:
        error: Exception = ActorDied(cell, "noproc")
    except AgenticError as refused:  # it is full, or the message cannot go where the actor is
        error = refused
    else:
        return
    if is_a(item, Request, ActorFuture):
        item.fail(error)
    elif cell._sched.host is not None:
        reason: Any = error
        if is_a(error, ActorDied, MailboxFull):
            reason = "noproc" if is_a(error, ActorDied) else "mailbox_full"
        cell._sched.host.dead_letter(item, cell.label, reason)


def send(cell: Any, home: Home, message: Any, *, here: bool) -> Request:
    """Return a request that is answered when *message* is in the mailbox (`ActorRef.send`)."""
    request = new_request(message, cell, home, Send)
    if here:
        _arrive_send(cell, request)
    elif fence(home, cell, message) or not home.post(_arrive_send, cell, request):
        return dead_request(cell, message)
    return request


def _arrive_send(cell: Any, request: Request) -> None:
    if cell._actor is None or cell._phase & STOPPING:
        request.fail(ActorDied(cell, "noproc"))
        return
    mailbox: Any = cell._mailbox
    waits = getattr(mailbox, "overflow", "") == "backpressure"
    if waits and len(mailbox) >= mailbox.capacity:
        mailbox.waiting.append(request)
        return
    try:
        cell._append(request.message)
    except Exception as error:
        request.fail(error)
    else:
        request.reply(None)


def request_from_outside(
    cell: Any, home: Home, request: Request, timeout_s: float | None
) -> Request:
    """Send *request* from another thread than the loop's, and return it or one that has failed."""
    if fence(home, cell, request.message) or not home.post(arrive, cell, request):
        return dead_request(cell, request.message)
    if timeout_s is not None:
        home.post(request.start_timer, timeout_s)
    return request


def dead_request(cell: Any, message: Any) -> Request:
    """Return a request to a dead actor: it has failed already."""
    request = new_request(message, cell, cell._sched)
    refuse(request, ActorDied(cell, "noproc"))
    return request


def refuse(request: Request, error: BaseException) -> None:
    """Fail *request*, which was not sent and has no waiter to wake. In any thread."""
    request._result = error
    request._state = FAILED


# -- what is not handled ---------------------------------------------------------------------------


def is_system_message(item: Any) -> bool:
    """Tell whether *item* concerns only the incarnation that it was sent to."""
    if is_a(item, ActorStop, Exit, Down, ReceiveTimeout, OwnMessage):
        return True
    return is_ask(item) and is_a(item.message, ActorStop)


def lose(cell: Any, items: Iterable[Any], reason: Any) -> None:
    """Fail the requests among *items*, and make dead letters of the other messages."""
    for item in items:
        if not is_system_message(item):
            lose_one(cell, item, reason)


def lose_one(cell: Any, item: Any, reason: Any) -> None:
    """Fail *item* if it is a request, else make it a dead letter."""
    if is_ask(item):
        if is_word(reason, "mailbox_full"):
            item.fail(MailboxFull(cell, getattr(cell._mailbox, "capacity", 0)))
        else:
            item.fail(ActorDied(cell, reason))
    else:
        cell._sched.host.dead_letter(item, cell.label, reason)


def is_ask(item: Any) -> bool:
    """Tell whether *item* of a mailbox wants an answer."""
    return is_a(item, Request, ActorFuture)


__all__ = [
    "arrive",
    "dead_request",
    "fence",
    "is_ask",
    "is_system_message",
    "lose",
    "lose_one",
    "refuse",
    "request_from_outside",
    "send",
    "tell_from_outside",
]
