"""Mailboxes that report each message and its sender: how a simulated run sees every message without a hook.

The kernel's `tell` appends to the actor's mailbox and does nothing else, and so it stays: in
simulation the mailbox itself is another one. What the kernel puts in past the policy (exits, downs,
timers) is not a message of an actor and is not seen here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from agenticaiframework.actors.kernel.mailbox import BoundedMailbox, FailingMailbox, Mailbox

Sent = Callable[[Any, Any], None]

_put: Callable[[deque[Any], Any], None] = deque[Any].append


Entry = tuple[Any, str, int]
"""A message, the label of its sender, and the step of the exploration that sent it."""


class Ledger:
    """What was sent to one incarnation and not yet handled, in order of sending; by identity."""

    __slots__ = ("_held", "out_of_order", "pending")

    def __init__(self) -> None:
        self.pending: deque[Entry] = deque()
        self._held: deque[Entry] = deque()
        self.out_of_order: list[tuple[Any, str]] = []

    def handled(self, item: Any) -> Entry | None:
        """Take the entry of a message that is handled now; None if the kernel put it in."""
        pending = self.pending
        if not pending:
            return None
        if pending[0][0] is item:
            return pending.popleft()
        entry = _take(pending, item, self._note_order)
        return entry

    def _note_order(self, entry: Entry, before: Iterable[Entry]) -> None:
        if any(earlier[1] == entry[1] for earlier in before):
            self.out_of_order.append((entry[0], entry[1]))

    def forget(self, item: Any) -> Entry | None:
        """Take the entry of a message that left the mailbox in another way."""
        return _take(self.pending, item)

    def inherit(self, other: Ledger) -> None:
        """Take over what *other* has open: its actor has ended, and the next one may get it."""
        self.pending.extend(other.pending)
        other.pending.clear()

    def hold(self) -> None:
        """The mailbox is emptied, to be filled again with what selective receive leaves."""
        self._held, self.pending = self.pending, deque()

    def give_back(self, item: Any) -> bool:
        """Let a message that selective receive leaves keep its place; tell whether it is one."""
        entry = _take(self._held, item)
        if entry is None:
            return False
        self.pending.append(entry)
        return True


def _take(
    entries: deque[Entry],
    item: Any,
    note: Callable[[Entry, Iterable[Entry]], None] | None = None,
) -> Entry | None:
    for index, entry in enumerate(entries):
        if entry[0] is item:
            if note is not None:
                note(entry, islice(entries, index))
            del entries[index]
            return entry
    return None


class _Watching(deque[Any]):
    """What the watched mailboxes have in common. *sent* is told what is let in."""

    __slots__ = ()

    ledger: Ledger
    owner: Any

    def watch(self, ledger: Ledger, sent: Sent, owner: Any) -> None:
        """Report to *sent* from now on, and keep the order in *ledger*."""
        self.ledger = ledger
        self.sent = sent
        self.owner = owner

    def clear(self) -> None:
        self.ledger.hold()
        super().clear()

    def extend(self, items: Iterable[Any], /) -> None:
        for item in items:
            if not self.ledger.give_back(item):
                self.sent(self, item)
            _put(self, item)


class WatchedMailbox(_Watching):
    """An unbounded mailbox that reports what is appended."""

    __slots__ = ("ledger", "owner", "sent")

    def append(self, item: Any, /) -> None:
        self.sent(self, item)
        super().append(item)


class WatchedFailingMailbox(_Watching, FailingMailbox):
    """A mailbox that fails its senders when it is full, and reports what is let in."""

    __slots__ = ("ledger", "owner", "sent")

    def append(self, item: Any, /) -> None:
        super().append(item)
        self.sent(self, item)

    def enter(self, item: Any, /) -> None:
        super().enter(item)
        self.sent(self, item)


class WatchedBoundedMailbox(_Watching, BoundedMailbox):
    """A bounded mailbox that reports what is let in."""

    __slots__ = ("ledger", "owner", "sent")

    def append(self, item: Any, /) -> None:
        before = len(self)
        oldest = self[0] if before else None
        super().append(item)  # by its policy, which may raise
        if self and self[-1] is item:
            self.sent(self, item)
            if len(self) == before:
                self.ledger.forget(oldest)


def watched_mailbox(actor: Any, policy: Mailbox) -> Any:
    """Return a watched mailbox of the same kind as *policy* makes, and with its behavior."""
    if policy.capacity is None:
        return WatchedMailbox()
    if policy.overflow == "fail":
        return WatchedFailingMailbox(actor, policy.capacity)
    return WatchedBoundedMailbox(actor, policy.capacity, policy.overflow)
