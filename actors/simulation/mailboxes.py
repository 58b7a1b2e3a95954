"""Mailboxes that tell who sent what: how a simulated run sees every message without a hook.

The kernel's `tell` appends to the actor's mailbox and does nothing else, and so it stays: in
simulation the mailbox itself is another one. What the kernel puts in past the policy (exits, downs,
timers) is not a message of an actor and is not seen here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from agenticaiframework.actors.kernel.mailbox import BoundedMailbox, Mailbox

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


class WatchedMailbox(deque[Any]):
    """An unbounded mailbox that reports what is appended."""

    __slots__ = ("_sent", "ledger", "owner")

    owner: Any

    def __init__(self, actor: Any, ledger: Ledger, sent: Sent) -> None:
        super().__init__()
        self.ledger = ledger
        self._sent = sent

    def append(self, item: Any, /) -> None:
        self._sent(self, item)
        super().append(item)

    def clear(self) -> None:
        self.ledger.hold()
        super().clear()

    def extend(self, items: Iterable[Any], /) -> None:
        for item in items:
            if not self.ledger.give_back(item):
                self._sent(self, item)
            _put(self, item)


class WatchedBoundedMailbox(BoundedMailbox):
    """A bounded mailbox that reports what is let in."""

    __slots__ = ("_sent", "ledger", "owner")

    owner: Any

    def __init__(self, actor: Any, policy: Mailbox, ledger: Ledger, sent: Sent) -> None:
        assert policy.capacity is not None, "an unbounded policy has the other mailbox"
        super().__init__(actor, policy.capacity, policy.overflow)
        self.ledger = ledger
        self._sent = sent

    def append(self, item: Any, /) -> None:
        before = len(self)
        oldest = self[0] if before else None
        super().append(item)  # by its policy, which may raise
        if self and self[-1] is item:
            self._sent(self, item)
            if len(self) == before:
                self.ledger.forget(oldest)

    def clear(self) -> None:
        self.ledger.hold()
        super().clear()

    def extend(self, items: Iterable[Any], /) -> None:
        for item in items:
            if not self.ledger.give_back(item):
                self._sent(self, item)
            _put(self, item)
