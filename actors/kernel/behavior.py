# pyright: reportPrivateUsage=false
"""What an actor does with its own mailbox and answers: behaviours, the stash, deferred replies.

`Actor` has the methods; each is a function of its cell here, on the loop's thread where it says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pykka

from ..errors import ActorNotAsked, MailboxFull, not_awaitable, not_callable
from ..looks import is_a
from ..messages import PipedFailure
from .cell import Cell, put
from .self_sent import SelfSent, self_sent

if TYPE_CHECKING:
    from asyncio import Future


def become(cell: Cell, behavior: Callable[[Any], Any] | None, *, discard: bool) -> None:
    """Handle the next messages with *behavior*; see `Actor.become`."""
    if behavior is not None and not callable(behavior):
        raise not_callable(behavior)
    if not discard:
        ext = cell._own_ext()
        if ext.behaviors is None:
            ext.behaviors = []
        ext.behaviors.append(cell._behavior)
    cell._behavior = behavior


def unbecome(cell: Cell) -> None:
    """Go back to the behaviour before the last one that was kept."""
    ext = cell._ext
    cell._behavior = ext.behaviors.pop() if ext is not None and ext.behaviors else None


def behavior_of(cell: Cell) -> Callable[[Any], Any] | None:
    """Return what handles the next message in the place of `on_receive`."""
    return cell._behavior


def flush(cell: Cell, predicate: Callable[[Any], bool]) -> list[Any]:
    """Take the messages that fit *predicate* out of the mailbox; on the loop's thread."""
    _recall(cell)
    mailbox = cell._mailbox
    if not mailbox:
        return []
    fits = [(item, predicate(_given(item))) for item in mailbox]
    taken = [_given(item) for item, fit in fits if fit]
    if taken:
        mailbox.clear()
        mailbox.extend(item for item, fit in fits if not fit)
        getattr(mailbox, "admit", int)()
    return taken


def _given(item: Any) -> Any:
    """Return *item* of a mailbox as it was sent."""
    return item.message if is_a(item, SelfSent) else item


def stash(cell: Cell) -> None:
    """Put the message that is being handled aside."""
    ext = cell._own_ext()
    if ext.stash is None:
        ext.stash = []
    job = ext.job
    ext.stash.append(cell._message if job is None else job.item)
    cell._current = None


def unstash_all(cell: Cell) -> None:
    """Put what was stashed at the front of the mailbox, in its order; on the loop's thread."""
    ext = cell._ext
    if ext is None or not ext.stash:
        return
    stashed, ext.stash = ext.stash, None
    mailbox = cell._mailbox
    if mailbox is None:
        mailbox = cell._make_mailbox()
    _recall(cell)
    mailbox.extendleft(reversed(stashed))


def _recall(cell: Cell) -> None:
    """Take back what a worker was handed and has not begun."""
    ext = cell._ext
    if ext is not None and ext.job is not None:
        ext.job.recall()


def defer_reply(cell: Cell) -> Any:
    """Take over the answering of the request that is being handled; see `Actor.defer_reply`."""
    request = cell._current
    if request is None:
        raise ActorNotAsked(cell.label)
    ext = cell._own_ext()
    if ext.deferred is None:
        ext.deferred = {}
    if len(ext.deferred) >= ext.deferred_limit:
        # Only now and then, so that many who wait cost no more each than a few.
        ext.deferred = {r: None for r in ext.deferred if r.asker_waiting}
        ext.deferred_limit = max(16, 2 * len(ext.deferred))
    ext.deferred[request] = None
    cell._current = None
    return request


def check_awaitable(awaitable: Any) -> None:
    """Raise `WrongUse` unless *awaitable* is one."""
    if not inspect.isawaitable(awaitable):
        raise not_awaitable(awaitable)


def pipe(
    cell: Cell, awaitable: Awaitable[Any], target: Any, convert: Callable[[Any], Any] | None
) -> None:
    """Let the outcome of *awaitable* become a message to *target*; on the loop's thread."""
    ext = cell._own_ext()
    if ext.pipes is None:
        ext.pipes = {}
    pipes = ext.pipes
    home = cell._sched

    async def run() -> None:
        try:
            outcome = await awaitable
            message = outcome if convert is None else convert(outcome)
        except Exception as error:
            message = PipedFailure(error)
        try:
            if target is cell and cell.is_alive():
                put(cell, self_sent(cell._ext, message))
            else:
                target.tell(message)
        except pykka.ActorDeadError:
            home.host.dead_letter(message, target.label, "noproc")
        except MailboxFull as full:
            home.host.dead_letter(message, target.label, full)

    def forget(task: Future[None]) -> None:
        pipes.pop(task, None)
        if inspect.iscoroutine(awaitable):
            awaitable.close()  # or it would complain, if the task was cancelled before it began

    task = home.loop.create_task(run(), name=f"{cell.label}: pipe_to")
    pipes[task] = None
    task.add_done_callback(forget)
